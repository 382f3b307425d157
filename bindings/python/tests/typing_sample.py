"""What a type checker must accept and refuse. Checked by `mypy --strict`; an unneeded ignore is an error there."""

from array import array
from datetime import timedelta
from pathlib import Path
from typing import Literal, assert_type

import chunked_upload as cu


def accepted(store: cu.Store) -> None:
    cu.Store(Path("x"), max_total_size=1, durability="chunk")
    receipt = store.handle_chunk(b"", total_size=0, chunk_number=0, chunk_count=1)
    store.handle_chunk(bytearray(), upload_uid=None, file_name=None, total_size=0, chunk_number=0, chunk_count=1)
    store.handle_chunk(memoryview(b""), upload_uid=receipt.upload_uid, total_size=0, chunk_number=0, chunk_count=1)
    store.handle_chunk(array("d"), file_name="x", total_size=0, chunk_number=0, chunk_count=1)
    assert_type(receipt, cu.Receipt)
    assert_type(receipt.received_all, bool)
    assert_type(store.durability, Literal["process", "complete", "chunk"])
    assert_type(store.root, str)
    upload = store.get(receipt.upload_uid)
    assert_type(upload, cu.Finished)
    assert_type(upload.path, str)
    assert_type(upload.crc32c, int)


def life(store: cu.Store) -> None:
    view = store.for_owner(bytearray(b"ann"))
    assert_type(view, cu.Store)
    assert_type(view.owner, bytes | None)
    uid = view.uid_for_key("k")
    view.handle_chunk(b"", total_size=0, chunk_number=0, chunk_count=1, upload_key=b"k", checksum="", file_digest=None)
    seen = view.inspect(uid, from_chunk=5)
    assert_type(seen.missing, tuple[range, ...])
    assert_type(seen.phase, Literal["receiving", "complete", "gone"])
    assert_type(view.verify(uid).damaged_count, int)
    assert_type(view.move_to(uid, Path("x"), overwrite=True), cu.Finished)
    assert_type(store.cleanup(timedelta(hours=1), finished=None, gone=2.5, dry_run=True).removed[0], cu.Removed)
    store.cleanup(unfinished=1, max_removals=5)
    store.cleanup(1, limit=5)
    assert_type(store.list(), cu.UploadIterator)
    old: cu.Upload | cu.Uploads = store.get(uid)
    assert isinstance(old, cu.Finished)
    for listed in store.list():
        assert_type(listed, cu.Listed)
    view.for_owner("ann")  # type: ignore[arg-type]
    store.cleanup("1 hour")  # type: ignore[arg-type]
    store.cleanup(1, max_removals=None)  # type: ignore[arg-type]
    seen.phase = "gone"  # type: ignore[misc]


def errors(store: cu.Store, uid: str) -> int:
    try:
        store.get(uid)
    except cu.Incomplete as e:
        return e.missing_count + e.first_missing
    except cu.LimitExceeded as e:
        assert_type(e.limit, str)
    except (cu.NoSpace, cu.Io) as e:
        assert_type(e.errno, int | None)
        assert_type(e.path, str | None)
        os_error: OSError = e
        raise os_error from None
    except cu.InvalidArgument as e:
        value_error: ValueError = e
        raise value_error from None
    except cu.Error as e:
        assert_type(e.name, str)
        return e.http_status + e.code
    return 0


def refused(store: cu.Store) -> None:
    cu.Store("x", "y")  # type: ignore[call-arg, arg-type]
    cu.Store(1)  # type: ignore[arg-type]
    cu.Store("x", durability="safe")  # type: ignore[arg-type]
    store.handle_chunk("x", total_size=0, chunk_number=0, chunk_count=1)  # type: ignore[arg-type]
    store.handle_chunk(b"", total_size="0", chunk_number=0, chunk_count=1)  # type: ignore[arg-type]
    store.handle_chunk(b"", total_size=0, chunk_number=0)  # type: ignore[call-arg]
    store.get(None)  # type: ignore[arg-type]
    store.root = "y"  # type: ignore[misc]
