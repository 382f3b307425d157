"""What the calls answer that follow an upload through its life. Immutable, compared by value, picklable."""

from dataclasses import dataclass, fields
from typing import Literal


class _Shown:
    """Shows eight digits of a uid: it is a secret."""

    def __repr__(self) -> str:
        def shown(name: str) -> str:
            value = getattr(self, name)
            return repr(f"{value[:8]}…" if name == "uid" and len(value) > 8 else value)

        names = (field.name for field in fields(self))  # type: ignore[arg-type]  # what inherits this is a dataclass
        return f"{type(self).__name__}({', '.join(f'{name}={shown(name)}' for name in names)})"


@dataclass(frozen=True, repr=False)
class Inspection(_Shown):
    """What is known of an upload, as Store.inspect answers it."""

    uid: str
    """The upload's uid. A secret."""
    file_name: str
    """What the first chunk said, verbatim: never use it in a path unchecked."""
    total_size: int
    """The declared size, in bytes."""
    chunk_count: int
    """The declared number of chunks."""
    received_size: int
    """Bytes in the chunks that are there."""
    received_count: int
    """How many chunks are there."""
    phase: Literal["receiving", "complete", "gone"]
    """What the upload is."""
    last_activity: float
    """When the last chunk was accepted, or the file last asked for: seconds since the epoch, to a second."""
    missing: tuple[range, ...]
    """The numbers of the chunks that are missing, from the one asked for on: at most 1,000 ranges, ascending."""
    next_chunk: int | None
    """Where to go on asking, if there are more."""


@dataclass(frozen=True, repr=False)
class Verification(_Shown):
    """What reading the stored bytes again has shown, as Store.verify answers it."""

    phase: Literal["receiving", "complete", "gone"]
    """ "receiving": damaged chunks are missing now. "complete": nothing was changed."""
    checked_count: int
    """How many chunks were read."""
    damaged_count: int
    """How many of them are not what was received."""
    damaged: tuple[range, ...]
    """Their numbers: at most 1,000 ranges, ascending."""


@dataclass(frozen=True, repr=False)
class Removed(_Shown):
    """What a cleanup removed."""

    uid: str
    """The uid."""
    phase: Literal["receiving", "complete", "gone"] | None
    """What it was; None for what a crash left."""


@dataclass(frozen=True, repr=False)
class Cleaned(_Shown):
    """What Store.cleanup did."""

    removed: tuple[Removed, ...]
    """What was removed, or with dry_run would have been."""
    failed_count: int
    """How many that are old enough could not be removed."""
    more: bool
    """Whether the limit was reached, and another call may find more."""


@dataclass(frozen=True, repr=False)
class Listed(_Shown):
    """One upload of a store, as Store.list yields it."""

    uid: str
    """The upload's uid. A secret."""
    file_name: str
    """What the first chunk said, verbatim: never use it in a path unchecked."""
    total_size: int
    """The declared size, in bytes."""
    chunk_count: int
    """The declared number of chunks."""
    phase: Literal["receiving", "complete", "gone"]
    """What the upload is."""
    last_activity: float
    """When the last chunk was accepted, or the file last asked for: seconds since the epoch, to a second."""


for _class in (Inspection, Verification, Removed, Cleaned, Listed):
    _class.__module__ = "chunked_upload"
