"""Stores and answers travel between processes, and compare by value."""

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest

import chunked_upload as cu
from helpers import send

PLACE = tempfile.gettempdir()

STORE: dict[str, Any] = {
    "max_total_size": 5,
    "max_chunk_count": 6,
    "min_free_space": 7,
    "durability": "chunk",
    "prefix": "p",
    "max_store_size": 8,
    "max_uploads": 9,
}

THINGS = [
    cu.Receipt("0123456789abcdef", True),
    cu.Finished("0123456789abcdef", "/a/\udcff/file", "ä", 2**63 - 1, 2**32 - 1),
    cu.Store(f"{PLACE}/\udcff", **STORE, dir_mode=0o755, file_mode=0o644),
    cu.Store(f"{PLACE}/s"),
    cu.Store(f"{PLACE}/s", all_owners=True),
    cu.Store(f"{PLACE}/s", **STORE).for_owner(b"\0 ann"),
    cu.Inspection("0123456789abcdef", "ä", 9, 3, 6, 2, "receiving", 1.5, (range(0, 1), range(2, 3)), None),
    cu.Verification("complete", 3, 1, (range(1, 2),)),
    cu.Cleaned((cu.Removed("0123456789abcdef", None),), 0, True),
    cu.Listed("0123456789abcdef", "ä", 9, 3, "gone", 1.5),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_pickled_and_copied_things_are_equal(thing: object) -> None:
    copies = [pickle.loads(pickle.dumps(thing, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for same in (copy.copy(thing), copy.deepcopy(thing), *copies):
        assert type(same) is type(thing)
        assert same == thing and hash(same) == hash(thing) and repr(same) == repr(thing)
        names = [name for name in dir(thing) if not name.startswith("_") and not callable(getattr(thing, name))]
        assert len(names) >= 2
        assert [getattr(same, name) for name in names] == [getattr(thing, name) for name in names]


def test_what_the_first_version_pickled_is_read() -> None:
    """Its classes were native, and one of them had another name."""
    upload = b"cchunked_upload\nUpload\n(V0123456789abcdef\nV/f\nVn\nI1\nI2\ntR."
    assert pickle.loads(upload) == cu.Finished("0123456789abcdef", "/f", "n", 1, 2)
    receipt = b"cchunked_upload\nReceipt\n(V0123456789abcdef\nI01\ntR."
    assert pickle.loads(receipt) == cu.Receipt("0123456789abcdef", True)


def test_real_answers_are_pickled_whole(store: cu.Store) -> None:
    uid = send(store, [b"ab", b"c"])
    upload = store.get(uid)
    assert pickle.loads(pickle.dumps(upload)) == upload
    assert pickle.loads(pickle.dumps(store)).get(uid) == upload


DIFFERENT = [
    *[cu.Store(f"{PLACE}/s", **{name: value}) for name, value in STORE.items()],
    cu.Store(f"{PLACE}/s", dir_mode=0o755),
    cu.Store(f"{PLACE}/s", file_mode=0o644),
    cu.Store(f"{PLACE}/s"),
    cu.Store(f"{PLACE}/s", all_owners=True),
    cu.Store(f"{PLACE}/s", owner=b"ann"),
    cu.Store(f"{PLACE}/s", owner=b"bob"),
    cu.Store(f"{PLACE}/t"),
    cu.Receipt("a", True),
    cu.Receipt("a", False),
    cu.Receipt("b", True),
    cu.Finished("a", "/f", "n", 1, 2),
    cu.Finished("b", "/f", "n", 1, 2),
    cu.Finished("a", "/g", "n", 1, 2),
    cu.Finished("a", "/f", "m", 1, 2),
    cu.Finished("a", "/f", "n", 0, 2),
    cu.Finished("a", "/f", "n", 1, 0),
    None,
    "a",
]


def test_different_things_are_not_equal() -> None:
    for i, a in enumerate(DIFFERENT):
        for k, b in enumerate(DIFFERENT):
            assert (a == b) == (i == k), (a, b)
    assert len(set(DIFFERENT)) == len(DIFFERENT)


def test_a_relative_root_is_pickled_as_the_directory_it_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(cu.Store("s"))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).root == str(tmp_path / "s")
