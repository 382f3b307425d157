"""What the module promises when all goes well."""

import dataclasses
import inspect
import os
import pydoc
import re
import stat
from pathlib import Path
from typing import Any

import pytest

import chunked_upload as cu
from helpers import content, run_python, send

OPTIONS: dict[str, Any] = {
    "max_total_size": 10 << 30,
    "max_chunk_count": 5000,
    "min_free_space": 0,
    "max_store_size": 20 << 30,
    "max_uploads": 5000,
    "durability": "complete",
    "prefix": "up_",
    "dir_mode": 0o750,
    "file_mode": 0o640,
    "all_owners": False,
    "owner": b"ann",
}


def test_chunks_in_any_order_become_the_file(store: cu.Store, root: Path) -> None:
    first = store.handle_chunk(b"world", file_name="ä/../b.tif", total_size=11, chunk_number=1, chunk_count=3)
    assert type(first) is cu.Receipt
    assert first.received_all is False
    assert len(first.upload_uid) == 32

    rest: dict[str, Any] = {"upload_uid": first.upload_uid, "total_size": 11, "chunk_count": 3}
    assert store.handle_chunk(b"!", chunk_number=2, **rest) == cu.Receipt(first.upload_uid, False)
    assert store.handle_chunk(b"hello", chunk_number=0, **rest) == cu.Receipt(first.upload_uid, True)

    upload = store.get(first.upload_uid)
    assert type(upload) is cu.Finished
    assert upload.uid == first.upload_uid
    assert type(upload.path) is str and os.path.isabs(upload.path) and upload.path.startswith(str(root))
    assert upload.file_name == "ä/../b.tif"
    assert upload.total_size == 11
    assert upload.crc32c == crc32c(b"helloworld!")
    assert content(upload) == b"helloworld!"
    assert store.get(upload.uid) == upload


def crc32c(data: bytes) -> int:
    """RFC 3720 appendix B.4, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_checksum_of_this_test_is_the_standard_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("uid", ["", None])
def test_an_empty_uid_starts_an_upload(store: cu.Store, uid: str | None) -> None:
    a = store.handle_chunk(b"a", upload_uid=uid, total_size=2, chunk_number=0, chunk_count=2)
    b = store.handle_chunk(b"a", upload_uid=uid, total_size=2, chunk_number=0, chunk_count=2)
    assert a.upload_uid != b.upload_uid


def test_an_empty_file_is_one_empty_chunk(store: cu.Store) -> None:
    receipt = store.handle_chunk(b"", total_size=0, chunk_number=0, chunk_count=1)
    assert receipt.received_all
    upload = store.get(receipt.upload_uid)
    assert (upload.total_size, upload.crc32c, upload.file_name, content(upload)) == (0, 0, "", b"")


def test_repeats_change_nothing_and_other_bytes_replace(store: cu.Store) -> None:
    uid = send(store, [b"aa", b"bb"], [0, 0])
    send(store, [b"AA", b"bb"], [0, 1, 1], uid)
    assert content(store.get(uid)) == b"AAbb"
    send(store, [b"AA", b"bb"], [0, 1], uid)  # complete: a repeat is still accepted
    assert content(store.get(uid)) == b"AAbb"


def test_the_first_file_name_stands(store: cu.Store) -> None:
    uid = send(store, [b"a", b"b"], [0], file_name="first")
    send(store, [b"a", b"b"], [1], uid, file_name="second")
    assert store.get(uid).file_name == "first"


def test_sizes_that_do_not_add_up_can_be_repaired(store: cu.Store) -> None:
    uid = send(store, [b"aaa", b"b"], total_size=5)
    with pytest.raises(cu.SizeMismatch) as caught:
        store.get(uid)
    assert (caught.value.received_size, caught.value.declared_size) == (4, 5)
    send(store, [b"aaa", b"bb"], [1], uid)
    assert content(store.get(uid)) == b"aaabb"


def test_a_file_taken_away_is_gone(store: cu.Store, tmp_path: Path) -> None:
    uid = send(store, [b"a", b"b"])
    os.rename(store.get(uid).path, tmp_path / "taken")
    with pytest.raises(cu.Gone):
        store.get(uid)
    with pytest.raises(cu.Gone):
        send(store, [b"a", b"b"], [0], uid)
    assert (tmp_path / "taken").read_bytes() == b"ab"


def test_options_are_readable_and_their_defaults_are_the_signature(root: Path) -> None:
    parameters = inspect.signature(cu.Store).parameters
    assert list(parameters) == ["root", *OPTIONS]
    store = cu.Store(root)
    for name, parameter in list(parameters.items())[1:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert getattr(store, name) == parameter.default, name
    store = cu.Store(root, **OPTIONS)
    assert {name: getattr(store, name) for name in OPTIONS} == OPTIONS


def test_the_defaults_are_those_of_the_contract(root: Path) -> None:
    store = cu.Store(root)
    assert store.max_total_size == 0
    assert store.max_chunk_count == 1_000_000
    assert store.min_free_space == 16 << 20
    assert (store.max_store_size, store.max_uploads, store.all_owners, store.owner) == (0, 0, False, None)
    assert (store.durability, store.prefix) == ("process", "")
    assert (store.dir_mode, store.file_mode) == (0o700, 0o600)


def test_objects_cannot_be_changed(store: cu.Store) -> None:
    for thing in (store, cu.Receipt("x", True), cu.Finished("x", "/x", "x", 0, 0)):
        names = [name for name in dir(thing) if not name.startswith("_")]
        assert len(names) >= 2
        for name in [*names, "new"]:
            with pytest.raises(AttributeError):
                setattr(thing, name, None)


@pytest.mark.parametrize("durability", ["process", "complete", "chunk"])
def test_every_durability_receives(root: Path, durability: Any) -> None:
    store = cu.Store(root, durability=durability)
    assert content(store.get(send(store, [b"abc", b"de"], [1, 0]))) == b"abcde"


def test_prefix_and_modes_are_applied_whatever_the_umask(root: Path) -> None:
    store = cu.Store(root, prefix="up_", dir_mode=0o750, file_mode=0o640)
    before = os.umask(0o077)
    try:
        upload = store.get(send(store, [b"ab", b"c"]))
    finally:
        os.umask(before)
    directory = Path(upload.path).parent
    assert directory.name == f"up_{upload.uid}"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    assert stat.S_IMODE(os.stat(upload.path).st_mode) == 0o640


@pytest.mark.parametrize("kind", [str, Path])
def test_root_is_a_str_or_a_path(tmp_path: Path, kind: type) -> None:
    store = cu.Store(kind(tmp_path / "s"))
    assert type(store.root) is str and store.root == str(tmp_path / "s")


def test_a_relative_root_means_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = cu.Store("here")
    assert store.root == str(tmp_path / "here")
    monkeypatch.chdir("/")
    assert store.get(send(store, [b"ab"])).path.startswith(str(tmp_path / "here"))


def test_a_root_that_is_not_utf_8_keeps_its_bytes(tmp_path: Path) -> None:
    root = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    store = cu.Store(root)
    assert store.root == root
    upload = store.get(send(store, [b"ab"]))
    assert upload.path.startswith(root) and content(upload) == b"ab"
    repr(upload), repr(store)


def test_opening_and_asking_create_nothing(tmp_path: Path) -> None:
    store = cu.Store(tmp_path / "s")
    with pytest.raises(cu.NotFound):
        store.get("0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_importing_does_nothing() -> None:
    run_python(
        """
