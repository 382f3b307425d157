"""What may be given as content, and what is copied."""

import array
import ctypes
import mmap
from typing import Any

import pytest

import chunked_upload as cu
from helpers import content, run_python


class Bytes(bytes):
    pass


def mapped(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


GOOD: dict[str, Any] = {
    "bytes": b"abcdefgh",
    "subclass": Bytes(b"abcdefgh"),
    "bytearray": bytearray(b"abcdefgh"),
    "view of bytes": memoryview(b"abcdefgh"),
    "slice of a view of bytes": memoryview(b"--abcdefgh--")[2:-2],
    "cast view of bytes": memoryview(b"abcdefgh").cast("I"),
    "view of bytes in two dimensions": memoryview(b"abcdefgh").cast("B", (2, 4)),
    "view of a bytearray": memoryview(bytearray(b"abcdefgh")),
    "read-only view of a bytearray": memoryview(bytearray(b"abcdefgh")).toreadonly(),
    "array": array.array("H", b"abcdefgh"),
    "ctypes": ctypes.create_string_buffer(b"abcdefgh", 8),
    "mmap": mapped(b"abcdefgh"),
}

EMPTY: dict[str, Any] = {"bytes": b"", "bytearray": bytearray(), "view": memoryview(b""), "array": array.array("d")}

WRONG: dict[str, Any] = {
    "str": "abcdefgh",
    "None": None,
    "int": 8,
    "list": [97],
    "every second byte": memoryview(b"a-b-c-d-e-f-g-h-")[::2],
    "backwards": memoryview(b"hgfedcba")[::-1],
    "closed view": memoryview(b"abcdefgh"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_bytes_like_objects_are_content(store: cu.Store, kind: str) -> None:
    receipt = store.handle_chunk(GOOD[kind], total_size=8, chunk_number=0, chunk_count=1)
    assert content(store.get(receipt.upload_uid)) == b"abcdefgh"


@pytest.mark.parametrize("kind", EMPTY)
def test_empty_content_is_content(store: cu.Store, kind: str) -> None:
    receipt = store.handle_chunk(EMPTY[kind], total_size=0, chunk_number=0, chunk_count=1)
    assert content(store.get(receipt.upload_uid)) == b""


@pytest.mark.parametrize("kind", WRONG)
def test_anything_else_is_a_type_error(store: cu.Store, kind: str) -> None:
    thing = WRONG[kind]
    if kind == "closed view":
        thing.release()
    with pytest.raises(TypeError, match="bytes-like"):
        store.handle_chunk(thing, total_size=8, chunk_number=0, chunk_count=1)


def test_no_buffer_stays_exported(store: cu.Store) -> None:
    data = bytearray(b"ab")
    view = memoryview(b"ab")
    for thing in (data, view):
        store.handle_chunk(thing, total_size=2, chunk_number=0, chunk_count=1)
    data.append(0)  # BufferError while exported
    view.release()


PEAK = """
import resource, sys
import chunked_upload as cu

kind, root, size = sys.argv[1], sys.argv[2], 64 << 20
store = cu.Store(root)
made = {"bytes": bytes, "bytearray": bytearray, "view": lambda n: memoryview(bytes(n))}[kind](size)
bytes(made[:: 4096])  # touched, so that every page counts already
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store.handle_chunk(made, total_size=size, chunk_number=0, chunk_count=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(("kind", "copied"), [("bytes", False), ("view", False), ("bytearray", True)])
def test_bytes_are_not_copied(root: object, kind: str, copied: bool) -> None:
    """By the peak of resident memory. The bytearray, which is copied, proves that the measure can tell."""
    grown_kib = int(run_python(PEAK, kind, root))
    assert (grown_kib > 48 << 10) == copied, f"{kind}: {grown_kib} KiB"
