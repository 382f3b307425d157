"""What goes wrong below the store: no space, no permission, no directory, garbage in place of a state."""

import errno
import os
import shutil
from pathlib import Path

import pytest

import chunked_upload as cu
from helpers import content, mount_namespace, run_mounted, run_python, send

needs_mounts = pytest.mark.skipif(not mount_namespace(), reason="no mount namespaces here")


def test_the_reserve_of_free_space(root: Path) -> None:
    with pytest.raises(cu.NoSpace) as caught:
        send(cu.Store(root, min_free_space=2**63), [b"ab"])
    error = caught.value
    assert isinstance(error, OSError) and error.errno == errno.ENOSPC
    assert error.path == error.filename and str(error.path).startswith(str(root))
    assert not root.exists() or os.listdir(root) == []


@needs_mounts
def test_a_full_disk_is_named_and_the_upload_can_be_resumed(tmp_path: Path) -> None:
    run_mounted(
        f'mount -t tmpfs -o size=3m tmpfs "{tmp_path}"',
        """
import os, sys
import chunked_upload as cu
root = sys.argv[1] + "/s"
store = cu.Store(root, min_free_space=0)
filler = sys.argv[1] + "/filler"
part = os.urandom(1 << 20)
rest = dict(total_size=2 << 20, chunk_count=2)
uid = store.handle_chunk(part, chunk_number=0, **rest).upload_uid
try:
    with open(filler, "wb", buffering=0) as f:
        while True:
            f.write(bytes(4096))
except OSError:
    pass
try:
    store.handle_chunk(part, upload_uid=uid, chunk_number=1, **rest)
except cu.NoSpace as e:
    assert e.errno in (28, 122) and uid in e.path and uid not in str(e), (e.errno, e.path, str(e))
    assert uid[:8] in str(e)
else:
    sys.exit("a full disk was not noticed")
try:
    store.get(uid)
except cu.Incomplete as e:
    assert (e.missing_count, e.first_missing) == (1, 1)
else:
    sys.exit("complete without its second half")
os.remove(filler)
store.handle_chunk(part, upload_uid=uid, chunk_number=1, **rest)
assert open(store.get(uid).path, "rb").read() == part * 2
""",
        tmp_path,
    )


@needs_mounts
def test_a_new_upload_larger_than_the_disk_leaves_nothing(tmp_path: Path) -> None:
    run_mounted(
        f'mount -t tmpfs -o size=3m tmpfs "{tmp_path}"',
        """
import os, sys
import chunked_upload as cu
root = sys.argv[1] + "/s"
try:
    cu.Store(root, min_free_space=0).handle_chunk(b"x", total_size=4 << 20, chunk_number=0, chunk_count=9)
except cu.NoSpace as e:
    assert not os.path.exists(root) or os.listdir(root) == []
else:
    sys.exit("accepted")
""",
        tmp_path,
    )


@needs_mounts
def test_a_read_only_root(tmp_path: Path) -> None:
    uid = send(cu.Store(tmp_path / "s"), [b"a", b"b"], [0])
    run_mounted(
        f'mount --bind "{tmp_path}" "{tmp_path}"; mount -o remount,bind,ro "{tmp_path}"',
        """
import errno, sys
import chunked_upload as cu
store = cu.Store(sys.argv[1] + "/s")
for uid in ("", sys.argv[2]):
    try:
        store.handle_chunk(b"b", upload_uid=uid, total_size=2, chunk_number=1, chunk_count=2)
    except cu.Io as e:
        assert e.errno == errno.EROFS and isinstance(e, OSError), repr(e)
        assert e.path.startswith(sys.argv[1]) and e.strerror in str(e), (e.path, str(e))
        assert not uid or uid not in str(e)
    else:
        sys.exit("wrote to a read-only file system")
""",
        tmp_path,
        uid,
    )


def test_a_root_without_permission() -> None:
    """As another user where we are root, whom permissions do not bind."""
    run_python(
        """
import errno, os, sys, tempfile
import chunked_upload as cu

parent = tempfile.mkdtemp()
os.chmod(parent, 0o555)
store = cu.Store(parent + "/s")
if os.getuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
try:
    store.handle_chunk(b"ab", total_size=2, chunk_number=0, chunk_count=1)
except cu.Io as e:
    assert e.errno == errno.EACCES and e.path.startswith(parent), repr(e)
else:
    sys.exit("accepted")
finally:
    if os.getuid() == 0:
        os.seteuid(0)
    assert os.listdir(parent) == []
    os.rmdir(parent)
"""
    )


def test_a_root_that_vanished_is_made_again(store: cu.Store, root: Path) -> None:
    uid = send(store, [b"a", b"b"], [0])
    shutil.rmtree(root)
    with pytest.raises(cu.NotFound):
        store.get(uid)
    with pytest.raises(cu.NotFound):
        send(store, [b"a", b"b"], [1], uid)
    assert not root.exists()
    assert content(store.get(send(store, [b"a", b"b"]))) == b"ab"


def test_only_the_last_component_of_the_root_is_made(tmp_path: Path) -> None:
    store = cu.Store(tmp_path / "missing" / "s")
    with pytest.raises(cu.Io) as caught:
        send(store, [b"ab"])
    assert caught.value.errno == errno.ENOENT
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_a_file(root: Path) -> None:
    root.write_bytes(b"mine")
    with pytest.raises(cu.Io) as caught:
        send(cu.Store(root), [b"ab"])
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)
    assert root.read_bytes() == b"mine"


def test_an_upload_that_was_removed_is_unknown(store: cu.Store, root: Path) -> None:
    uid = send(store, [b"a", b"b"], [0])
    shutil.rmtree(root / uid)
    with pytest.raises(cu.NotFound):
        send(store, [b"a", b"b"], [1], uid)
    with pytest.raises(cu.NotFound):
        store.get(uid)
    assert os.listdir(root) == []


@pytest.mark.parametrize("garbage", [b"", b"x", bytes(64), b"\xff" * 5000, os.urandom(4096)], ids=len)
def test_garbage_in_place_of_the_state_is_an_error_and_no_file(store: cu.Store, root: Path, garbage: bytes) -> None:
    uid = send(store, [b"a", b"b"])
    state = root / uid / "state"
    state.write_bytes(garbage)
    for call in (lambda: store.get(uid), lambda: send(store, [b"a", b"b"], [0], uid)):
        with pytest.raises(cu.Error) as caught:
            call()
        assert not isinstance(caught.value, cu.Internal), "garbage on disk is no defect of the library"
        assert uid not in str(caught.value)
    assert state.read_bytes() == garbage


def test_a_directory_in_place_of_the_state(store: cu.Store, root: Path) -> None:
    uid = send(store, [b"a", b"b"])
    (root / uid / "state").unlink()
    (root / uid / "state").mkdir()
    with pytest.raises(cu.Error) as caught:
        store.get(uid)
    assert not isinstance(caught.value, cu.Internal)


def test_no_descriptor_is_left_open(store: cu.Store, root: Path) -> None:
    def work() -> None:
        uid = send(store, [b"abcd", b"ef", b"ghij"], [2, 0, 0, 1])
        store.get(uid)
        os.unlink(store.get(uid).path)
        for bad in (uid, "x", "0" * 32):
            with pytest.raises(cu.Error):
                store.get(bad)
        with pytest.raises(cu.Error):
            store.handle_chunk(b"abcde", upload_uid=uid, total_size=9, chunk_number=0, chunk_count=3)

    work()
    before = os.listdir("/proc/self/fd")
    work()
    assert os.listdir("/proc/self/fd") == before
