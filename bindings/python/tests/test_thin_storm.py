"""A short storm of kills on a disk that runs out; `make storm-thin` makes long ones."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thin_storm import SKIPPED

STORM = Path(__file__).parent / "thin_storm.py"


def storm(directory: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, str(STORM), str(directory), *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if run.returncode == SKIPPED:
        pytest.skip(run.stderr.strip())
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout.splitlines()[0]), run.stdout


def test_what_a_disk_that_runs_out_takes_is_kept_and_right(tmp_path: Path) -> None:
    status, figures, text = storm(tmp_path, "--kills", "240", "--seed", "1")
    assert status == 0, text
    assert figures["chunks promised"] > 50 and figures["uploads"] > 50, figures
    # The lack of room reached the calls.
    assert figures["no room for data"] > 3 and figures["refused: no_space No space left on device"] > 10, figures


@pytest.mark.parametrize(("how", "seen"), [("lose", "lost"), ("flip", "wrong bytes after a remount")])
def test_the_storm_notices_what_is_lost_or_wrong(tmp_path: Path, how: str, seen: str) -> None:
    status, figures, text = storm(tmp_path, "--kills", "60", "--sabotage", how)
    assert status == 1 and figures["bad"] > 0 and seen in text, text
