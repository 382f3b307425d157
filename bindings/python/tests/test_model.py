"""Random conversations, compared with a dictionary of bytes."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chunked_upload as cu
from helpers import content

ALPHABET = b"\0aZ\xff"


class Model:
    """One upload as its client understands it."""

    def __init__(self, sizes: list[int], declared: int) -> None:
        self.sizes, self.declared, self.count = sizes, declared, len(sizes)
        self.chunks: dict[int, bytes] = {}
        self.sent = 0  # bytes in all chunks, accepted or not
        self.file: bytes | None = None

    def missing(self) -> list[int]:
        return [number for number in range(self.count) if number not in self.chunks]


@st.composite
def shapes(draw: st.DrawFn) -> tuple[list[int], int]:
    """Sizes of the chunks, and the size that is declared: their sum, but for a few."""
    kind = draw(st.sampled_from(["grid", "larger last", "uneven", "with empty ones"]))
    count = draw(st.integers(1, 6))
    size = draw(st.integers(1, 9))
    if kind == "grid":
        sizes = [size] * (count - 1) + [draw(st.integers(1, size))]
    elif kind == "larger last":
        sizes = [size] * (count - 1) + [draw(st.integers(size, 2 * size - 1))]
    else:
        sizes = draw(st.lists(st.integers(0 if kind == "with empty ones" else 1, 9), min_size=count, max_size=count))
    # One chunk alone must have the declared size.
    wrong = draw(st.sampled_from([0] * 8 + [1, -1])) if count > 1 else 0
    return sizes, max(sum(sizes) + wrong, max(sizes))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[int], int, list[tuple[int, bytes] | None]]:
    """A shape, and steps: a chunk with its content, or None to ask for the file."""
    sizes, declared = draw(shapes())
    standard = st.integers(0, len(sizes) - 1).flatmap(lambda n: st.tuples(st.just(n), fixed(sizes[n])))
    any_size = st.tuples(st.integers(0, len(sizes) - 1), st.binary(max_size=12).map(letters))
    steps = draw(st.lists(st.one_of(standard, standard, standard, any_size, st.none()), max_size=20))
    in_order = draw(st.permutations(range(len(sizes))))
    # Whatever came before, the right chunks end it.
    return sizes, declared, [*steps, *((number, right(number, sizes[number])) for number in in_order), None]


def letters(data: bytes) -> bytes:
    return bytes(ALPHABET[byte % 4] for byte in data)


def fixed(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).map(letters)


def right(number: int, size: int) -> bytes:
    return bytes([65 + number]) * size


@pytest.fixture(scope="module")
def directories() -> Iterator[Iterator[str]]:
    with tempfile.TemporaryDirectory() as parent:
        yield (f"{parent}/{number}" for number in itertools.count())


@settings(max_examples=400, deadline=None)
@given(conversations())
def test_a_store_behaves_like_a_dictionary(
    directories: Iterator[str], conversation: tuple[list[int], int, list[tuple[int, bytes] | None]]
) -> None:
    sizes, declared, steps = conversation
    store, model, uid = cu.Store(next(directories)), Model(sizes, declared), ""
    for step in steps:
        if step is not None:
            uid = send_one(store, model, uid, *step)
        elif uid:
            ask(store, model, uid)


def send_one(store: cu.Store, model: Model, uid: str, number: int, data: bytes) -> str:
    model.sent += len(data)
    try:
        receipt = store.handle_chunk(
            data, upload_uid=uid, total_size=model.declared, chunk_number=number, chunk_count=model.count
        )
    except cu.InvalidArgument:
        assert len(data) > model.declared or (model.count == 1 and len(data) != model.declared)
    except cu.Conflict:
        assert model.file is not None and data != model.chunks[number]
    except cu.LimitExceeded as e:
        assert (e.limit, e.limit_value) == ("data_size", 2 * model.declared)
        # `data` holds the grid, at most one declared size, and what was appended.
        assert model.sent > model.declared
    else:
        assert model.file is None or data == model.chunks[number]
        model.chunks[number] = data
        assert uid in ("", receipt.upload_uid)
        assert not (receipt.received_all and model.missing()), "says all are there"
        return receipt.upload_uid
    return uid


def ask(store: cu.Store, model: Model, uid: str) -> None:
    whole = b"".join(data for _, data in sorted(model.chunks.items()))
    try:
        upload = store.get(uid)
    except cu.Incomplete as e:
        assert (e.missing_count, e.first_missing) == (len(model.missing()), model.missing()[0])
    except cu.SizeMismatch as e:
        assert not model.missing()
        assert (e.received_size, e.declared_size) == (len(whole), model.declared)
        assert len(whole) != model.declared
    else:
        assert not model.missing()
        assert content(upload) == whole and upload.total_size == model.declared == len(whole)
        assert model.file in (None, whole)
        model.file = whole


@settings(max_examples=100, deadline=None)
@given(shapes(), st.data())
def test_once_each_in_any_order_is_complete(
    directories: Iterator[str], shape: tuple[list[int], int], data: st.DataObject
) -> None:
    """Without repeats nothing excuses a refusal."""
    sizes, _ = shape
    store, uid, parts = cu.Store(next(directories)), "", [right(*pair) for pair in enumerate(sizes)]
    order = data.draw(st.permutations(range(len(parts))))
    for number in order:
        receipt = store.handle_chunk(
            parts[number], upload_uid=uid, total_size=sum(sizes), chunk_number=number, chunk_count=len(parts)
        )
        uid = receipt.upload_uid
    assert receipt.received_all
    assert content(store.get(uid)) == b"".join(parts)
    assert Path(store.get(uid).path).stat().st_nlink == 1
