"""The examples of the documents do what they say, and links lead somewhere."""

import re
from pathlib import Path

import pytest

from helpers import REPOSITORY, run_python

DOCUMENTS = sorted(
    file
    for pattern in ("*.md", "docs/*.md", "bindings/**/*.md", "tests/*/README.md")
    for file in REPOSITORY.glob(pattern)
    if not {"node_modules", "target", "build", ".venv"} & set(file.relative_to(REPOSITORY).parts)
)
WITH_EXAMPLES = {"README.md", "bindings/python/README.md", "docs/protocol.md", "docs/python.md"}


def name(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


def examples() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, block.start()) + 1
            found.append((f"{name(document)}:{line}", block[1]))
    return found


def test_there_are_examples() -> None:
    assert {where.rsplit(":")[0] for where, _ in examples()} >= WITH_EXAMPLES


@pytest.mark.parametrize(("where", "example"), examples(), ids=lambda value: value if value.count("\n") == 0 else "")
def test_the_example_runs(where: str, example: str, tmp_path: Path) -> None:
    run_python(example, cwd=tmp_path)


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_its_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_index_lists_every_document() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in (REPOSITORY / "docs").glob("*.md") if f"({file.name})" not in index] == ["README.md"]
