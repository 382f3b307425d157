"""The commands that look after a store. They see the uploads of every owner."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

import chunked_upload as cu
from chunked_upload.cli import output

DAMAGED = 3
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Age(click.ParamType[timedelta]):
    """90s, 30m, 12h, 7d, 2w."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        unit = UNITS.get(value[-1:])
        if unit is None or not value[:-1].isdecimal():
            self.fail(f"{value!r} is not an age like 90s, 30m, 12h, 7d or 2w", param, ctx)
        try:
            return timedelta(**{unit: int(value[:-1])})
        except OverflowError:
            self.fail(f"{value!r} is longer than any age", param, ctx)


def command(function: Callable[..., Any]) -> click.Command:
    """A command on a store: the first argument is its directory."""
    for decorator in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--prefix", default="", help="What stands before the uids in the store's directory names."),
        click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path)),
    ):
        function = decorator(function)
    return click.command()(function)


def opened(directory: Path, prefix: str) -> cu.Store:
    return cu.Store(directory, prefix=prefix, all_owners=True)


@command
def list_(directory: Path, prefix: str, as_json: bool) -> int:
    """Show the uploads in DIRECTORY. JSON: an object on each line."""
    failures: list[cu.Error] = []

    def uploads() -> Iterator[cu.Listed]:
        listing = opened(directory, prefix).list()
        while True:
            try:
                yield next(listing)
            except StopIteration:
                return
            except cu.Error as error:
                failures.append(error)

    if as_json:
        for upload in uploads():
            output.print_json(output.facts(upload))
    else:
        rows = (
            (u.uid, u.phase, output.size(u.total_size), str(u.chunk_count), output.age(u.last_activity), u.file_name)
            for u in uploads()
        )
        output.print_table(["uid", "phase", "size", "chunks", "active", "file name"], rows)
    for error in failures:
        output.complain(error.name, str(error), as_json)
    return 1 if failures else 0


list_.name = "list"


def of_upload(function: Callable[..., Any]) -> click.Command:
    """A command on one upload."""
    made = command(function)
    made.params.insert(1, click.Argument(["uid"]))
    return made


@of_upload
def inspect(directory: Path, uid: str, prefix: str, as_json: bool) -> None:
    """Show what is known of the upload UID in DIRECTORY. JSON: one object; missing: ranges [first, behind the last]."""
    store = opened(directory, prefix)
    seen = store.inspect(uid)
    if as_json:
        facts = output.facts(seen)
        while seen.next_chunk is not None:
            seen = store.inspect(uid, seen.next_chunk)
            facts["missing"] += output.facts(seen)["missing"]
        del facts["next_chunk"]
        output.print_json(facts)
        return
    rows = [
        ("uid", seen.uid),
        ("file name", seen.file_name),
        ("phase", seen.phase),
        ("received", f"{output.size(seen.received_size)} of {output.size(seen.total_size)}"),
        ("chunks", f"{seen.received_count} of {seen.chunk_count}"),
        ("missing", output.ranges(seen.missing) or "none"),
        ("active", output.age(seen.last_activity)),
    ]
    output.print_table(["", ""], rows)


@of_upload
def verify(directory: Path, uid: str, prefix: str, as_json: bool) -> int:
    """Read what is stored of the upload UID again. Damaged chunks of an unfinished upload are missing from then on.

    Exit status 3 if there is damage. JSON: one object; damaged: ranges [first, behind the last].
    """
    found = opened(directory, prefix).verify(uid)
    if as_json:
        output.print_json(output.facts(found))
    else:
        damage = (
            f"{found.damaged_count} damaged: {output.ranges(found.damaged)}" if found.damaged_count else "no damage"
        )
        click.echo(f"{found.checked_count} chunks read, {damage}")
    return DAMAGED if found.damaged_count else 0


@of_upload
def remove(directory: Path, uid: str, prefix: str, as_json: bool) -> None:
    """Remove the upload UID with all that belongs to it. JSON: one object."""
    opened(directory, prefix).remove(uid)
    if as_json:
        output.print_json({"removed": uid})


@command
@click.option("--older-than", type=Age(), required=True, help="Idle for longer: 90s, 30m, 12h, 7d, 2w.")
@click.option("--finished", type=Age(), help="Another age for finished uploads whose file was not taken.")
@click.option("--gone", type=Age(), help="Another age for the records of uploads whose file was taken.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def cleanup(
    directory: Path,
    prefix: str,
    as_json: bool,
    older_than: timedelta,
    finished: timedelta | None,
    gone: timedelta | None,
    dry_run: bool,
) -> int:
    """Remove uploads that were not used for long, and what crashes left. JSON: one object."""
    store = opened(directory, prefix)
    removed: list[cu.Removed] = []
    failed_count = 0
    while True:
        # What a dry run shows stays, so it has to show all at once.
        most = 2**63 - 1 if dry_run else 1000
        cleaned = store.cleanup(
            older_than,
            finished=... if finished is None else finished,
            gone=... if gone is None else gone,
            max_removals=most,
            dry_run=dry_run,
        )
        removed += cleaned.removed
        failed_count = max(failed_count, cleaned.failed_count)
        if not cleaned.more:
            break
    if as_json:
        uploads = [output.facts(upload) for upload in removed]
        output.print_json({"dry_run": dry_run, "removed": uploads, "failed_count": failed_count})
    else:
        output.print_table(["uid", "was"], ((upload.uid, upload.phase or "left by a crash") for upload in removed))
        click.echo(f"{len(removed)} {'would be removed' if dry_run else 'removed'}")
    if failed_count:
        output.complain("io", f"{failed_count} could not be removed, or left a part of a copy elsewhere", as_json)
    return 1 if failed_count else 0


STORE_COMMANDS = (list_, inspect, verify, cleanup, remove)
