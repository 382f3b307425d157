"""Each defect of the helper that comes with GWS, and that it is gone. The numbers are those of docs/gws.md."""

import base64
import hashlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_upload_helper import PARTS, WHOLE, content, refused, request, send

from conftest import make, uh

UNKNOWN = "0" * 32


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def idle(root: Path, uid: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(root / f"upload_{uid}", (then, then))


def dies(call: Any) -> None:
    """Runs a call in a child that is killed a moment later."""
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                call()
        finally:
            os._exit(1)
    time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize("uid", [UNKNOWN, "\u65e5\u672c", "\u00b2", "../x", "a" * 64])
def test_01_an_unknown_uid_makes_nothing(helper: Any, root: Path, uid: str) -> None:
    assert ("not found" if uid.isalnum() else "invalid") in refused(helper, request(0, uid))
    with pytest.raises(uh.Error):
        helper.get_upload(uid)
    assert names(root) == []


@pytest.mark.parametrize("wrong", [{"chunkCount": 0}, {"chunkCount": -1}, {"chunkNumber": 7}, {"totalSize": -5}])
def test_02_a_refused_first_chunk_leaves_nothing(helper: Any, root: Path, wrong: dict[str, int]) -> None:
    refused(helper, request(0, **wrong))
    assert names(root) == []


def test_03_a_long_uid_is_refused(helper: Any) -> None:
    assert len(refused(helper, request(0, "a" * 5000))) < 100
    with pytest.raises(uh.Error):
        helper.get_upload("a" * 5000)


def test_04_parallel_chunks_do_not_sleep(helper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
    parts = [bytes([number]) * 1000 for number in range(64)]
    uid = helper.handle_chunk_request(None, request(0, parts=parts)).uploadUid
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: helper.handle_chunk_request(None, request(n, uid, parts=parts)), range(1, 64)))
    assert content(helper.get_upload(uid)) == b"".join(parts)


def test_05_06_a_worker_that_was_killed_leaves_no_lock(helper: Any) -> None:
    uid = send(helper, [0])
    for _ in range(5):
        dies(lambda: helper.handle_chunk_request(None, request(1, uid)))
    began = time.monotonic()
    for number in (1, 2):
        helper.handle_chunk_request(None, request(number, uid))
    assert content(helper.get_upload(uid)) == WHOLE
    assert time.monotonic() - began < 30, "the other one waited a minute for a lock"


def test_07_a_worker_that_was_killed_while_finishing_is_no_loss(helper: Any) -> None:
    for _ in range(5):
        uid = send(helper)
        dies(lambda uid=uid: helper.get_upload(uid))
        assert content(helper.get_upload(uid)) == WHOLE


def test_08_all_who_ask_at_once_get_the_file(helper: Any) -> None:
    for _ in range(20):
        uid = send(helper)
        with ThreadPoolExecutor(8) as pool:
            paths = {upload.path for upload in pool.map(helper.get_upload, [uid] * 8)}
        assert len(paths) == 1


def test_09_nothing_is_copied_at_the_end(helper: Any, root: Path) -> None:
    parts = [b"x" * 1000, b"y" * 1000]
    uid = send(helper, [0, 1], parts=parts)
    before = (root / f"upload_{uid}" / "data").stat().st_ino
    assert Path(helper.get_upload(uid).path).stat().st_ino == before


def test_10_a_late_chunk_never_rebuilds_a_file(helper: Any, tmp_path: Path) -> None:
    uid = send(helper)
    os.rename(helper.get_upload(uid).path, tmp_path / "taken")
    assert "gone" in refused(helper, request(0, uid, content=b"EVIL! "))
    with pytest.raises(uh.Error, match="gone"):
        helper.get_upload(uid)
    assert (tmp_path / "taken").read_bytes() == WHOLE


def test_11_a_damaged_chunk_is_noticed(helper: Any, root: Path) -> None:
    uid = send(helper, [0, 1])
    (root / f"upload_{uid}" / "data").write_bytes(b"")
    helper.handle_chunk_request(None, request(2, uid))
    with pytest.raises(uh.Error, match="incomplete"):
        helper.get_upload(uid)
    for number in (0, 1):
        helper.handle_chunk_request(None, request(number, uid))
    assert content(helper.get_upload(uid)) == WHOLE


def test_12_a_full_disk_is_refused_by_name(root: Path, logged: list[str]) -> None:
    helper = make(minFreeSpace=2**62)
    assert "no_space" in refused(helper, request(0))
    assert "no_space" in "".join(logged)
    assert names(root) == []


def test_13_sizes_are_checked_at_once(root: Path, logged: list[str]) -> None:
    helper = make(maxSize=100, maxStoreSize=150 + 2 * 4096)
    refused(helper, request(0, content=b"x" * 1000))
    assert "limit_exceeded" in refused(helper, request(0, totalSize=101))
    assert "max_total_size" in "".join(logged)
    helper.handle_chunk_request(None, request(0, totalSize=100))
    assert "max_store_size" in refused(helper, request(0, totalSize=100))


@pytest.mark.parametrize("count", [1_000_001, 10**30])
def test_14_chunks_are_counted(helper: Any, root: Path, count: int) -> None:
    refused(helper, request(0, chunkCount=count))
    assert names(root) == []


