"""A panic inside the engine is an exception like any other."""

import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import environment, run_python

# Makes the kernel's random generator fail on demand, which leaves the engine nothing but to give up.
BROKEN_GENERATOR = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
int generator_is_broken = 0;
ssize_t getrandom(void *buffer, size_t size, unsigned int flags) {
    if (generator_is_broken) { errno = EIO; return -1; }
    return syscall(SYS_getrandom, buffer, size, flags);
}
"""

SCRIPT = """
import ctypes, sys
import chunked_upload as cu
store = cu.Store(sys.argv[1])
broken = ctypes.c_int.in_dll(ctypes.CDLL(None), "generator_is_broken")
chunk = dict(total_size=1, chunk_number=0, chunk_count=1)
broken.value = 1
try:
    store.handle_chunk(b"x", **chunk)
except Exception as e:
    assert type(e) is cu.Internal and str(e).startswith("internal error: "), repr(e)
else:
    sys.exit("no panic: this test has lost its cause")
broken.value = 0
assert store.get(store.handle_chunk(b"x", **chunk).upload_uid).total_size == 1
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_panic_is_internal_and_the_store_works_on(tmp_path: Path) -> None:
    source, library = tmp_path / "broken.c", tmp_path / "broken.so"
    source.write_text(BROKEN_GENERATOR)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    run_python(SCRIPT, tmp_path / "s", env=environment(LD_PRELOAD=str(library)))
