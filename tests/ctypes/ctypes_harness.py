"""Replays every transcript of tests/vectors over the plain C library.

python ctypes_harness.py target/release/libchunked_upload.so [transcript.json ...]
"""

import sys
import tempfile
from pathlib import Path

from chunked_upload_c import Library
from transcripts import replay, vector_files


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    library = Library(sys.argv[1])
    failures = 0
    for file in [Path(name) for name in sys.argv[2:]] or vector_files():
        with tempfile.TemporaryDirectory() as directory:
            try:
                replay(file, library, Path(directory, "store"))
                print(f"ok    {file.name}")
            except AssertionError as deviation:
                failures += 1
                print(f"FAIL  {deviation}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
