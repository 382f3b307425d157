"""Brings the peers to this machine: packages from PyPI and npm, pinned, below build/bench, never in the repository."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "bench"
VENV_PYTHON = BUILD / "venv" / "bin" / "python"
NODE_DIRECTORY = BUILD / "node"
OLDEST_NODE = 20
PATIENCE = 600  # seconds for a package registry


class Missing(Exception):
    """Why a peer cannot take part."""


def python_packages() -> None:
    """The venv with tuspyserver and uvicorn, and our installed wheel's twin."""
    wheels = sorted((HERE.parents[1] / "build" / "wheels").glob("*.whl"))
    if not wheels:
        raise Missing("there is no wheel: make wheel")
    requirements = HERE / "requirements.txt"
    with _once(BUILD / "venv.made", [requirements, *wheels]) as is_made:
        if not is_made:
            _run([sys.executable, "-m", "venv", str(VENV_PYTHON.parents[1])])
            install = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*install, "-r", str(requirements)])
            _run([*install, "--no-deps", "--force-reinstall", *map(str, wheels)])


def node_packages() -> None:
    """node_modules with @tus/server, and our script beside it, where Node looks for modules."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("there is no node and npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        raise Missing(f"node {version} is older than {OLDEST_NODE}")
    ours = [HERE / "package.json", HERE / "tus_node.js"]
    with _once(BUILD / "node.made", ours) as is_made:
        if not is_made:
            NODE_DIRECTORY.mkdir(exist_ok=True)
            for file in ours:
                shutil.copy(file, NODE_DIRECTORY)
            _run([npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(NODE_DIRECTORY)])


@contextlib.contextmanager
def _once(stamp: Path, inputs: list[Path]) -> Iterator[bool]:
    """Whether it was made of the very same inputs before; remembers it when the block succeeds."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    yield stamp.is_file() and stamp.read_text() == digest
    stamp.write_text(digest)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no words"]
        raise Missing(f"{Path(command[0]).name} failed: {words[-1]}")
