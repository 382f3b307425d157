"""What follows the first chunk: resuming, keys, owners, checksums, moving, removing, expiring, listing."""

import base64
import errno
import hashlib
import math
import multiprocessing
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import chunked_upload as cu
from helpers import content, send

KEY = "a key of sixteen bytes"
PARTS = [b"ab", b"cd", b"ef"]


def sha256(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def chunk(number: int = 0, **more: Any) -> dict[str, Any]:
    return {"total_size": 6, "chunk_number": number, "chunk_count": 3, **more}


def idle(store: cu.Store, uid: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(Path(store.root, uid), (then, then))


def test_an_inspection_tells_what_is_missing(store: cu.Store) -> None:
    uid = send(store, PARTS, [1])
    seen = store.inspect(uid)
    assert (seen.uid, seen.file_name, seen.total_size, seen.chunk_count) == (uid, "a.bin", 6, 3)
    assert (seen.received_size, seen.received_count, seen.phase) == (2, 1, "receiving")
    assert (seen.missing, seen.next_chunk) == ((range(0, 1), range(2, 3)), None)
    assert abs(seen.last_activity - time.time()) < 60
    assert store.inspect(uid, from_chunk=1).missing == (range(2, 3),)
    for number in seen.missing:
        send(store, PARTS, number, uid)
    store.get(uid)
    assert store.inspect(uid).phase == "complete"
    assert uid[:8] in repr(seen) and uid not in repr(seen)


@pytest.mark.parametrize("from_chunk", [-1, 2**70])
def test_a_chunk_number_that_cannot_be_is_refused(store: cu.Store, from_chunk: int) -> None:
    with pytest.raises(cu.InvalidArgument):
        store.inspect(send(store, PARTS, [1]), from_chunk)


def test_many_gaps_come_in_pages(store: cu.Store) -> None:
    uid, count = "", 2 * 1500
    for number in range(1, count, 2):
        sent = store.handle_chunk(b"x", upload_uid=uid, total_size=count, chunk_number=number, chunk_count=count)
        uid = sent.upload_uid
    missing: list[int] = []
    page = store.inspect(uid)
    while True:
        missing += [number for numbers in page.missing for number in numbers]
        if page.next_chunk is None:
            break
        page = store.inspect(uid, page.next_chunk)
    assert missing == list(range(0, count, 2))


@pytest.mark.parametrize("key", [KEY, KEY.encode(), bytearray(KEY.encode())])
def test_chunks_with_one_key_join_one_upload(store: cu.Store, key: Any) -> None:
    uid = store.uid_for_key(KEY)
    for number in (2, 2, 0, 1):
        receipt = store.handle_chunk(PARTS[number], upload_key=key, **chunk(number))
        assert receipt.upload_uid == uid
    assert receipt.received_all and content(store.get(uid)) == b"abcdef"
    os.remove(store.get(uid).path)
    with pytest.raises(cu.Gone):
        store.handle_chunk(b"ab", upload_key=key, **chunk())


@pytest.mark.parametrize("key", ["short", "k" * 257, "\udcff" * 20, b"k" * 15])
def test_bad_keys_are_refused_and_leave_nothing(store: cu.Store, root: Path, key: Any) -> None:
    with pytest.raises(cu.InvalidArgument):
        store.handle_chunk(b"ab", upload_key=key, **chunk())
    with pytest.raises(cu.InvalidArgument):
        store.uid_for_key(key)
    assert not root.exists()
    for none in ("", b"", None):
        assert store.handle_chunk(b"ab", upload_key=none, **chunk()).upload_uid
    with pytest.raises(TypeError):
        store.handle_chunk(b"ab", upload_key=5, **chunk())  # type: ignore[arg-type]


def first_chunk(store: cu.Store, number: int) -> str:
    return store.handle_chunk(PARTS[number], upload_key=KEY, **chunk(number)).upload_uid


def test_processes_that_begin_at_once_join_one_upload(store: cu.Store) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        uids = pool.starmap(first_chunk, [(store, number) for number in range(3)])
    assert len(set(uids)) == 1 and content(store.get(uids[0])) == b"abcdef"
    assert [listed.uid for listed in store.list()] == uids[:1]


def test_checksums_are_compared_before_anything_is_stored(store: cu.Store, root: Path) -> None:
    with pytest.raises(cu.ChecksumMismatch):
        store.handle_chunk(b"ab", checksum=sha256(b"ax"), **chunk())
    for bad in ("sha-256", "md5=:AAAA:", "\udcff"):
        with pytest.raises(cu.InvalidArgument):
            store.handle_chunk(b"ab", checksum=bad, **chunk())
    assert not root.exists()
    uid = store.handle_chunk(b"ab", checksum=sha256(b"ab"), file_digest=sha256(b"abcdef"), **chunk()).upload_uid
    send(store, [b"", b"cd", b"eX"], [1, 2], uid, total_size=6)
    with pytest.raises(cu.ChecksumMismatch):
        store.get(uid)
    send(store, PARTS, [2], uid)
    assert content(store.get(uid)) == b"abcdef"


def test_an_owner_sees_only_its_own(store: cu.Store, root: Path) -> None:
    ann, bob = store.for_owner(b"ann"), store.for_owner(memoryview(b"bob"))
    assert (ann.owner, bob.owner, store.owner) == (b"ann", b"bob", None)
    uid = send(ann, PARTS)
    for other in (bob, store):
        for call in (other.get, other.inspect, other.verify, other.remove):
            with pytest.raises(cu.NotFound) as refused:
                call(uid)
            assert str(refused.value) == f"upload {uid[:8]}… not found"
        assert list(other.list()) == []
    assert content(ann.get(uid)) == b"abcdef"
    everything = cu.Store(root, all_owners=True)
    assert [listed.uid for listed in everything.list()] == [uid]
    assert ann == cu.Store(root, owner=b"ann") != store
    assert "ann" not in repr(ann).replace(str(root), "") and "owner=" in repr(ann)


def test_what_is_no_owner_is_refused(store: cu.Store, root: Path) -> None:
    with pytest.raises(TypeError, match="encode it"):
        store.for_owner("ann")  # type: ignore[arg-type]
    for bad in (b"", b"x" * 1025):
        with pytest.raises(cu.InvalidArgument):
            store.for_owner(bad)
    with pytest.raises(cu.InvalidArgument):
        cu.Store(root, all_owners=True, owner=b"ann")


def test_verify_finds_damage(store: cu.Store, root: Path) -> None:
    uid = send(store, PARTS)
    assert store.verify(uid) == cu.Verification("receiving", 3, 0, ())
    data = root / uid / "data"
    data.write_bytes(b"abXdef")
    assert store.verify(uid) == cu.Verification("receiving", 3, 1, (range(1, 2),))
    with pytest.raises(cu.Incomplete):
        store.get(uid)
    send(store, PARTS, [1], uid)
    upload = store.get(uid)
    Path(upload.path).write_bytes(b"Xbcdef")
    assert store.verify(uid) == cu.Verification("complete", 3, 1, (range(0, 1),))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_moved_once(store: cu.Store, tmp_path: Path, kind: type) -> None:
    uid, to = send(store, PARTS), tmp_path / "there"
    moved = store.move_to(uid, kind(to))
    assert (moved.uid, moved.path, moved.file_name, content(moved)) == (uid, str(to), "a.bin", b"abcdef")
    assert store.move_to(uid, to) == moved
    with pytest.raises(cu.Gone):
        store.move_to(uid, tmp_path / "elsewhere")
    second = send(store, PARTS)
    with pytest.raises(cu.Io) as taken:
        store.move_to(second, to)
    assert taken.value.errno == errno.EEXIST
    assert store.move_to(second, to, overwrite=True).path == str(to)


@pytest.mark.parametrize("bad", ["", "/", "a\0b", "\ud800"])
def test_a_destination_that_cannot_be_is_refused(store: cu.Store, bad: str) -> None:
    with pytest.raises(cu.InvalidArgument):
        store.move_to(send(store, PARTS), bad)


def test_a_removed_upload_is_unknown(store: cu.Store, root: Path) -> None:
    uid = send(store, PARTS)
    assert store.remove(uid) is None  # type: ignore[func-returns-value]
    with pytest.raises(cu.NotFound):
        store.remove(uid)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("hour", [3600, 3600.0, timedelta(hours=1)])
def test_a_cleanup_goes_by_age_and_kind(store: cu.Store, hour: Any) -> None:
    receiving, complete, gone = send(store, PARTS, [0]), send(store, PARTS), send(store, PARTS)
    store.get(complete)
    os.remove(store.get(gone).path)
    assert store.cleanup(hour) == cu.Cleaned((), 0, False)
    for uid in (receiving, complete, gone):
        idle(store, uid, 4000)
    assert store.cleanup(hour, finished=None, gone=None, dry_run=True).removed == (cu.Removed(receiving, "receiving"),)
    assert store.cleanup(None, gone=hour).removed == (cu.Removed(gone, "gone"),)
    assert store.cleanup(None, finished=hour).removed == (cu.Removed(complete, "complete"),)
    assert store.cleanup(hour, max_removals=0).more
    assert store.cleanup(hour).removed == (cu.Removed(receiving, "receiving"),)
    assert list(store.list()) == []


def test_a_cleanup_keeps_what_has_no_age(store: cu.Store) -> None:
    """The same in every language."""
    receiving, complete, gone = send(store, PARTS, [0]), send(store, PARTS), send(store, PARTS)
    store.get(complete)
    os.remove(store.get(gone).path)
    for uid in (receiving, complete, gone):
        idle(store, uid, 10**9)
    for nothing in (store.cleanup(), store.cleanup(None), store.cleanup(unfinished=None, finished=None, gone=None)):
        assert nothing == cu.Cleaned((), 0, False)
    assert store.cleanup(gone=1).removed == (cu.Removed(gone, "gone"),)
    assert store.cleanup(finished=1).removed == (cu.Removed(complete, "complete"),)
    assert store.cleanup(1, unfinished=None).removed == ()
    assert store.cleanup(unfinished=1).removed == (cu.Removed(receiving, "receiving"),)


def test_limit_is_the_old_name_of_max_removals(store: cu.Store) -> None:
    for uid in [send(store, PARTS, [0]) for _ in range(3)]:
        idle(store, uid, 4000)
    for name in ("max_removals", "limit"):
        cleaned = store.cleanup(3600, **{name: 1})  # type: ignore[arg-type]
        assert (len(cleaned.removed), cleaned.more) == (1, True), name
        wrong: list[Any] = [None, True, "1", ...]
        for value in wrong:
            with pytest.raises(TypeError, match=name):
                store.cleanup(3600, **{name: value})
        with pytest.raises(cu.InvalidArgument, match=f"^{name} is negative"):
            store.cleanup(3600, **{name: -1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="old name of max_removals"):
        store.cleanup(3600, max_removals=1, limit=1)
    assert len(list(store.list())) == 1
    assert "old name of max_removals" in (cu.Store.cleanup.__doc__ or "")


@pytest.mark.parametrize("age", [-1, math.nan, math.inf, 10**400, timedelta(days=-1)])
def test_an_age_that_cannot_be_is_refused(store: cu.Store, age: Any) -> None:
    for name in ("older_than", "unfinished", "finished", "gone"):
        with pytest.raises(cu.InvalidArgument, match=f"^{name} must be"):
            store.cleanup(**{"older_than": 1, name: age})


@pytest.mark.parametrize("age", ["1 hour", True, ...])
def test_what_is_no_age_is_a_type_error(store: cu.Store, age: Any) -> None:
    with pytest.raises(TypeError):
        store.cleanup(age)


def test_a_list_goes_on_behind_what_cannot_be_read(store: cu.Store, root: Path) -> None:
    uids = {send(store, PARTS) for _ in range(3)}
    (root / "not an upload").mkdir()
    assert {listed.uid for listed in store.list()} == uids
    damaged = uids.pop()
    (root / damaged / "state").write_bytes(b"garbage")
    uploads, seen, failures = store.list(), set(), 0
    assert iter(uploads) is uploads
    while True:
        try:
            seen.add(next(uploads).uid)
        except StopIteration:
            break
        except cu.Io:
            failures += 1
    assert (seen, failures) == (uids, 1)


def test_a_store_keeps_to_its_size(root: Path) -> None:
    limit = sum(map(len, PARTS)) + 2 * 4096
    store = cu.Store(root, max_store_size=limit)
    uid = send(store, PARTS)
    with pytest.raises(cu.LimitExceeded) as refused:
        send(store, PARTS)
    assert (refused.value.limit, refused.value.limit_value) == ("max_store_size", limit)
    os.remove(store.get(uid).path)
    time.sleep(1.1)  # The store is counted at most once a second.
    send(store, PARTS)


def test_a_store_keeps_to_its_number_of_uploads(root: Path) -> None:
    store = cu.Store(root, max_uploads=2)
    uid = send(store, PARTS)
    send(store.for_owner(b"ann"), PARTS)
    with pytest.raises(cu.LimitExceeded) as refused:
        send(store, PARTS)
    assert (refused.value.limit, refused.value.limit_value) == ("max_uploads", 2)
    store.remove(uid)
    send(store, PARTS)
