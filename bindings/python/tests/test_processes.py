"""Forked children and other processes use the same store."""

import functools
import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import chunked_upload as cu
from helpers import content, send

PARTS = [random.Random(number).randbytes(5000 + number) for number in range(40)]


def in_child(work: Callable[[], object]) -> int:
    """Forks; answers the child's pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    return pid


def wait_for(*pids: int) -> None:
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * len(pids)


def test_a_store_made_before_a_fork_works_in_the_children(store: cu.Store) -> None:
    uid = send(store, PARTS, [7])
    orders = [range(start, 40, 4) for start in range(4)]
    wait_for(*(in_child(functools.partial(send, store, PARTS, order, uid)) for order in orders))
    assert content(store.get(uid)) == b"".join(PARTS)


def test_children_draw_different_uids(store: cu.Store, root: Path) -> None:
    send(store, [b"a", b"b"], [0])  # whatever a generator would cache is cached now
    wait_for(*(in_child(functools.partial(send, store, [b"a", b"b"], [0])) for _ in range(8)))
    assert len(os.listdir(root)) == 9


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forks_while_other_threads_are_in_calls(store: cu.Store) -> None:
    uid = send(store, PARTS, [0])
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            send(store, PARTS, range(20), uid)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20, 40):
            wait_for(in_child(functools.partial(send, store, PARTS, [number], uid)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert content(store.get(uid)) == b"".join(PARTS)


def test_killed_children_lose_nothing_acknowledged(store: cu.Store) -> None:
    uid = send(store, PARTS, [0])
    acknowledged, told = os.pipe()

    def work() -> None:
        for number in range(1, 40):
            send(store, PARTS, [number], uid)
            os.write(told, bytes([number]))
        signal.pause()

    pid = in_child(work)
    os.close(told)
    seen = [0]
    while len(seen) < 20:
        seen += os.read(acknowledged, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(acknowledged, 100):
        seen += more
    os.close(acknowledged)
    missing = [number for number in range(40) if number not in seen]
    try:
        store.get(uid)
    except cu.Incomplete as e:
        # The one after the last acknowledged may be there too.
        assert e.missing_count in (len(missing), len(missing) - 1)
        assert e.first_missing >= missing[0]
    send(store, PARTS, missing, uid)
    assert content(store.get(uid)) == b"".join(PARTS)


def receive(store: cu.Store, uid: str, order: range) -> cu.Receipt:
    send(store, PARTS, order[:-1], uid)
    last = order[-1]
    total = sum(map(len, PARTS))
    return store.handle_chunk(PARTS[last], upload_uid=uid, total_size=total, chunk_number=last, chunk_count=len(PARTS))


def fail(store: cu.Store) -> cu.Finished:
    return store.get("0" * 32)


def test_stores_answers_and_errors_pass_between_processes(store: cu.Store) -> None:
    uid = send(store, PARTS, [0])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        receipts = pool.starmap(receive, [(store, uid, range(0, 40, 2)), (store, uid, range(1, 40, 2))])
        assert {receipt.upload_uid for receipt in receipts} == {uid}
        assert any(receipt.received_all for receipt in receipts)
        upload = pool.apply(store.get, (uid,))
        assert upload == store.get(uid)
        with pytest.raises(cu.NotFound):
            pool.apply(fail, (store,))
    assert content(upload) == b"".join(PARTS)
