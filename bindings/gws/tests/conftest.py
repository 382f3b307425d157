"""The plugin, in the stand-in for GWS, or with GWS_APP_DIR=.../app in a real one."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parent / "upload_helper" / "__init__.py"

sys.dont_write_bytecode = True
sys.path.insert(0, os.environ.get("GWS_APP_DIR") or str(HERE / "standin"))
sys.path.append(str(HERE.parents[2] / "tests" / "python"))

import gws  # noqa: E402  # of the path just set

from skipped import pytest_make_collect_report, pytest_runtest_makereport  # noqa: E402, F401


def load_plugin() -> Any:
    """The plugin under the name by which actions import it."""
    name = "gws.plugin.upload_helper"
    spec = importlib.util.spec_from_file_location(name, PLUGIN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


uh = load_plugin()


def make(**config: Any) -> Any:
    helper = uh.Object()
    helper.config = gws.Config(type="upload", **config)
    helper.configure()
    return helper


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where uploads go. Not there at first."""
    path = tmp_path / "transient" / "ephemeral"
    monkeypatch.setattr(gws.c, "EPHEMERAL_DIR", str(path))
    yield path


@pytest.fixture
def helper(root: Path) -> Any:
    return make()
