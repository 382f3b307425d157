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
        upload = store.get(uid)
    except cu.Incomplete as e:
        ...                 # e.missing_count, e.first_missing
    except cu.Error as e:
        ...                 # e.name for the client, e.http_status for the answer, str(e) for the log
    else:
        store.move_to(uid, ...)     # or os.rename(upload.path, ...)

After a break, store.inspect(uid) tells what is missing. With an upload_key that the client makes, and sends with each
chunk, a lost first answer does no harm. store.for_owner(b"...") is a store of one user. Nothing expires by itself: call
store.cleanup(seconds) now and then.

Numbers are ints from 0 to 2**63 - 1. Whatever a client's *value* can cause is an Error; only a wrong *type* is a
TypeError. An upload's uid is a secret: messages and reprs show its first eight digits.

Threads, processes, fork: nothing is kept in memory. A Store may be shared between threads, pickled to other processes
and used in a forked child; the GIL is released for each whole call. The module starts no threads, and importing it does
nothing. A child forked by another thread during a call shares the call's lock: should the parent die before the call
returns, the lock lives until the child execs or exits. Sub-interpreters are refused with ImportError.

asyncio: calls block for as long as the disk takes, so

    receipt = await asyncio.to_thread(store.handle_chunk, content, upload_uid=uid, ...)
"""

from chunked_upload._core import Receipt, Store, Upload, Uploads, __version__
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
from chunked_upload.results import Cleaned, Inspection, Listed, Removed, Verification

__all__ = [
    "ChecksumMismatch",
    "Cleaned",
    "Conflict",
    "Error",
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
    "Uploads",
    "Verification",
    "__version__",
]
