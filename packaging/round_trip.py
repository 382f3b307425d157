"""Sends a file in two chunks through an installed Python package, and compares what arrives: FOLDER of the package."""

import sys
import tempfile
from pathlib import Path

import chunked_upload as cu

folder = Path(sys.argv[1]).resolve()
if not Path(cu.__file__).resolve().is_relative_to(folder):
    sys.exit(f"{cu.__file__} was imported, which is not in {folder}")

with tempfile.TemporaryDirectory() as directory:
    store = cu.Store(f"{directory}/uploads", max_total_size=10)
    first = store.handle_chunk(b"world", total_size=10, chunk_number=1, chunk_count=2)
    try:
        store.get(first.upload_uid)
        sys.exit("get answered before the upload was complete")
    except cu.Incomplete:
        pass
    store.handle_chunk(b"hello", upload_uid=first.upload_uid, total_size=10, chunk_number=0, chunk_count=2)
    content = Path(store.get(first.upload_uid).path).read_bytes()
    if content != b"helloworld":
        sys.exit(f"{content!r} arrived")
print(f"chunked_upload {cu.__version__}: round trip passed")
