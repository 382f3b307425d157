"""Editors read the stub, not the compiled module: each docstring there is a copy of the module's.

`BLESS=1 pytest bindings/python/tests/test_stub.py` writes the copies into the stub.
"""

import ast
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chunked_upload import _core
from helpers import REPOSITORY

STUB = REPOSITORY / "bindings/python/python/chunked_upload/_core.pyi"
INSTALLED = Path(_core.__file__).with_suffix("").with_suffix(".pyi")

Definition = ast.ClassDef | ast.FunctionDef


def definitions(text: str) -> Iterator[tuple[str, Definition, object]]:
    """The public classes, methods and properties of a stub, each with what the module has under this name."""
    for kind in ast.parse(text).body:
        if isinstance(kind, ast.ClassDef):
            yield kind.name, kind, getattr(_core, kind.name)
            for node in kind.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    yield f"{kind.name}.{node.name}", node, getattr(getattr(_core, kind.name), node.name)


def documented(text: str) -> str:
    """The stub with the module's docstrings."""
    lines = text.splitlines(keepends=True)
    for _, node, thing in reversed([*definitions(text)]):
        indent = " " * (node.col_offset + 4)
        docstring = inspect.getdoc(thing) or ""
        more = "\n" if "\n" in docstring else ""
        block = f'"""{docstring}{more}"""'.replace("\n", f"\n{indent}").replace(f"\n{indent}\n", "\n\n")
        first = node.body[0]
        if ast.get_docstring(node) is not None:
            lines[first.lineno - 1 : first.end_lineno] = [f"{indent}{block}\n"]
        elif isinstance(node, ast.FunctionDef):
            lines[first.lineno - 1] = lines[first.lineno - 1].removesuffix(" ...\n") + f"\n{indent}{block}\n"
        else:
            above = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", []))])
            lines.insert(above - 1, f"{indent}{block}\n\n")
    return "".join(lines)


def test_every_docstring_of_the_stub_is_the_module_s() -> None:
    if "BLESS" in os.environ:
        STUB.write_text(documented(STUB.read_text()))
        pytest.skip("the stub was written")
    found = [*definitions(INSTALLED.read_text())]
    assert {"Store", "Store.handle_chunk", "Store.root"} <= {name for name, _, _ in found}
    for name, node, thing in found:
        assert ast.get_docstring(node), f"{name} has no docstring: BLESS=1 writes it"
        assert ast.get_docstring(node) == inspect.getdoc(thing), f"{name}: another docstring; BLESS=1 writes it"


def test_the_stub_has_every_public_name() -> None:
    stub = {name for name, _, _ in definitions(INSTALLED.read_text())}
    for kind in [thing for thing in vars(_core).values() if isinstance(thing, type)]:
        names = [f"{kind.__name__}.{name}" for name in vars(kind) if not name.startswith("_")]
        assert {kind.__name__, *names} <= stub


@pytest.mark.parametrize("change", [("A chunk takes 32 bytes", "A chunk takes 33 bytes"), ("finished file", "file")])
def test_a_docstring_that_drifted_is_written_again(change: tuple[str, str]) -> None:
    right = INSTALLED.read_text()
    wrong = right.replace(*change)
    assert wrong != right == documented(right) == documented(wrong)
