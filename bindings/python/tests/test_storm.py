"""A short storm of kills; `make storm` makes long ones."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STORM = Path(__file__).parent / "storm.py"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[list[str]]:
    """On another file system, where there is one."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        yield []
        return
    directory = tempfile.mkdtemp(dir=shared)
    yield ["--elsewhere", directory]
    shutil.rmtree(directory)


def storm(directory: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, str(STORM), str(directory), *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout.splitlines()[0]), run.stdout


def test_nothing_is_lost_in_a_storm_of_kills(tmp_path: Path, elsewhere: list[str]) -> None:
    status, figures, text = storm(tmp_path, "--kills", "400", "--seed", "7", *elsewhere)
    assert status == 0, text
    assert figures["chunks promised"] > 50 and figures["gone"] > 0, figures


@pytest.mark.parametrize(("how", "seen"), [("lose", "lost"), ("flip", "wrong bytes")])
def test_the_storm_notices_what_is_lost_or_wrong(tmp_path: Path, how: str, seen: str) -> None:
    status, figures, text = storm(tmp_path, "--kills", "60", "--sabotage", how)
    assert status == 1 and figures["bad"] > 0 and seen in text, text
