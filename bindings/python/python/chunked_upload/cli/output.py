"""What the commands print: tables for people, JSON for machines."""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

# Uids and names must stay whole where no terminal says how wide it is.
NO_TERMINAL_WIDTH = 200


def console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH)


def facts(result: Any) -> dict[str, Any]:
    """A result as JSON has it: ranges are [first, behind the last]."""

    def plain(value: Any) -> Any:
        if isinstance(value, range):
            return [value.start, value.stop]
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return {name: plain(value) for name, value in asdict(result).items()}


def print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # As text: a file's name is a client's, and must not be taken for markup or control a terminal.
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


def printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def complain(name: str, message: str, as_json: bool) -> None:
    text = (
        json.dumps({"error": name, "message": message}) if as_json else f"chunked-upload: {name}: {printable(message)}"
    )
    print(text, file=sys.stderr)


def size(count: int) -> str:
    return decimal(count)


def age(timestamp: float) -> str:
    seconds = max(0, int(time.time() - timestamp))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def ranges(missing: Iterable[range]) -> str:
    """The first few, as 1-3, 7."""
    shown = 8
    texts = [str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in missing]
    return ", ".join(texts[:shown]) + (", …" if len(texts) > shown else "")
