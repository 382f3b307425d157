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
    """What is known of an upload, as Store.inspect answers it.

    Attributes:
        uid: The upload's uid. A secret.
        file_name: What the first chunk said, verbatim: never use it in a path unchecked.
        total_size: The declared size, in bytes.
        chunk_count: The declared number of chunks.
        received_size: Bytes in the chunks that are there.
        received_count: How many chunks are there.
        phase: What the upload is.
        last_activity: When the last chunk was accepted, or the file last asked for: seconds since the epoch, to a
            second.
        missing: The numbers of the chunks that are missing, from the one asked for on: at most 1,000 ranges,
            ascending.
        next_chunk: Where to go on asking, if there are more.
    """

    uid: str
    file_name: str
    total_size: int
    chunk_count: int
    received_size: int
    received_count: int
    phase: Literal["receiving", "complete", "gone"]
    last_activity: float
    missing: tuple[range, ...]
    next_chunk: int | None


@dataclass(frozen=True, repr=False)
class Verification(_Shown):
    """What reading the stored bytes again has shown, as Store.verify answers it.

    Attributes:
        phase: "receiving": damaged chunks are missing now. "complete": nothing was changed.
        checked_count: How many chunks were read.
        damaged_count: How many of them are not what was received.
        damaged: Their numbers: at most 1,000 ranges, ascending.
    """

    phase: Literal["receiving", "complete", "gone"]
    checked_count: int
    damaged_count: int
    damaged: tuple[range, ...]


@dataclass(frozen=True, repr=False)
class Removed(_Shown):
    """What a cleanup removed.

    Attributes:
        uid: The uid.
        phase: What it was; None for what a crash left.
    """

    uid: str
    phase: Literal["receiving", "complete", "gone"] | None


@dataclass(frozen=True, repr=False)
class Cleaned(_Shown):
    """What Store.cleanup did.

    Attributes:
        removed: What was removed, or with dry_run would have been.
        failed_count: How many that are old enough could not be removed. Uploads that were removed count,
            too, if a file .upload-*.part stays where move_to had begun to copy them to another file system.
        more: Whether the limit was reached, and another call may find more.
    """

    removed: tuple[Removed, ...]
    failed_count: int
    more: bool


@dataclass(frozen=True, repr=False)
class Listed(_Shown):
    """One upload of a store, as Store.list yields it.

    Attributes:
        uid: The upload's uid. A secret.
        file_name: What the first chunk said, verbatim: never use it in a path unchecked.
        total_size: The declared size, in bytes.
        chunk_count: The declared number of chunks.
        phase: What the upload is.
        last_activity: When the last chunk was accepted, or the file last asked for: seconds since the epoch, to a
            second.
    """

    uid: str
    file_name: str
    total_size: int
    chunk_count: int
    phase: Literal["receiving", "complete", "gone"]
    last_activity: float


for _class in (Inspection, Verification, Removed, Cleaned, Listed):
    _class.__module__ = "chunked_upload"
