"""What is installed is what a user gets: the package, its types, and nothing exported but the module."""

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import chunked_upload as cu
from chunked_upload import _core
from helpers import REPOSITORY, run_python


def test_the_installed_package_is_tested_and_not_the_tree() -> None:
    assert Path(cu.__file__).is_relative_to(sys.prefix)
    assert REPOSITORY / "bindings" not in Path(cu.__file__).parents


CLI = ["__init__", "app", "keys", "output", "protocol", "receive", "send", "store_commands", "web_server"]


def test_the_wheel_has_types_and_one_library() -> None:
    files = {str(file) for file in importlib.metadata.files("chunked-upload") or []}
    package = {file for file in files if file.startswith("chunked_upload/") and "__pycache__" not in file}
    assert package == {
        "chunked_upload/__init__.py",
        "chunked_upload/__main__.py",
        "chunked_upload/_core.abi3.so",
        "chunked_upload/_core.pyi",
        *(f"chunked_upload/cli/{name}.py" for name in CLI),
        "chunked_upload/exceptions.py",
        "chunked_upload/py.typed",
        "chunked_upload/results.py",
    }
    others = {file.split("/")[0] for file in files if not file.endswith("/bin/chunked-upload")} - {"chunked_upload"}
    assert others == {f"chunked_upload-{cu.__version__}.dist-info"}


def test_the_metadata() -> None:
    metadata = importlib.metadata.metadata("chunked-upload")
    workspace = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]
    assert metadata["Version"] == cu.__version__ == workspace["version"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == workspace["license"]
    assert all("extra == 'cli'" in need for need in metadata.get_all("Requires-Dist") or [])
    wheel = importlib.metadata.distribution("chunked-upload").read_text("WHEEL") or ""
    assert "Tag: cp311-abi3-" in wheel


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_the_library_exports_the_module_and_nothing_else() -> None:
    listed = subprocess.run(["nm", "-D", "--defined-only", _core.__file__], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["PyInit__core"]


def test_the_module_is_not_importable_under_a_host_s_plugin_name() -> None:
    run_python("import importlib.util as u; assert u.find_spec('upload_helper') is None", cwd="/")
