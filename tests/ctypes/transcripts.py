"""Replays the transcripts of tests/vectors over any binding.

A binding takes part by giving an object with three methods, each answering with the facts that the transcripts name:

    open(directory, options)          opens a store, as the following calls will use it
    handle_chunk(request)             {"result": "ok", "upload_uid": …, "received_all": …} or {"result": "conflict", …}
    get(uid)                          {"result": "ok", "path": …, "file_name": …, …} or {"result": "incomplete", …}

``request`` has the members upload_uid, file_name (None: left out), total_size, chunk_number, chunk_count, content.
"""

import json
import os
from pathlib import Path
from typing import Any, Protocol

VECTORS = Path(__file__).resolve().parents[1] / "vectors"

Facts = dict[str, Any]


class Binding(Protocol):
    def open(self, directory: str, options: Facts) -> None: ...
    def handle_chunk(self, request: Facts) -> Facts: ...
    def get(self, uid: str) -> Facts: ...


def vector_files() -> list[Path]:
    files = sorted(VECTORS.glob("*.json"))
    assert files, f"no transcripts in {VECTORS}"
    return files


def replay(file: Path, binding: Binding, directory: Path) -> None:
    """Replays one transcript against a store in ``directory``, which is empty; AssertionError at a deviation."""
    transcript = json.loads(file.read_text(encoding="utf-8"))
    binding.open(str(directory), transcript.get("options", {}))
    uids: dict[str, str] = {}
    taken = 0
    for number, step in enumerate(transcript["steps"]):
        where = f"{file.name}, step {number} ({step['call']})"
        if step["call"] == "take":
            os.rename(answer_path(binding, _uid(step["uid"], uids), where), directory.parent / f"taken-{taken}")
            taken += 1
            continue
        facts = _facts(step, binding, uids, directory)
        for name, expected in step["expect"].items():
            assert name in facts, f"{where}: no {name!r} in the answer {facts}"
            expected = content(expected) if name == "content" else expected
            assert facts[name] == expected, f"{where}: {name} is {_cut(facts[name])}, not {_cut(expected)}"
        if "save_uid" in step:
            uids[step["save_uid"]] = facts["upload_uid"]


def answer_path(binding: Binding, uid: str, where: str) -> str:
    facts = binding.get(uid)
    assert facts["result"] == "ok", f"{where}: nothing to take: {facts}"
    return str(facts["path"])


def content(description: Facts) -> bytes:
    """The bytes that a ``content`` member describes."""
    if "hex" in description:
        return bytes.fromhex(description["hex"])
    pattern, size = bytes.fromhex(description["repeat"]), int(description["size"])
    return (pattern * (size // len(pattern) + 1))[:size]


def _facts(step: Facts, binding: Binding, uids: dict[str, str], directory: Path) -> Facts:
    if step["call"] == "list":
        return {"entries": len(os.listdir(directory)) if directory.exists() else 0}
    if step["call"] == "get":
        facts = binding.get(_uid(step["uid"], uids))
        if facts["result"] == "ok":
            facts["content"] = Path(facts["path"]).read_bytes()
        return facts
    assert step["call"] == "handle_chunk", step["call"]
    numbers = {name: step[name] for name in ("total_size", "chunk_number", "chunk_count")}
    return binding.handle_chunk(
        {
            "upload_uid": _uid(step["upload_uid"], uids),
            "file_name": step.get("file_name"),
            "content": content(step["content"]),
            **numbers,
        }
    )


def _uid(text: str, uids: dict[str, str]) -> str:
    return uids[text[1:]] if text.startswith("$") else text


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}… ({len(text)})"
