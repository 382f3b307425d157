from pathlib import Path

import pytest

import chunked_upload as cu


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store may be made; does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> cu.Store:
    return cu.Store(root)
