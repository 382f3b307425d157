"""Replays the transcripts of tests/vectors over any binding.

A binding takes part by giving an object with these methods, each answering with the facts that the transcripts name:

    open(directory, options)          opens a store, as the following calls will use it
    for_owner(owner)                  the same binding, over a view of the store
    handle_chunk(request)             {"result": "ok", "upload_uid": …, "received_all": …} or {"result": "conflict", …}
    get(uid)                          {"result": "ok", "path": …, "file_name": …, …} or {"result": "incomplete", …}
    move_to(uid, path, overwrite)     the same
    uid_for_key(key)                  {"result": "ok", "upload_uid": …}
    inspect(uid, from_chunk), verify(uid), remove(uid), cleanup(dry_run)
    list()                            how many uploads there are

``request`` has the members upload_uid, file_name, total_size, chunk_number, chunk_count, content, upload_key, checksum,
file_digest; what is None is left out.
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
    def for_owner(self, owner: bytes) -> "Binding": ...
    def uid_for_key(self, key: str) -> Facts: ...
    def inspect(self, uid: str, from_chunk: int) -> Facts: ...
    def verify(self, uid: str) -> Facts: ...
    def move_to(self, uid: str, path: str, overwrite: bool) -> Facts: ...
    def remove(self, uid: str) -> Facts: ...
    def cleanup(self, dry_run: bool) -> Facts: ...
    def list(self) -> int: ...


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
        uid = _uid(step.get("uid", ""), uids)
        if step["call"] == "take":
            os.rename(answer_path(binding, uid, where), directory.parent / f"taken-{taken}")
            taken += 1
            continue
        if step["call"] == "damage":
            _damage(directory / uid / step["name"], step["at"])
            continue
        if step["call"] == "same":
            assert uid == _uid(step["other"], uids), where
            continue
        view = binding.for_owner(step["owner"].encode()) if "owner" in step else binding
        facts = _facts(step, view, uids, directory)
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
    call, uid = step["call"], _uid(step.get("uid", ""), uids)
    if call == "list":
        return {"uploads": binding.list(), "entries": len(os.listdir(directory)) if directory.exists() else 0}
    if call in ("get", "move_to"):
        destination = str(directory.parent / step.get("destination", ""))
        facts = binding.get(uid) if call == "get" else binding.move_to(uid, destination, step.get("overwrite", False))
        if facts["result"] == "ok":
            facts["content"] = Path(facts["path"]).read_bytes()
        return facts
    if call == "uid_for_key":
        return binding.uid_for_key(step["upload_key"])
    if call == "inspect":
        return binding.inspect(uid, step.get("from_chunk", 0))
    if call == "verify":
        return binding.verify(uid)
    if call == "remove":
        return binding.remove(uid)
    if call == "cleanup":
        return binding.cleanup(step.get("dry_run", False))
    assert call == "handle_chunk", call
    numbers = {name: step[name] for name in ("total_size", "chunk_number", "chunk_count")}
    return binding.handle_chunk(
        {
            "upload_uid": _uid(step["upload_uid"], uids),
            **{name: step.get(name) for name in ("file_name", "upload_key", "checksum", "file_digest")},
            "content": content(step["content"]),
            **numbers,
        }
    )


def _damage(path: Path, at: int) -> None:
    stored = bytearray(path.read_bytes())
    stored[at] ^= 1
    path.write_bytes(stored)


def _uid(text: str, uids: dict[str, str]) -> str:
    return uids[text[1:]] if text.startswith("$") else text


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}… ({len(text)})"
