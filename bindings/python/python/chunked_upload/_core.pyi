from datetime import timedelta
from os import PathLike
from types import EllipsisType
from typing import Final, Literal, SupportsIndex, final

from typing_extensions import Buffer

from chunked_upload.results import Cleaned, Finished, Inspection, Listed, Receipt, Verification

__all__ = ["Store", "UploadIterator", "__version__"]

__version__: Final[str]

@final
class UploadIterator:
    """The iterator that Store.list returns: the uploads of a store, each read when it is asked for."""

    def __iter__(self) -> UploadIterator: ...
    def __next__(self) -> Listed: ...

@final
class Store:
    """A directory that receives files in numbered chunks.

    Opening creates nothing: the first upload makes the directory's last component. A store is a path and
    options: any thread, process or forked child may handle any chunk of any upload, with its own Store or
    with one made before the fork. A Store is immutable, compares by value, and can be pickled.

    Args:
        root: The directory, a str or os.PathLike. The first chunk makes it, in a parent that must exist by
            then. Symbolic links are resolved now. A link that is later put in the place of the directory is
            refused with Io. These are refused with Io, too: network file systems; file systems without a
            journal (ext2, ext4 made without one) at the levels above "process"; and a directory that
            another user could exchange. Another user could exchange it if all users may write into it and
            it is not sticky, or if another user made it below a directory like /tmp.
        max_total_size: The largest total_size of a new upload, in bytes; 0 means no limit.
        max_chunk_count: The largest chunk_count of a new upload; 0 means no limit. A chunk takes 32 bytes
            on disk besides its content.
        min_free_space: How many bytes must stay free on the file system after a new upload's declared size.
            The default is 16 MiB.
        max_store_size: The most bytes that all uploads together may take on disk; 0 means no limit. An
            upload counts until its file is taken, with its declared size, its table of chunks, and 4 KiB
            for its directory. All programs that use a store should give the same limit. A file that was
            taken without a call makes room at most a second later. Chunks of wrong sizes can make an upload
            take three times its size on disk, and four times during get: against hostile clients set the
            limit to a quarter of the room.
        max_uploads: The most uploads in the store, of all owners together; 0 means no limit. An upload
            counts until its file is taken.
        durability: What survives. "process": every acknowledged chunk survives the death of every process,
            at any instant. "complete": also, the finished file survives power loss after get has returned.
            "chunk": also, every acknowledged chunk survives power loss. At every level get answers only the
            right bytes.
        prefix: What precedes the uid in the names of the uploads' directories: up to 64 bytes, no "/".
        dir_mode: Permissions of directories, whatever the umask; at least the bits of the default.
        file_mode: Permissions of files, likewise.
        all_owners: Whether this store sees the uploads of every owner, as an administrator's tool does.
        owner: The owner of this store's uploads, in bytes; see for_owner.

    Raises:
        InvalidArgument: A value that no store can work with.
        Io: A file system or a directory that is refused, see root. If uploads cannot be made in the
            directory, the first chunk reports it.
    """

    def __new__(
        cls,
        root: str | PathLike[str],
        *,
        max_total_size: SupportsIndex = 0,
        max_chunk_count: SupportsIndex = 1_000_000,
        min_free_space: SupportsIndex = 16777216,
        max_store_size: SupportsIndex = 0,
        max_uploads: SupportsIndex = 0,
        durability: Literal["process", "complete", "chunk"] = "process",
        prefix: str = "",
        dir_mode: SupportsIndex = 0o700,
        file_mode: SupportsIndex = 0o600,
        all_owners: bool = False,
        owner: Buffer | None = None,
    ) -> Store: ...
    def handle_chunk(
        self,
        content: Buffer,
        *,
        upload_uid: str | None = "",
        file_name: str | None = None,
        total_size: SupportsIndex,
        chunk_number: SupportsIndex,
        chunk_count: SupportsIndex,
        upload_key: str | Buffer | None = None,
        checksum: str | None = None,
        file_digest: str | None = None,
    ) -> Receipt:
        """Receive one chunk.

        Chunks may come in any order, repeatedly, and from several threads, processes and connections at once.

        Args:
            content: The chunk's bytes, which may be empty. bytes (and a memoryview of bytes) are read in place;
                any other contiguous buffer is copied first.
            upload_uid: Empty or None starts an upload. Later chunks carry the upload_uid of the first one's
                receipt.
            file_name: The client's name for the file: kept as metadata, never used in a path. The name that
                comes with the first chunk stays; later chunks may leave it out. At most 4,096 bytes of UTF-8,
                no NUL.
            total_size: The size of the whole file in bytes, 0 to 2^63 - 1. The same in each chunk of an upload.
            chunk_number: The number of this chunk, from 0, below chunk_count.
            chunk_count: How many chunks there are, 1 to 2^63 - 1. The same in each chunk of an upload.
            upload_key: A name for the upload that the client made, a str or bytes, in place of an upload_uid:
                all chunks with the same key join one upload, in any order and however often they are sent. Up
                to 256 bytes. Without an owner of the store, a key needs at least 16 unguessable bytes. Ignored
                if there is an upload_uid.
            checksum: Checksums of content, written as in the header field Content-Digest (RFC 9530):
                "crc32c=:...:" or "sha-256=:...:", base64 between the colons, or both with a comma.
            file_digest: A checksum of the whole file in the same form, as in Repr-Digest. It is compared when
                the upload is completed. The digest that comes with the first chunk stays; later chunks may
                leave it out or repeat it.

        Returns:
            A Receipt. The chunk is stored, and stays stored if every process dies now.

        Raises:
            InvalidArgument: The request contradicts itself.
            LimitExceeded: A limit of the store, or the chunks of this upload are too large together.
            NotFound: The upload_uid is unknown, malformed, or of an upload of another owner.
            Conflict: Another total_size, chunk_count or file_digest than the first chunk's, or other bytes for
                a complete upload.
            ChecksumMismatch: The content does not have its checksum.
            Gone: The file was taken away.
            NoSpace: The disk is full. The upload can be resumed.
            Io: The operating system refused.
            Internal: A defect of this library.

        A refused chunk stores nothing. Other bytes for a chunk of an upload that is not complete replace the
        earlier ones; if that fails with NoSpace or Io, the chunk may be missing afterwards.

        Blocks for as long as the disk takes, without the GIL; cannot be interrupted. In asyncio: await
        asyncio.to_thread(store.handle_chunk, content, ...).
        """
    def get(self, uid: str) -> Finished:
        """Return the finished file of an upload; complete the upload first if necessary.

        The call may be repeated, by several processes at once: each gets the same path.

        Args:
            uid: The upload_uid of the receipts.

        Returns:
            A Finished. Its file is yours: read it, rename it to where you want it, or remove it.

        Raises:
            Incomplete: Chunks are missing: missing_count, first_missing.
            SizeMismatch: All chunks are there, but their sizes do not add up to total_size. Sending the wrong
                ones again repairs it.
            ChecksumMismatch: The file does not have the file_digest that was declared. Sending chunks again can
                repair it.
            NotFound: There is no such upload.
            Gone: The file was taken away.
            NoSpace: The disk is full.
            Io: The operating system refused.
            Internal: A defect of this library.

        Usually takes microseconds to milliseconds, whatever the file's size. After a reboot, or if chunks of
        uneven sizes came out of order, it reads the file once. Runs without the GIL; cannot be interrupted. If
        a get is killed, the next one continues where it stopped.
        """
    def for_owner(self, owner: Buffer) -> Store:
        """Return a view of this store that is bound to an owner.

        Uploads that are made through it are NotFound through every other store, as if they did not exist. All
        other uploads are NotFound through it. The disk holds only a keyed digest of the owner.

        Args:
            owner: 1 to 1,024 bytes that identify the caller, for example a user's id.

        Returns:
            A Store with the same root and options.

        Raises:
            InvalidArgument: No bytes, or too many.
        """
    def uid_for_key(self, upload_key: str | Buffer) -> str:
        """Return the uid of the upload that this upload_key names in this store, whether it was made or not.

        Makes no upload. The first use of a key makes the store's directory and its secret, if they do not
        exist.

        Args:
            upload_key: As in handle_chunk.

        Returns:
            The uid.

        Raises:
            InvalidArgument: The key is empty, too long, or too short for a store without an owner.
            NoSpace: The disk is full.
            Io: The operating system refused.
        """
    def inspect(self, uid: str, from_chunk: SupportsIndex = 0) -> Inspection:
        """Return what is known of an upload: all that a client needs to continue after a break.

        Takes no lock, changes nothing.

        Args:
            uid: The upload_uid of the receipts.
            from_chunk: The lowest chunk number whose absence is reported.

        Returns:
            An Inspection. If more than 1,000 ranges of chunks are missing, its next_chunk is the from_chunk of
            the next call. An upload whose file was taken is no error here: its phase is "gone".

        Raises:
            InvalidArgument: A negative number, or a too large one.
            NotFound: There is no such upload.
            Io: The operating system refused.
        """
    def verify(self, uid: str) -> Verification:
        """Read the stored bytes of an upload, and compare them with the checksums taken at their arrival.

        Damaged chunks of an unfinished upload are missing afterwards, so that they can be sent again. Damaged
        chunks of a finished file are only reported.

        Args:
            uid: The upload_uid of the receipts.

        Returns:
            A Verification.

        Raises:
            NotFound: There is no such upload.
            Gone: The file was taken away.
            Io: The operating system refused.
        """
    def move_to(self, uid: str, destination: str | PathLike[str], *, overwrite: bool = False) -> Finished:
        """Put the finished file at its permanent place; complete the upload first if necessary.

        Afterwards the upload is Gone.

        A rename where that is possible. Otherwise a copy, which appears when it is whole, and which a repeated
        call continues. The call may be repeated after a crash: the same destination succeeds again while the
        file is there and has its size. Of several callers with different destinations one succeeds. A copy that
        was begun at another destination is removed. If it cannot be removed, the call succeeds, and a file
        .upload-*.part stays there.

        Args:
            uid: The upload_uid of the receipts.
            destination: A path with a file name, a str or os.PathLike. A relative one starts at the working
                directory.
            overwrite: Whether to replace a file that is there.

        Returns:
            A Finished whose path is the destination.

        Raises:
            InvalidArgument: The destination has no file name, or lies in the store.
            Gone: The file was moved elsewhere, or taken.
            Io: The operating system refused; errno is EEXIST if something is at the destination.
            Error: Any error that get raises.
        """
    def remove(self, uid: str) -> None:
        """Remove an upload with all its files, in whatever phase it is.

        Waits for calls that are working on it.

        Args:
            uid: The upload_uid of the receipts.

        Raises:
            NotFound: There is no such upload.
            Io: The operating system refused. If the error names a file .upload-*.part, the upload was removed,
                but this file stays: a copy to another file system that move_to had begun.
        """
    def cleanup(
        self,
        older_than: float | timedelta | None = None,
        *,
        unfinished: float | timedelta | EllipsisType | None = ...,
        finished: float | timedelta | EllipsisType | None = ...,
        gone: float | timedelta | EllipsisType | None = ...,
        max_removals: SupportsIndex = 1000,
        dry_run: bool = False,
        limit: SupportsIndex = ...,
    ) -> Cleaned:
        """Remove uploads without activity for some time, and what crashes left. What has no age is kept.

        So cleanup() removes nothing. Never removes an upload that a call is working on, in any process.
        Nothing expires by itself. A cleanup sees what this store sees: to clean up the uploads of all owners,
        open the store with all_owners.

        Args:
            older_than: Remove uploads that were idle for this long: seconds, a datetime.timedelta, or None, which
                keeps them. 0 removes all. The three ages below replace it for some uploads.
            unfinished: The age for uploads that are not finished, and for what crashes left.
            finished: The age for finished uploads whose file was not taken.
            gone: The age for the records of uploads whose file was taken. While such a record is there, a late
                chunk is refused with Gone.
            max_removals: The most uploads to remove in this call.
            dry_run: Whether to only tell what would be removed.
            limit: The old name of max_removals.

        Returns:
            Cleaned. Uploads that could not be removed are counted there.

        Raises:
            InvalidArgument: A negative age or number, or a too large one.
            Io: The store cannot be read.
        """
    def list(self) -> UploadIterator:
        """Iterate over the uploads in the store, in no particular order; each is read when it is asked for.

        What is not an upload is skipped. A store that does not exist yet is empty.

        Returns:
            An iterator that yields a Listed for each upload.

        Raises:
            Io: The store cannot be read. For an upload that cannot be read the iterator raises Io, and next()
                then continues with the following upload.
        """
    @property
    def owner(self) -> bytes | None:
        """The owner that this store is bound to, or None."""
    @property
    def max_store_size(self) -> int:
        """The most bytes that all uploads together may take on disk; 0 means no limit."""
    @property
    def max_uploads(self) -> int:
        """The most uploads in the store; 0 means no limit."""
    @property
    def all_owners(self) -> bool:
        """Whether this store sees the uploads of every owner."""
    @property
    def root(self) -> str:
        """The directory, as an absolute path."""
    @property
    def max_total_size(self) -> int:
        """The largest total_size of a new upload, in bytes; 0 means no limit."""
    @property
    def max_chunk_count(self) -> int:
        """The largest chunk_count of a new upload; 0 means no limit."""
    @property
    def min_free_space(self) -> int:
        """How many bytes must stay free after a new upload's declared size."""
    @property
    def durability(self) -> Literal["process", "complete", "chunk"]:
        """What survives: "process", "complete" or "chunk"."""
    @property
    def prefix(self) -> str:
        """What precedes the uid in the names of directories."""
    @property
    def dir_mode(self) -> int:
        """Permissions of directories."""
    @property
    def file_mode(self) -> int:
        """Permissions of files."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