def test_15_a_wrong_size_is_told_without_work_and_can_be_repaired(helper: Any, root: Path) -> None:
    uid = send(helper, [0, 1])
    helper.handle_chunk_request(None, request(2, uid, content=b"th"))
    for _ in range(3):
        with pytest.raises(uh.Error, match="invalid file size"):
            helper.get_upload(uid)
    assert sorted(path.name for path in (root / f"upload_{uid}").iterdir()) == ["data", "state"]
    helper.handle_chunk_request(None, request(2, uid))
    assert content(helper.get_upload(uid)) == WHOLE


def test_16_uploads_live_as_long_as_they_are_used_and_no_longer(root: Path) -> None:
    helper = make(maxAge=3600)
    used, asked, forgotten = (send(helper, order) for order in ([0], [0, 1, 2], [0]))
    (root / "of_somebody_else").mkdir()
    for uid in (used, asked, forgotten):
        idle(root, uid, 7200)
    helper.handle_chunk_request(None, request(0, used))
    helper.get_upload(asked)
    helper._cleanedUp = 0
    fresh = send(helper, [0])
    kept = [f"upload_{uid}" for uid in (used, asked, fresh)]
    assert names(root) == sorted(["of_somebody_else", *kept])


def test_17_the_total_size_is_told(helper: Any) -> None:
    assert helper.get_upload(send(helper)).totalSize == len(WHOLE)


def test_18_an_empty_file_is_one_empty_chunk(helper: Any) -> None:
    uid = helper.handle_chunk_request(None, request(0, parts=[b""])).uploadUid
    assert content(helper.get_upload(uid)) == b""


def test_19_uploads_can_be_bound_to_users(root: Path) -> None:
    helper = make(bindToUser=True)
    ann, bob = (SimpleNamespace(user=SimpleNamespace(uid=uid)) for uid in ("ann", "bob"))
    uid = send(helper, [0, 1], req=ann)
    assert "not found" in refused(helper, request(2, uid), bob)
    assert "not found" in refused(helper, request(2, uid), None)
    helper.handle_chunk_request(ann, request(2, uid))
    with pytest.raises(uh.Error, match="not found"):
        helper.get_upload(uid, bob)
    assert content(helper.get_upload(uid, ann)) == content(helper.get_upload(uid)) == WHOLE


def test_20_a_bad_uid_is_one_line_in_the_log(helper: Any, logged: list[str]) -> None:
    uid = send(helper, [0])
    for bad in (UNKNOWN, "x" * 5000):
        refused(helper, request(0, bad))
    refused(helper, request(0, uid, totalSize=99))
    assert len(logged) == 3 and all(len(line) < 300 for line in logged)
    assert uid not in "".join(logged), "a uid is a secret"


@pytest.mark.parametrize("durability", ["process", "complete", "chunk"])
def test_21_what_uploads_survive_can_be_chosen(root: Path, durability: str) -> None:
    helper = make(durability=durability)
    assert content(helper.get_upload(send(helper))) == WHOLE


def test_21_a_chunk_that_is_not_what_was_sent_is_refused(helper: Any, root: Path, logged: list[str]) -> None:
    digests = [base64.b64encode(hashlib.sha256(part).digest()).decode() for part in PARTS]
    checksums = [f"sha-256=:{digest}:" for digest in digests]
    assert "checksum_mismatch" in refused(helper, request(0, checksum=checksums[1]))
    assert "checksum_mismatch" in logged[0] and names(root) == []
    uid = ""
    for number, checksum in enumerate(checksums):
        uid = helper.handle_chunk_request(None, request(number, uid, checksum=checksum)).uploadUid
    assert content(helper.get_upload(uid)) == WHOLE


def test_22_a_chunk_costs_no_files_of_its_own(helper: Any, root: Path) -> None:
    uid = send(helper)
    assert sorted(path.name for path in (root / f"upload_{uid}").iterdir()) == ["data", "state"]


def test_23_wiping_the_directory_harms_nobody_elses_upload(helper: Any, root: Path) -> None:
    uid = send(helper, [0])
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert "not found" in refused(helper, request(1, uid))
    assert content(helper.get_upload(send(helper))) == WHOLE


def test_24_a_bool_is_no_number(helper: Any, root: Path) -> None:
    refused(helper, request(0, chunkNumber=True))
    refused(helper, request(0, totalSize=None))
    assert names(root) == []


def test_25_nobody_else_can_write(helper: Any, root: Path) -> None:
    before = os.umask(0)
    try:
        upload = helper.get_upload(send(helper))
    finally:
        os.umask(before)
    assert Path(upload.path).stat().st_mode & 0o777 == 0o644
    assert Path(upload.path).parent.stat().st_mode & 0o777 == 0o755


def test_other_totals_are_a_conflict(helper: Any) -> None:
    uid = send(helper, [0])
    for other in ({"totalSize": 99}, {"chunkCount": 9}):
        assert "conflict" in refused(helper, request(1, uid, **other))


def test_other_bytes_for_a_finished_file_are_a_conflict(helper: Any) -> None:
    uid = send(helper)
    helper.get_upload(uid)
    helper.handle_chunk_request(None, request(0, uid))
    assert "conflict" in refused(helper, request(0, uid, content=b"FIRST "))
    assert content(helper.get_upload(uid)) == WHOLE
