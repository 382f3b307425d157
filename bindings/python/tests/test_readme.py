"""The examples of the READMEs do what they say."""

import re
from pathlib import Path

import pytest

from helpers import REPOSITORY, run_python

READMES = [REPOSITORY / "README.md", REPOSITORY / "bindings" / "python" / "README.md"]


def examples() -> list[tuple[str, str]]:
    found = []
    for readme in READMES:
        if readme.exists():
            text = readme.read_text(encoding="utf-8")
            for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
                line = text.count("\n", 0, block.start()) + 1
                found.append((f"{readme.relative_to(REPOSITORY)}:{line}", block[1]))
    return found


def test_there_are_examples() -> None:
    assert {where.rsplit(":")[0] for where, _ in examples()} == {str(file.relative_to(REPOSITORY)) for file in READMES}


@pytest.mark.parametrize(("where", "example"), examples(), ids=lambda value: value if value.count("\n") == 0 else "")
def test_the_example_runs(where: str, example: str, tmp_path: Path) -> None:
    run_python(example, cwd=tmp_path)
