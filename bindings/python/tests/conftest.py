import signal
from pathlib import Path

import pytest

import chunked_upload as cu
from skipped import pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401

# Who runs the tests in the background of a script has SIGINT ignored, and so would the programs that are started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store may be made; does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> cu.Store:
    return cu.Store(root)
