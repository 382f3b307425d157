"""The transcripts that every binding replays, over this module and over the plain C library through ctypes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chunked_upload as cu
import transcripts
from helpers import HANGS, REPOSITORY

FACTS = ("missing_count", "first_missing", "limit", "limit_value", "received_size", "declared_size")


class Module:
    """The Python module as transcripts.py wants a binding."""

    store: cu.Store

    def open(self, directory: str, options: dict[str, Any]) -> None:
        self.store = cu.Store(directory, **options)

    def handle_chunk(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            receipt = self.store.handle_chunk(request.pop("content"), **request)
        except cu.Error as error:
            return facts(error)
        return {"result": "ok", "upload_uid": receipt.upload_uid, "received_all": receipt.received_all}

    def get(self, uid: str) -> dict[str, Any]:
        return self._ask(lambda: finished(self.store.get(uid)))

    def for_owner(self, owner: bytes) -> "Module":
        view = type(self)()
        view.store = self.store.for_owner(owner)
        return view

    def uid_for_key(self, key: str) -> dict[str, Any]:
        return self._ask(lambda: {"upload_uid": self.store.uid_for_key(key)})

    def inspect(self, uid: str, from_chunk: int) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            seen = self.store.inspect(uid, from_chunk)
            return vars(seen) | {"missing": ranges(seen.missing), "next_chunk": seen.next_chunk or 0}

        return self._ask(ask)

    def verify(self, uid: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            verified = self.store.verify(uid)
            return vars(verified) | {"damaged": ranges(verified.damaged)}

        return self._ask(ask)

    def move_to(self, uid: str, path: str, overwrite: bool) -> dict[str, Any]:
        return self._ask(lambda: finished(self.store.move_to(uid, path, overwrite=overwrite)))

    def remove(self, uid: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            self.store.remove(uid)
            return {}

        return self._ask(ask)

    def cleanup(self, dry_run: bool) -> dict[str, Any]:
        names = {"receiving": "unfinished", "complete": "finished", "gone": "gone", None: "leftovers"}

        def ask() -> dict[str, Any]:
            phases = [names[removed.phase] for removed in self.store.cleanup(0, dry_run=dry_run).removed]
            return {name: phases.count(name) for name in names.values()}

        return self._ask(ask)

    def list(self) -> int:
        return len(list(self.store.list()))

    def _ask(self, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return {"result": "ok", **call()}
        except cu.Error as error:
            return facts(error)


def finished(upload: cu.Finished) -> dict[str, Any]:
    return {name: getattr(upload, name) for name in ("uid", "path", "file_name", "total_size", "crc32c")}


def ranges(missing: tuple[range, ...]) -> list[list[int]]:
    return [[numbers.start, len(numbers)] for numbers in missing]


def facts(error: cu.Error) -> dict[str, Any]:
    return {"result": error.name, **{name: getattr(error, name) for name in FACTS if hasattr(error, name)}}


@pytest.mark.parametrize("file", transcripts.vector_files(), ids=lambda file: file.stem)
def test_the_module_answers_as_every_binding(file: Path, root: Path) -> None:
    transcripts.replay(file, Module(), root)


def test_a_deviation_is_noticed(root: Path, tmp_path: Path) -> None:
    class Wrong(Module):
        def get(self, uid: str) -> dict[str, Any]:
            answer = super().get(uid)
            return answer | {"crc32c": 0} if answer["result"] == "ok" else answer

    with pytest.raises(AssertionError, match="crc32c is 0, not 1404891121"):
        transcripts.replay(transcripts.VECTORS / "two_chunks.json", Wrong(), root)


@pytest.fixture(scope="module")
def c_library() -> Path:
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "chunked-upload-c"]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=10 * HANGS)
    return REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "libchunked_upload.so"


def test_the_c_library_answers_the_same_through_ctypes(c_library: Path) -> None:
    harness = REPOSITORY / "tests" / "ctypes" / "ctypes_harness.py"
    command = [sys.executable, str(harness), str(c_library)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok  ") == len(transcripts.vector_files())
