"""The plugin in the application of a real GWS: its generator, its configuration, its pickle. Needs GWS_APP_DIR=.../app,
and the packages that GWS imports."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import DOCUMENT

# What runs in GWS. It configures the server, or loads what another process has pickled, and sends 5,000 bytes.
PROGRAM = """
import json, os, sys
app_dir, config, how, pickled = sys.argv[1:]
sys.path.insert(0, app_dir)
import gws, gws.config, gws.spec.runtime
if how == 'loaded':
    root = gws.u.unserialize_from_path(pickled)
    errors = []
else:
    gws.u.ensure_system_dirs()
    specs = gws.spec.runtime.create('', read_cache=False, write_cache=False)
    server = {'mapproxy': {'enabled': False}, 'spool': {'enabled': False}, 'qgis': {'host': 'x', 'port': 80}}
    config = {'server': server, 'helpers': json.loads(config)}
    try:
        result = gws.config.configure(specs=specs, raw_config=config)
        root, errors = result.root, [error.message for error in result.errors]
    except gws.Error as exc:
        root, errors = None, [repr(exc)]
answer = {'errors': errors, 'root': bool(root)}
if root:
    if how == 'dropped':
        helper = root.app._helperMap.pop('upload')
        root.app.children.remove(helper)
        root.nodes.remove(helper)
    helper = root.app.helper('upload')
    if how == 'pickled':
        gws.u.serialize_to_path(root, pickled)
    p = gws.Data(uploadUid='', fileName='a', totalSize=5000, chunkNumber=0, chunkCount=1, content=b'x' * 5000)
    try:
        uid = helper.handle_chunk_request(None, p).uploadUid
        answer['status'] = 200
        answer['size'] = os.path.getsize(helper.get_upload(uid).path)
    except gws.BadRequestError as exc:
        answer['status'], answer['reason'] = 400, exc.__cause__.args[0]
print('\\nANSWER', json.dumps(answer))
"""


def run(tree: Path, helpers: list[dict[str, Any]], how: str = "configured") -> dict[str, Any]:
    directories = {name: str(tree / name.lower()) for name in ("GWS_VAR_DIR", "GWS_TMP_DIR")}
    for path in directories.values():
        os.makedirs(path, exist_ok=True)
    command = [sys.executable, "-c", PROGRAM, str(tree / "app"), json.dumps(helpers), how, str(tree / "pickle")]
    environment = os.environ | directories | {"GWS_APP_DIR": str(tree / "app")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    missing = re.search(r"No module named '(\w+)", done.stderr + done.stdout)
    if missing and missing[1] not in ("chunked_upload", "gws"):
        pytest.skip(f"GWS needs the package {missing[1]}")
    assert "\nANSWER " in done.stdout, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.split("\nANSWER ")[1])
    answer["log"] = done.stdout
    return answer


WRONG = [{"durability": "completed"}, {"maxSize": -1}, {"maxSize": 2**70}, {"maxAge": -1}, {"bindStrict": True}]


@pytest.mark.parametrize("how", ["configured", "dropped"])
def test_limits_hold_however_the_helper_was_made(trees: tuple[Path, Path], how: str) -> None:
    for wrong in WRONG:
        answer = run(trees[1], [{"type": "upload", "maxSize": 10, **wrong}], how)
        name = next(iter(wrong))
        assert answer["root"] and len(answer["errors"]) == 1 and name in answer["errors"][0]
        assert answer["status"] == 400 and name in answer["reason"]
        assert answer["log"].count("All uploads are refused") == 1
    answer = run(trees[1], [{"type": "upload", "maxSize": 10}], how)
    assert not answer["errors"] and "max_total_size" in answer["reason"]


@pytest.mark.parametrize("wrong", [{"maxsize": 10}, {"maxSize": "10"}, {"maxAge": "-1"}, {"maxAge": "soon"}])
def test_what_gws_itself_cannot_read_never_becomes_a_server(trees: tuple[Path, Path], wrong: dict[str, Any]) -> None:
    answer = run(trees[1], [{"type": "upload", **wrong}])
    assert not answer["root"] and answer["errors"]


def test_a_pickle_of_the_stock_helper_works(trees: tuple[Path, Path]) -> None:
    stock, ours = trees
    assert run(stock, [], "pickled")["size"] == 5000
    (stock / "pickle").rename(ours / "pickle")
    assert run(ours, [], "loaded")["size"] == 5000


def test_without_a_configuration_the_defaults_hold(trees: tuple[Path, Path]) -> None:
    answer = run(trees[1], [])
    assert not answer["errors"] and answer["size"] == 5000


def test_the_documented_example_and_commands_are_right(trees: tuple[Path, Path]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert 'helpers+ { type "upload" maxSize 10000000000 maxAge "48h" bindToUser true }' in text
    example = {"type": "upload", "maxSize": 10000000000, "maxAge": "48h", "bindToUser": True}
    answer = run(trees[1], [example])
    assert not answer["errors"] and answer["size"] == 5000
    commands = set(re.findall(r"gws\s+server\s+(\w+)", text)) - {"restart"}
    source = (trees[0] / "app/gws/server/cli.py").read_text(encoding="utf-8")
    assert {"start", "reconfigure", "configtest"} <= commands
    for command in commands:
        assert f"cli('server{command.capitalize()}')" in source
