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


def storm(directory: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, str(STORM), str(directory), *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout.splitlines()[0]), run.stdout


@pytest.fixture(params=["tmp", "/dev/shm"])
def base(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """In turn on each of two file systems; files are moved to the other one, too."""
    if request.param == "tmp":
        yield tmp_path
        return
    if not os.access(request.param, os.W_OK):
        pytest.skip(f"no {request.param} here")
    directory = tempfile.mkdtemp(dir=request.param)
    yield Path(directory)
    shutil.rmtree(directory)


def test_nothing_is_lost_in_a_storm_of_kills(base: Path) -> None:
    status, figures, text = storm(base, "--kills", "300", "--seed", "7")
    assert status == 0, text
    assert figures["chunks promised"] > 50 and figures["gone"] > 0 and figures["delivered"] > 20, figures


@pytest.mark.parametrize(("how", "seen"), [("lose", "lost"), ("flip", "wrong bytes"), ("twice", "delivered twice")])
def test_the_storm_notices_what_is_lost_or_wrong(tmp_path: Path, how: str, seen: str) -> None:
    status, figures, text = storm(tmp_path, "--kills", "60", "--sabotage", how)
    assert status == 1 and figures["bad"] > 0 and seen in text, text
