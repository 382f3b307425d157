"""Whatever a client's value can cause is a cu.Error and stores nothing; only a wrong type is a TypeError."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import chunked_upload as cu
from helpers import content, send

GOOD: dict[str, Any] = {"total_size": 10, "chunk_number": 0, "chunk_count": 3}


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def entries(root: Path) -> list[str]:
    return os.listdir(root) if root.exists() else []


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_count": 0},
        {"chunk_number": 3},
        {"chunk_number": 2**63 - 1},
        {"chunk_number": 2**64 - 1},
        {"chunk_number": 2**64},
        {"chunk_number": 2**70},
        {"chunk_number": -1},
        {"chunk_number": -(2**70)},
        {"chunk_number": 10**5000},
        {"chunk_count": -1},
        {"chunk_count": 2**63},
        {"chunk_count": 2**64},
        {"total_size": -1},
        {"total_size": 2**63},
        {"total_size": 2**64},
        {"total_size": 3},
        {"chunk_count": 1},
        {"content": b""} | {"chunk_count": 1},
        {"content": b"x", "total_size": 0},
        {"file_name": "a\0b"},
        {"file_name": "x" * 4097},
        {"file_name": "ä" * 2049},
        {"file_name": "\ud800"},
        {"file_name": "a\udcff.tif"},
    ],
    ids=lambda change: ",".join(
        f"{name}={str(value.bit_length()) + ' bits' if isinstance(value, int) else value!r:.20}"
        for name, value in change.items()
    ),
)
def test_requests_that_make_no_sense(store: cu.Store, root: Path, change: dict[str, Any]) -> None:
    arguments = {"content": b"abcd", **GOOD, **change}
    with pytest.raises(cu.InvalidArgument) as caught:
        store.handle_chunk(**arguments)
    assert str(caught.value)
    assert entries(root) == []
    # The same for an upload that exists, which stays as it was.
    uid = send(store, [b"abcd", b"ef", b"ghij"], [0])
    with pytest.raises(cu.InvalidArgument):
        store.handle_chunk(**arguments, upload_uid=uid)
    send(store, [b"abcd", b"ef", b"ghij"], [1, 2], uid)
    assert content(store.get(uid)) == b"abcdefghij"


@pytest.mark.parametrize("value", [True, False, 1.0, "1", b"1", None, [1], 1j])
@pytest.mark.parametrize("name", list(GOOD))
def test_numbers_of_a_wrong_type(store: cu.Store, root: Path, name: str, value: Any) -> None:
    with pytest.raises(TypeError):
        store.handle_chunk(b"abcd", **{**GOOD, name: value})
    assert entries(root) == []


def test_whatever_has_index_is_a_number(store: cu.Store) -> None:
    receipt = store.handle_chunk(b"ab", total_size=Index(2), chunk_number=Index(0), chunk_count=Index(1))
    assert store.get(receipt.upload_uid).total_size == 2
    with pytest.raises(cu.InvalidArgument):
        store.handle_chunk(b"ab", total_size=2, chunk_number=Index(-1), chunk_count=1)


def test_the_largest_numbers_are_numbers(root: Path) -> None:
    """Refused for want of space, not as senseless."""
    with pytest.raises(cu.NoSpace):
        cu.Store(root).handle_chunk(b"", total_size=2**63 - 1, chunk_number=1, chunk_count=2)
    with pytest.raises(cu.LimitExceeded):
        cu.Store(root).handle_chunk(b"", total_size=1, chunk_number=2**63 - 2, chunk_count=2**63 - 1)
    with pytest.raises(cu.Error):
        cu.Store(root, max_chunk_count=0).handle_chunk(b"", total_size=1, chunk_number=2, chunk_count=2**63 - 1)
    assert entries(root) == []


@pytest.mark.parametrize(
    "arguments",
    [{"upload_uid": 1}, {"upload_uid": b"0" * 32}, {"file_name": 1}, {"file_name": b"a"}, {"file_name": Path("a")}],
    ids=repr,
)
def test_strings_of_a_wrong_type(store: cu.Store, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        store.handle_chunk(b"abcd", **GOOD, **arguments)


@pytest.mark.parametrize("uid", [None, 1, b"0" * 32, ["0" * 32]])
def test_asking_with_a_wrong_type(store: cu.Store, uid: Any) -> None:
    with pytest.raises(TypeError):
        store.get(uid)


def test_arguments_left_out_or_too_many(store: cu.Store) -> None:
    call: Any = store.handle_chunk
    ask: Any = store.get
    for wrong in (lambda: call(b""), lambda: call(**GOOD), lambda: call(b"", "", "", 1, 0, 1), ask):
        with pytest.raises(TypeError):
            wrong()


UIDS = {
    "unknown": "0123456789abcdef0123456789abcdef",
    "unknown of version 4": "00000000000040008000000000000000",
    "upper case": "0123456789ABCDEF0123456789ABCDEF",
    "with dashes": "01234567-89ab-4def-8123-456789abcdef",
    "short": "0",
    "space": " ",
    "31 digits": "0" * 31,
    "33 digits": "0" * 33,
    "new line": "0" * 31 + "\n",
    "traversal": "../../../../../../../etc/passwd",
    "traversal of 32": "../" * 10 + "..",
    "dot": ".",
    "slash": "/" * 32,
    "NUL": "0" * 31 + "\0",
    "lone surrogate": "\ud800",
    "32 surrogates": "\udc30" * 32,
    "other digits": "٠" * 16,
    "other digits, 32 of them": "０" * 32,
    "very long": "a" * 1_000_000,
}


@pytest.mark.parametrize("uid", UIDS.values(), ids=UIDS)
@pytest.mark.parametrize("exists", [False, True])
def test_uids_that_nobody_has(store: cu.Store, root: Path, uid: str, exists: bool) -> None:
    if exists:
        send(store, [b"abcd", b"ef", b"ghij"], [0])
    before = entries(root)
    with pytest.raises(cu.NotFound) as asked:
        store.get(uid)
    with pytest.raises(cu.NotFound) as sent:
        store.handle_chunk(b"abcd", upload_uid=uid, **GOOD)
    for caught in (asked, sent):
        assert len(str(caught.value)) < 500
        assert uid not in str(caught.value) or len(uid) <= 8
        assert caught.value.__context__ is None
        str(caught.value).encode()
    assert entries(root) == before


def test_an_empty_uid_has_nothing(store: cu.Store) -> None:
    with pytest.raises(cu.NotFound):
        store.get("")


def test_an_upload_of_another_prefix_is_unknown(root: Path) -> None:
    uid = send(cu.Store(root, prefix="a_"), [b"a"])
    with pytest.raises(cu.NotFound):
        cu.Store(root).get(uid)


@pytest.mark.parametrize("change", [{"total_size": 11}, {"total_size": 9}, {"chunk_count": 4}, {"chunk_count": 2}])
def test_other_totals_conflict(store: cu.Store, change: dict[str, Any]) -> None:
    uid = send(store, [b"abcd", b"ef", b"ghij"], [0])
    with pytest.raises(cu.Conflict) as caught:
        store.handle_chunk(b"ef", upload_uid=uid, **{**GOOD, "chunk_number": 1, **change})
    assert uid[8:] not in str(caught.value)
    with pytest.raises(cu.Incomplete) as incomplete:
        store.get(uid)
    assert (incomplete.value.missing_count, incomplete.value.first_missing) == (2, 1)
    assert uid[:8] in str(incomplete.value) and uid[:9] not in str(incomplete.value)


def test_other_bytes_for_a_complete_upload_conflict(store: cu.Store) -> None:
    uid = send(store, [b"abcd", b"ef", b"ghij"])
    upload = store.get(uid)
    for other in (b"ABCD", b"abc", b""):
        with pytest.raises(cu.Conflict):
            store.handle_chunk(other, upload_uid=uid, **GOOD)
    assert content(upload) == b"abcdefghij"


@pytest.mark.parametrize(
    ("options", "request_", "limit", "value"),
    [
        ({"max_total_size": 9}, GOOD, "max_total_size", 9),
        ({"max_chunk_count": 2}, GOOD, "max_chunk_count", 2),
        ({}, {**GOOD, "chunk_count": 1_000_001}, "max_chunk_count", 1_000_000),
    ],
)
def test_limits(root: Path, options: dict[str, Any], request_: dict[str, Any], limit: str, value: int) -> None:
    with pytest.raises(cu.LimitExceeded) as caught:
        cu.Store(root, **options).handle_chunk(b"abcd", **request_)
    assert (caught.value.limit, caught.value.limit_value) == (limit, value)
    assert entries(root) == []


def test_chunks_cannot_take_more_than_twice_the_declared_size(root: Path) -> None:
    store = cu.Store(root)
    uid, sent = "", 0
    with pytest.raises(cu.LimitExceeded) as caught:
        for number in range(100):
            uid = store.handle_chunk(
                b"x" * 50, upload_uid=uid, total_size=100, chunk_number=number, chunk_count=100
            ).upload_uid
            sent += 50
    assert (caught.value.limit, caught.value.limit_value) == ("data_size", 200)
    assert sent <= 200


@pytest.mark.parametrize(
    "option",
    [
        {"prefix": "a/b"},
        {"prefix": "a\0b"},
        {"prefix": "x" * 65},
        {"prefix": "\ud800"},
        {"dir_mode": 0o500},
        {"dir_mode": 2**32 + 0o700},
        {"dir_mode": -1},
        {"file_mode": 0o400},
        {"file_mode": 0o4600},
        {"durability": "safe"},
        {"durability": ""},
        {"durability": "\ud800"},
        {"max_total_size": -1},
        {"max_total_size": 2**64},
        {"max_chunk_count": -1},
        {"min_free_space": 2**70},
    ],
    ids=repr,
)
def test_options_of_no_use(root: Path, option: dict[str, Any]) -> None:
    with pytest.raises(cu.InvalidArgument) as caught:
        cu.Store(root, **option)
    assert next(iter(option)) in str(caught.value)


@pytest.mark.parametrize("root", ["", "a\0b", "\ud800"], ids=ascii)
def test_roots_that_are_no_path(root: str) -> None:
    with pytest.raises(cu.InvalidArgument):
        cu.Store(root)


@pytest.mark.parametrize(
    "arguments",
    [
        {"root": 1},
        {"root": None},
        {"root": b"x"},
        {"root": "x", "max_total_size": None},
        {"root": "x", "max_total_size": True},
        {"root": "x", "max_total_size": 1.5},
        {"root": "x", "durability": 1},
        {"root": "x", "durability": None},
        {"root": "x", "prefix": b""},
        {"root": "x", "file_mode": "600"},
        {"root": "x", "unknown": 1},
        {},
    ],
    ids=repr,
)
def test_options_of_a_wrong_type(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        cu.Store(**arguments)


def test_one_base_class_catches_what_was_really_raised(store: cu.Store) -> None:
    uid = send(store, [b"abcd", b"ef", b"ghij"], [0])
    try:
        store.get(uid)
    except cu.Error as error:
        assert type(error) is cu.Incomplete and error.http_status == 409
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error) and again.missing_count == 2
    else:
        pytest.fail("nothing was raised")
