"""What the host's static generator makes of the plugin. Needs a real tree: GWS_APP_DIR=.../app."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import PLUGIN

NAMES = ("ChunkRequest", "ChunkResponse", "Upload", "Error", "Object")


def test_all_names_are_declared_in_the_text() -> None:
    """The generator reads the file and never imports it."""
    tree = ast.parse(PLUGIN.read_text(encoding="utf-8"))
    declared = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert declared == {*NAMES, "Config"}
    config = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config")
    for statement in config.body:
        if isinstance(statement, ast.AnnAssign):
            # What it does not take for a literal makes a property required, and it knows no unions.
            assert statement.value is None or isinstance(statement.value, ast.Constant)
            assert not isinstance(statement.annotation, ast.BinOp)


def test_every_property_is_explained_in_both_languages() -> None:
    config = PLUGIN.read_text(encoding="utf-8").split("class Config(")[1].split("\nclass ")[0]
    properties = re.findall(r"^    (\w+): .*\n    \"\"\"", config, re.MULTILINE)
    text = (PLUGIN.parent / "_doc" / "strings.ini").read_text(encoding="utf-8")
    for language in ("en", "de"):
        section = text.split(f"[{language}]\n")[1].split("\n[")[0]
        explained = {line.split(" = ")[0].rsplit(".", 1)[-1] for line in section.splitlines() if " = " in line}
        assert explained == {*properties, "type", "Config"}


def specs(tree: Path) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "gws/spec/spec.py", str(tree / "out"), "-root", str(tree / "app")]
    subprocess.run(command, cwd=tree / "app", check=True, timeout=120)
    # It exits with 0 even when it fails.
    text = (tree / "out" / "specs.json").read_text(encoding="utf-8").replace(str(tree), "")
    found: dict[str, Any] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if str(value.get("uid", "")).startswith(("gws.plugin.upload_helper", "gws.ext.object.helper.upload")):
                found[value["uid"]] = {name: fact for name, fact in value.items() if name not in ("pos", "doc")}
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                collect(item)

    collect(json.loads(text))
    return found, (tree / "out" / "gws.generated.ts").read_text(encoding="utf-8")


CHECKSUM = "gws.plugin.upload_helper.ChunkRequest.checksum"


def test_the_generator_makes_the_same_of_it_but_for_additions(trees: tuple[Path, Path]) -> None:
    (stock, stock_client), (ours, our_client) = map(specs, trees)
    assert stock
    new = [line.strip() for line in our_client.splitlines() if line not in stock_client.splitlines()]
    added_lines = [line for line in new if not line.startswith("///")]
    assert [line for line in stock_client.splitlines() if line not in our_client.splitlines()] == []
    assert len(added_lines) == 1 and "checksum?: " in added_lines[0], "an optional member"
    # Only what an action uses is in the server's specs; the client's have all.
    ours.get("gws.plugin.upload_helper.ChunkRequest", {}).get("tProperties", {}).pop("checksum", None)
    for uid, spec in stock.items():
        assert ours[uid] == spec
    added = {uid for uid in ours if uid not in stock}
    assert added and all(uid == CHECKSUM or uid.startswith("gws.plugin.upload_helper.Config") for uid in added)
