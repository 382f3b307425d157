"""Receive a file in numbered chunks, in any order, from any process, and get the assembled file.

    import chunked_upload as cu

    store = cu.Store("/var/spool/uploads", max_total_size=10 << 30)

    # For each request that brings a chunk; the first has no uid yet:
    receipt = store.handle_chunk(
        content, upload_uid=uid, file_name="a.tif", total_size=size, chunk_number=number, chunk_count=count
    )
    receipt.upload_uid      # goes back to the client, which sends it with every later chunk

    # When the client says it is done:
    try:
        file = store.get(uid)
    except cu.Incomplete as e:
        ...                 # e.missing_count, e.first_missing
    except cu.Error as e:
        ...                 # e.name for the client, e.http_status for the answer, str(e) for the log
    else:
        store.move_to(uid, ...)     # or os.rename(file.path, ...)

After a break, store.inspect(uid) tells which chunks are missing. If the client makes an upload_key and sends it with
each chunk, the first answer may be lost without harm. store.for_owner(b"...") is a store of one user. Nothing expires
by itself: call store.cleanup(seconds) now and then.

Numbers are ints from 0 to 2**63 - 1. A wrong *value* from a client is always an Error; only a wrong *type* is a
TypeError. An upload's uid is a secret: messages and reprs show its first eight digits.

Paths are taken as str or os.PathLike, and returned as str, decoded as os.fsdecode does.

Threads, processes, fork: nothing is kept in memory. A Store may be shared between threads, pickled to other processes
and used in a forked child; the GIL is released for each whole call. The module starts no threads, and importing it does
nothing. A child forked by another thread during a call shares the call's lock: if the parent dies before the call
returns, the lock lives until the child execs or exits. Sub-interpreters are refused with ImportError.

asyncio: calls block for as long as the disk takes, so

    receipt = await asyncio.to_thread(store.handle_chunk, content, upload_uid=uid, ...)

Two classes had other names first, which still work: Upload is Finished, Uploads is UploadIterator.
"""

from chunked_upload._core import Store, UploadIterator, __version__
from chunked_upload.exceptions import (
    ChecksumMismatch,
    Conflict,
    Error,
    Gone,
    Incomplete,
    Internal,
    InvalidArgument,
    Io,
    LimitExceeded,
    NoSpace,
    NotFound,
    SizeMismatch,
)
from chunked_upload.results import Cleaned, Finished, Inspection, Listed, Receipt, Removed, Verification

# The names that these classes had first.
Upload = Finished
Uploads = UploadIterator

__all__ = [
    "ChecksumMismatch",
    "Cleaned",
    "Conflict",
    "Error",
    "Finished",
    "Gone",
    "Incomplete",
    "Inspection",
    "Internal",
    "InvalidArgument",
    "Io",
    "LimitExceeded",
    "Listed",
    "NoSpace",
    "NotFound",
    "Receipt",
    "Removed",
    "SizeMismatch",
    "Store",
    "Upload",
    "UploadIterator",
    "Uploads",
    "Verification",
    "__version__",
]
