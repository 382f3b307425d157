"""One store, many threads; and the GIL is free while the engine works."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import chunked_upload as cu
from helpers import content, run_python, send


def test_threads_hammer_one_upload(store: cu.Store) -> None:
    generator = random.Random(1)
    parts = [generator.randbytes(10_000) for _ in range(100)]
    uid = send(store, parts, [50])
    orders = [generator.sample(range(100), 100) for _ in range(8)]
    paths: set[str] = set()
    barrier = threading.Barrier(10)

    def write(order: list[int]) -> None:
        barrier.wait()
        send(store, parts, order, uid)

    def ask() -> None:
        barrier.wait()
        while not paths:
            try:
                paths.add(store.get(uid).path)
            except cu.Incomplete as e:
                assert 0 < e.missing_count < 100

    with ThreadPoolExecutor(10) as pool:
        for future in [*(pool.submit(write, order) for order in orders), pool.submit(ask), pool.submit(ask)]:
            future.result()
    upload = store.get(uid)
    assert {upload.path} == paths
    assert content(upload) == b"".join(parts)


def test_threads_make_uploads_of_their_own(store: cu.Store) -> None:
    def upload(seed: int) -> str:
        parts = [bytes([seed]) * (seed + k) for k in range(20)]
        uid = send(store, parts, random.Random(seed).sample(range(20), 20))
        assert content(store.get(uid)) == b"".join(parts)
        return uid

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(upload, range(1, 65)))) == 64


def test_threads_replace_one_chunk_and_one_of_them_stands(store: cu.Store) -> None:
    size = 200_000
    uid = send(store, [bytes(size), b"!"], [0])

    def replace(byte: int) -> None:
        for _ in range(20):
            send(store, [bytes([byte]) * size, b"!"], [0], uid)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, [1, 2, 3, 4]))
    send(store, [bytes(size), b"!"], [1], uid)
    assert content(store.get(uid)) in {bytes([byte]) * size + b"!" for byte in (1, 2, 3, 4)}


# Another thread holds the lock that the call needs, and gives it back only after a good deal of Python. With the GIL
# held during the call, that Python would never run: the interpreter would switch threads only every 1000 seconds, long
# after the time limit of this test. So a hang is the failure, and no clock decides about success.
BLOCKED = """
import fcntl, os, struct, sys, threading
import chunked_upload as cu

root, call = sys.argv[1], sys.argv[2]
store = cu.Store(root)
content = bytes(1 << 20)
chunk = dict(total_size=2 << 20, chunk_count=2)
uid = store.handle_chunk(content, chunk_number=0, **chunk).upload_uid
if call == "get":
    store.handle_chunk(content, upload_uid=uid, chunk_number=1, **chunk)

F_OFD_SETLK = 37
def lock(kind):
    fcntl.fcntl(state, F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))
state = os.open(f"{root}/{uid}/state", os.O_RDWR)
lock(fcntl.F_WRLCK)

sys.setswitchinterval(1000)
begun = threading.Event()
def other():
    begun.wait()
    while blocked_in_the_kernel() == 0:
        pass
    lock(fcntl.F_UNLCK)
    print("released")

def blocked_in_the_kernel():
    # "->" marks a waiter
    with open("/proc/locks") as locks:
        return sum("->" in line and f":{os.fstat(state).st_ino} " in line for line in locks)

thread = threading.Thread(target=other)
thread.start()
begun.set()
if call == "get":
    store.get(uid)
else:
    store.handle_chunk(content, upload_uid=uid, chunk_number=1, **chunk)
thread.join()
"""


@pytest.mark.parametrize("call", ["handle_chunk", "get"])
def test_other_threads_run_during_a_call(root: Path, call: str) -> None:
    assert run_python(BLOCKED, root, call) == "released\n"


def test_content_may_be_changed_by_others_during_a_call(store: cu.Store) -> None:
    """A bytearray is copied, so what is stored is one state of it and has the checksum that was taken."""
    size = 1 << 20
    data = bytearray(size)
    done = threading.Event()

    def scribble() -> None:
        while not done.is_set():
            for byte in (0, 1):
                data[:] = bytes([byte]) * size

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(20):
            receipt = store.handle_chunk(data, total_size=size, chunk_number=0, chunk_count=1)
            assert content(store.get(receipt.upload_uid)) in (bytes(size), b"\x01" * size)
    finally:
        done.set()
        thread.join()
