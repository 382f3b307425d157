"""A skipped test is listed, or fails if no test may be skipped."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import HANGS, REPOSITORY, environment

TESTS = """
import pytest

def test_this() -> None:
    pytest.skip("no disk here")

@pytest.mark.skipif(True, reason="no camera here")
def test_that() -> None: ...

@pytest.mark.xfail
def test_what_fails() -> None:
    assert False

def test_a_real_gws() -> None:
    pytest.skip("GWS_APP_DIR is not set")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    hooks = "from skipped import pytest_make_collect_report, pytest_runtest_makereport\n"
    (tmp_path / "conftest.py").write_text(hooks)
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_none.py").write_text('import pytest\npytest.importorskip("no_such_module", reason="not there")\n')
    return tmp_path


def run(place: Path, **more: str) -> str:
    names = ("UPLOAD_SKIPPED", "UPLOAD_SKIP_NOTHING", "PYTEST_ADDOPTS")
    settings = {name: value for name, value in environment().items() if name not in names}
    more["PYTHONPATH"] = str(REPOSITORY / "tests/python")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={place}", str(place)]
    done = subprocess.run(command, env=settings | more, stdout=subprocess.PIPE, text=True, timeout=HANGS)
    return done.stdout


def test_skipped_tests_are_listed(place: Path) -> None:
    listed = place / "list"
    assert "1 xfailed" in (said := run(place, UPLOAD_SKIPPED=str(listed))) and "4 skipped" in said, said
    assert sorted(listed.read_text().splitlines()) == [
        "test_none.py: not there",
        "test_some.py::test_a_real_gws: GWS_APP_DIR is not set",
        "test_some.py::test_that: no camera here",
        "test_some.py::test_this: no disk here",
    ]
    assert "4 skipped" in run(place), "without a list"


def test_where_nothing_may_be_left_out_they_fail(place: Path) -> None:
    said = run(place, UPLOAD_SKIP_NOTHING="1")
    assert "skipped: not there" in said and "1 error" in said, said
    (place / "test_none.py").unlink()
    said = run(place, UPLOAD_SKIP_NOTHING="1")
    assert "1 failed, 1 skipped, 1 xfailed, 1 error in" in said, said
    assert "skipped: no disk here" in said and "skipped: no camera here" in said, said
