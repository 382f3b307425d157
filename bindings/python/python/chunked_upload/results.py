"""What the methods of Store return. Immutable, compared by value, picklable."""

from dataclasses import dataclass, fields
from typing import Any, Literal


class _Shown:
    """Shows eight digits of a uid: it is a secret. The path of a file in the store holds it, too."""

    def __repr__(self) -> str:
        facts = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # a dataclass
        uid = facts.get("uid") or facts.get("upload_uid") or ""

        def shown(value: Any) -> Any:
            return value.replace(uid, f"{uid[:8]}…") if isinstance(value, str) and len(uid) > 8 else value

        return f"{type(self).__name__}({', '.join(f'{name}={shown(value)!r}' for name, value in facts.items())})"


@dataclass(frozen=True, repr=False)
class Receipt(_Shown):
    """The answer to an accepted chunk, as Store.handle_chunk returns it.

    Attributes:
        upload_uid: The uid of the upload that this chunk belongs to. A secret: a client that knows it may add to the
            upload and ask for its file.
        received_all: Whether all chunks are there, as far as this call can tell. A hint: Store.get decides.
    """

    upload_uid: str
    received_all: bool


@dataclass(frozen=True, repr=False)
class Finished(_Shown):
    """A finished upload, as Store.get and Store.move_to return it.

    Attributes:
        uid: The upload's uid. A secret.
        path: The absolute path of the file, decoded as os.fsdecode does. You may read the file, rename it or remove it.
        file_name: The name that the first chunk gave, verbatim. A client may send any name: never use it in a path
            unchecked.
        total_size: Bytes in the file.
        crc32c: CRC-32C of the whole file, from the checksums taken as the chunks arrived.
    """

    uid: str
    path: str
    file_name: str
    total_size: int
    crc32c: int


@dataclass(frozen=True, repr=False)
class Inspection(_Shown):
    """What is known of an upload, as Store.inspect returns it.

    Attributes:
        uid: The upload's uid. A secret.
        file_name: The name that the first chunk gave, verbatim: never use it in a path unchecked.
        total_size: The declared size, in bytes.
        chunk_count: The declared number of chunks.
        received_size: Bytes in the chunks that are there.
        received_count: How many chunks are there.
        phase: "receiving": not finished. "complete": get returns the file. "gone": the file was taken away.
        last_activity: When the last chunk was accepted, or the file last asked for: seconds since the epoch, to a
            second.
        missing: The numbers of the missing chunks, not below from_chunk: at most 1,000 ranges, ascending.
        next_chunk: The from_chunk of the next call if there are more ranges, else None.
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
    """Whether the stored bytes are those that were received, as Store.verify returns it.

    Attributes:
        phase: "receiving": damaged chunks are missing now. "complete": nothing was changed.
        checked_count: How many chunks were read.
        damaged_count: How many of them differ from the received ones.
        damaged: The numbers of the damaged chunks: at most 1,000 ranges, ascending.
    """

    phase: Literal["receiving", "complete", "gone"]
    checked_count: int
    damaged_count: int
    damaged: tuple[range, ...]


@dataclass(frozen=True, repr=False)
class Removed(_Shown):
    """An upload that a cleanup removed.

    Attributes:
        uid: The upload's uid.
        phase: The phase that it had; None if a crash left it.
    """

    uid: str
    phase: Literal["receiving", "complete", "gone"] | None


@dataclass(frozen=True, repr=False)
class Cleaned(_Shown):
    """What Store.cleanup did.

    Attributes:
        removed: The uploads that were removed, or with dry_run would have been.
        failed_count: How many old uploads could not be removed. An upload that was removed counts, too, if a file
            .upload-*.part stays where move_to had begun to copy it to another file system.
        more: Whether max_removals was reached, so that another call may find more.
    """

    removed: tuple[Removed, ...]
    failed_count: int
    more: bool


@dataclass(frozen=True, repr=False)
class Listed(_Shown):
    """One upload of a store, as Store.list yields it.

    Attributes:
        uid: The upload's uid. A secret.
        file_name: The name that the first chunk gave, verbatim: never use it in a path unchecked.
        total_size: The declared size, in bytes.
        chunk_count: The declared number of chunks.
        phase: "receiving": not finished. "complete": get returns the file. "gone": the file was taken away.
        last_activity: When the last chunk was accepted, or the file last asked for: seconds since the epoch, to a
            second.
    """

    uid: str
    file_name: str
    total_size: int
    chunk_count: int
    phase: Literal["receiving", "complete", "gone"]
    last_activity: float


for _class in (Receipt, Finished, Inspection, Verification, Removed, Cleaned, Listed):
    _class.__module__ = "chunked_upload"
