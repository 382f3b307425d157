"""The plugin, in the stand-in for GWS, or with GWS_APP_DIR=.../app in a real one."""

import importlib.util
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parent / "upload_helper" / "__init__.py"
DOCUMENT = HERE.parents[2] / "docs" / "gws.md"

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


class App(gws.Node):
    """What GWS's application does about helpers."""

    def configure(self) -> None:
        helpers = self.create_children(gws.ext.object.helper, self.cfg("helpers"))
        self._helperMap = {helper.extType: helper for helper in helpers}

    def helper(self, ext_type: str) -> Any:
        if ext_type not in self._helperMap:
            helper = self.create_child(gws.ext.object.helper, type=ext_type)
            if not helper:
                raise gws.Error(f"helper {ext_type!r} not found")
            self._helperMap[ext_type] = helper
        return self._helperMap[ext_type]


class Specs:
    def get_class(self, classref: Any, ext_type: str | None = None) -> type:
        if ext_type:
            uh.Object.extType = ext_type
            return uh.Object
        return App


def configure(*helpers: dict[str, Any]) -> Any:
    """The application of a GWS that was configured with these helpers."""
    root = gws.create_root(Specs())
    root.create_application(gws.Config(helpers=[gws.Config(type="upload", **helper) for helper in helpers]))
    root.post_initialize()
    return root.app


def make(**config: Any) -> Any:
    return configure(config).helper("upload")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where uploads go. Not there at first."""
    path = tmp_path / "transient" / "ephemeral"
    monkeypatch.setattr(gws.c, "EPHEMERAL_DIR", str(path))
    yield path


@pytest.fixture
def helper(root: Path) -> Any:
    return make()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that are logged; a traceback has many."""
    lines: list[str] = []
    monkeypatch.setattr(gws.log, "error", lambda text: lines.extend(text.splitlines()))
    monkeypatch.setattr(gws.log, "warning", lambda text: lines.extend(text.splitlines()))
    monkeypatch.setattr(gws.log, "exception", lambda: lines.extend(traceback.format_exc().splitlines()))
    return lines


@pytest.fixture(scope="session")
def trees() -> Iterator[tuple[Path, Path]]:
    """The host as it is, and with the plugin in place of its own. Nothing in a path with "test" is read."""
    if "GWS_APP_DIR" not in os.environ:
        pytest.skip("GWS_APP_DIR is not set")
    base = Path(tempfile.mkdtemp(prefix="gws-tree-"))
    try:
        for name in ("stock", "ours"):
            shutil.copytree(os.environ["GWS_APP_DIR"], base / name / "app", symlinks=True)
        shutil.copytree(PLUGIN.parent, base / "ours/app/gws/plugin/upload_helper", dirs_exist_ok=True)
        yield base / "stock", base / "ours"
    finally:
        shutil.rmtree(base)