import os
def state():
    return os.listdir("/proc/self/task"), sorted(os.listdir("/proc/self/fd")), os.getcwd()
before = state()
import chunked_upload
assert state() == before, (before, state())
"""
    )


def test_sub_interpreters_are_refused() -> None:
    said = run_python(
        """
import sys
attempt = '''
try:
    import chunked_upload
except ImportError as e:
    print("refused:", e)
else:
    print("imported")
'''
import chunked_upload
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    created = interpreters.create("legacy")
elif sys.version_info >= (3, 12):
    import _xxsubinterpreters as interpreters
    created = interpreters.create(isolated=False)
else:
    import _xxsubinterpreters as interpreters
    created = interpreters.create()
interpreters.run_string(created, attempt)
"""
    )
    assert said.startswith("refused:") and "single-interpreter" in said


def test_help_is_useful() -> None:
    plain = pydoc._PlainTextDoc()  # type: ignore[attr-defined]
    module = pydoc.render_doc(cu, renderer=plain)
    for phrase in ("asyncio.to_thread", "handle_chunk", "forked child", "is a secret", "TypeError"):
        assert phrase in module, phrase
    store = pydoc.render_doc(cu.Store, renderer=plain)
    for phrase in ("max_total_size", "16 MiB", "2^63 - 1", "InvalidArgument: The request con", "Gone: The file"):
        assert phrase in store, phrase
    calls = [name for name, call in vars(cu.Store).items() if not name.startswith("_") and callable(call)]
    assert {"handle_chunk", "get", "move_to", "cleanup"} <= set(calls)
    for name in calls:
        lines = (inspect.getdoc(getattr(cu.Store, name)) or "").splitlines()
        assert lines[0].endswith("."), f"{name} begins with no sentence on a line of its own"
        absent = {"list": ["Args:"], "remove": ["Returns:"]}.get(name, [])
        assert [line for line in lines if line.endswith(":") and line[0] != " "] == [
            section for section in ("Args:", "Returns:", "Raises:") if section not in absent
        ], name
    for name in cu.__all__:
        assert inspect.getdoc(getattr(cu, name)), f"{name} has no documentation"
    for name in [name for name in dir(cu.Store) if not name.startswith("_")]:
        assert inspect.getdoc(getattr(cu.Store, name)), f"Store.{name} has no documentation"
    for kind in (cu.Receipt, cu.Finished, cu.Inspection, cu.Verification, cu.Removed, cu.Cleaned, cu.Listed):
        documented = re.findall(r"^    (\w+): \S", inspect.getdoc(kind) or "", re.MULTILINE)
        assert documented == [field.name for field in dataclasses.fields(kind)], kind


def test_reprs_keep_the_secret(store: cu.Store) -> None:
    uid = send(store, [b"ab", b"c"])
    receipt = cu.Receipt(uid, False)
    for shown in (repr(receipt), repr(store.get(uid))):
        assert uid[:8] in shown and uid[:9] not in shown
    assert repr(receipt) == f"Receipt(upload_uid='{uid[:8]}…', received_all=False)"
    file = cu.Finished(uid, f"/x/{uid}/data", "name", 3, 7)
    shown = f"uid='{uid[:8]}…', path='/x/{uid[:8]}…/data', file_name='name', total_size=3, crc32c=7"
    assert repr(file) == f"Finished({shown})"
    assert repr(cu.Store("/x", dir_mode=0o750)).endswith("dir_mode=0o750, file_mode=0o600)")


def test_the_first_names_of_classes_still_work(store: cu.Store) -> None:
    assert cu.Upload is cu.Finished and cu.Uploads is cu.UploadIterator
    assert type(store.list()) is cu.UploadIterator
    for old in ("Upload is Finished", "Uploads is UploadIterator"):
        assert old in (cu.__doc__ or "")
    names: dict[str, Any] = {}
    exec("from chunked_upload import *", names)
    assert {"Upload", "Finished", "Uploads", "UploadIterator"} <= set(names)
