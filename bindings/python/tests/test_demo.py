"""The demo: the bytes agree for files of every kind, and it leaves nothing running."""

import os
import re
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import HANGS, REPOSITORY, environment

DEMO = [sys.executable, str(REPOSITORY / "demo" / "demo.py")]

MARK = "DEMO_TEST_MARK"


@pytest.fixture
def mark() -> Iterator[str]:
    """A word in the environment of every process of one demo."""
    mark = uuid.uuid4().hex
    yield mark
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # ended meanwhile, or not ours to see
            continue
    return found


def run(mark: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*DEMO, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, env=environment(**{MARK: mark}))


@pytest.mark.parametrize("size", [0, 1, 17, 100_003, (4 << 20) * 17 + 5])
def test_the_bytes_agree(tmp_path: Path, mark: str, size: int) -> None:
    file = tmp_path / "ein Bild & mehr.tif"
    file.write_bytes(os.urandom(size))
    done = run(mark, file, "--directory", tmp_path / "d")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the bytes agree" in done.stdout
    received = re.search(r"^received (.*) \(", done.stdout, re.MULTILINE)
    assert received and Path(received[1]).read_bytes() == file.read_bytes()
    assert marked(mark) == []
    # Once more: what the run before received has gone.
    assert run(mark, file, "--directory", tmp_path / "d").returncode == 0
    assert len(list((tmp_path / "d" / "uploads").iterdir())) == 1


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_sent_is_named(tmp_path: Path, mark: str, name: str) -> None:
    done = run(mark, tmp_path / name, "--directory", tmp_path / "d")
    assert done.returncode == 1
    assert re.fullmatch(r"demo: FILE .* (does not exist|is not a regular file)\n", done.stderr)
    assert str(tmp_path / name) in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_server_that_fails_is_an_error(tmp_path: Path, mark: str) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "uploads").write_bytes(b"no directory")
    done = run(mark, tmp_path / "f", "--directory", tmp_path / "d")
    assert done.returncode == 1
    assert done.stderr.startswith("demo: ") and "Traceback" not in done.stderr
    assert marked(mark) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(tmp_path: Path, mark: str, how: signal.Signals) -> None:
    file = tmp_path / "large"
    with file.open("wb") as made:
        made.truncate(2 << 30)  # takes seconds to send, and no space
    demo = subprocess.Popen(
        [*DEMO, str(file), "--directory", str(tmp_path / "d")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(**{MARK: mark}),
        # A shell lets what it starts with & ignore Ctrl-C, and so would the demo.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    assert demo.stdout
    with demo.stdout:
        assert any(line.startswith("server") for line in demo.stdout)
        demo.send_signal(how)
        status = demo.wait(HANGS)
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}[how]
    if how == signal.SIGKILL:  # it could not wait for its server, so we do
        for pid in marked(mark):
            ended(pid)
    assert marked(mark) == []


def ended(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], HANGS)[0], f"process {pid} goes on"
    finally:
        os.close(descriptor)


def test_different_bytes_fail(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    script = "import sys, demo; from pathlib import Path; sys.exit(demo.compare(Path(sys.argv[1]), Path(sys.argv[2])))"
    command = [sys.executable, "-c", script, "a", "b"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(PYTHONPATH=str(REPOSITORY / "demo")), timeout=HANGS)
    assert done.returncode == 1
