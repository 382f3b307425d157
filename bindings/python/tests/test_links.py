"""The links in all documents lead to files and headings that exist. Links to other hosts are not followed."""

import re
from collections import Counter
from pathlib import Path

from helpers import REPOSITORY

# Made by the build, or brought by other packages.
NOT_OURS = {"target", "build", ".venv", ".git", "node_modules"}


def documents() -> list[Path]:
    below = (path for path in REPOSITORY.rglob("*.md") if not NOT_OURS & set(path.relative_to(REPOSITORY).parts))
    return sorted(below)


def prose(document: Path) -> str:
    """The text without blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(document), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def dead_links(document: Path) -> list[str]:
    dead = []
    text = re.sub(r"`[^`\n]*`", "", prose(document))
    links = re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(r"^\[[^]]+\]: *(\S+)", text, re.MULTILINE)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.is_relative_to(REPOSITORY) or not target.exists():
            dead.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            dead.append(f"{link}: no such heading")
    return dead


def test_links_lead_somewhere() -> None:
    dead = {str(document.relative_to(REPOSITORY)): dead_links(document) for document in documents()}
    assert {document: links for document, links in dead.items() if links} == {}


def test_the_index_has_each_page() -> None:
    index = (REPOSITORY / "docs/README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (REPOSITORY / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(re.findall(r"\]\(([\w-]+\.md)\)", index))


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    document = REPOSITORY / "README.md"
    page = tmp_path / "page.md"
    page.write_text("# A `heading`, here\n## Twice\n## Twice\n```sh\n# no heading [no](link)\n```\n")
    assert anchors(page) == {"a-heading-here", "twice", "twice-1"}
    assert "try-it" in anchors(document)
    page.write_text(f"[a]({document}) [b]({document}#try-it) [c]({document}#not-there) [d](nothing.md) [e](https://x)")
    assert [link.split(": ")[1] for link in dead_links(page)] == ["no such heading", "no such file"]
