"""Receives a file in chunks, or writes the same bytes plainly, as receive.rs asks: see there.

A line asks for: engine|plain TOTAL CHUNK DIRECTORY. The answer, in nanoseconds: all, get, the median of other calls,
processor time.
"""

import os
import sys
from time import perf_counter_ns, process_time_ns

import chunked_upload as cu


def plain(directory: str, total: int, size: int, content: bytes) -> tuple[int, ...]:
    calls = []
    used, start = process_time_ns(), perf_counter_ns()
    before = start
    file = os.open(os.path.join(directory, "plain"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for offset in range(0, total, size):
        os.pwrite(file, content, offset)
        after = perf_counter_ns()
        calls.append(after - before)
        before = after
    os.close(file)
    return perf_counter_ns() - start, 0, sorted(calls)[len(calls) // 2], process_time_ns() - used


def engine(directory: str, total: int, size: int, content: bytes) -> tuple[int, ...]:
    calls = []
    store = cu.Store(os.path.join(directory, "store"))
    count = total // size
    uid = ""
    used, start = process_time_ns(), perf_counter_ns()
    before = start
    for number in range(count):
        receipt = store.handle_chunk(
            content,
            upload_uid=uid,
            file_name="bench",
            total_size=total,
            chunk_number=number,
            chunk_count=count,
        )
        uid = receipt.upload_uid
        after = perf_counter_ns()
        calls.append(after - before)
        before = after
    upload = store.get(uid)
    end = perf_counter_ns()
    used = process_time_ns() - used
    assert upload.total_size == total
    return end - start, end - before, sorted(calls)[len(calls) // 2], used


def main() -> None:
    for line in sys.stdin:
        what, total, size, directory = line.rstrip("\n").split(" ", 3)
        content = bytes((i * 7 + i // 251) & 0xFF for i in range(int(size)))
        took = {"plain": plain, "engine": engine}[what](directory, int(total), int(size), content)
        print(*took, flush=True)


if __name__ == "__main__":
    main()
