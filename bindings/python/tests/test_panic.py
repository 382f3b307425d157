"""A panic inside the engine is an exception like any other."""

import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import environment, run_python

# Makes the clock fail on demand. Rust's library panics then.
BROKEN_CLOCK = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_is_broken = 0;
int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock_is_broken) { errno = EIO; return -1; }
    return syscall(SYS_clock_gettime, clock, time);
}
"""

SCRIPT = """
import ctypes, sys
import chunked_upload as cu
store = cu.Store(sys.argv[1])
broken = ctypes.c_int.in_dll(ctypes.CDLL(None), "clock_is_broken")
chunk = dict(total_size=2, chunk_count=2)
uid = store.handle_chunk(b"x", chunk_number=0, **chunk).upload_uid
broken.value = 1
try:
    store.handle_chunk(b"y", chunk_number=1, upload_uid=uid, **chunk)
except Exception as e:
    assert type(e) is cu.Internal and str(e).startswith("internal error: "), repr(e)
else:
    sys.exit("no panic: this test has lost its cause")
broken.value = 0
store.handle_chunk(b"y", chunk_number=1, upload_uid=uid, **chunk)
assert store.get(uid).total_size == 2
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_panic_is_internal_and_the_store_works_on(tmp_path: Path) -> None:
    source, library = tmp_path / "broken.c", tmp_path / "broken.so"
    source.write_text(BROKEN_CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    run_python(SCRIPT, tmp_path / "s", env=environment(LD_PRELOAD=str(library)))
