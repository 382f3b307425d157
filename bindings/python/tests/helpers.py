"""What several tests need."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import chunked_upload as cu

REPOSITORY = Path(__file__).resolve().parents[3]

# Long enough for a busy machine: reached only when something hangs.
HANGS = 120


def send(
    store: cu.Store, parts: Sequence[bytes], order: Iterable[int] | None = None, uid: str = "", **more: Any
) -> str:
    """Sends the parts of a file in the given order; answers the uid."""
    for number in range(len(parts)) if order is None else order:
        total = more.get("total_size", sum(map(len, parts)))
        receipt = store.handle_chunk(
            parts[number],
            upload_uid=uid,
            file_name=more.get("file_name", "a.bin"),
            total_size=total,
            chunk_number=number,
            chunk_count=len(parts),
        )
        uid = receipt.upload_uid
    return uid


def content(upload: cu.Finished) -> bytes:
    return Path(upload.path).read_bytes()


def run_python(script: str, *arguments: object, **options: Any) -> str:
    """Runs a script in an interpreter of its own and answers what it printed; it must exit with 0."""
    return _run([sys.executable, "-c", script, *map(str, arguments)], **options)


def run_mounted(mount: str, script: str, *arguments: object) -> str:
    """Runs a script in a mount namespace of its own, after some mounting."""
    shell = f'{mount}\nexec "$0" -c "$@"'
    return _run([*mount_namespace(), "sh", "-ec", shell, sys.executable, script, *map(str, arguments)])


@functools.cache
def mount_namespace() -> list[str]:
    """The command that gives a mount namespace in which we may mount, or nothing where there is none."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        mount = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which("unshare") and subprocess.run(mount, capture_output=True).returncode == 0:
            return command
    return []


def _run(command: list[str], **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, timeout=HANGS, **options
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}
