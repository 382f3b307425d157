"""What is kept of the helper that comes with GWS."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gws
import pytest

from conftest import PLUGIN, uh

PARTS = [b"first ", b"second ", b"third"]
WHOLE = b"".join(PARTS)


def request(number: int, uid: str | None = "", parts: list[bytes] = PARTS, **more: Any) -> Any:
    values = {
        "uploadUid": uid,
        "fileName": "../../a.tif",
        "totalSize": sum(map(len, parts)),
        "chunkNumber": number,
        "chunkCount": len(parts),
        "content": parts[number] if 0 <= number < len(parts) else b"",
    }
    return gws.Data(**(values | more))


def send(helper: Any, order: Any = (2, 0, 1), req: Any = None, **more: Any) -> str:
    uid = ""
    for number in order:
        uid = helper.handle_chunk_request(req, request(number, uid, **more)).uploadUid
    return uid


def refused(helper: Any, p: Any, req: Any = None) -> str:
    """What the cause of a refusal says."""
    with pytest.raises(gws.BadRequestError) as caught:
        helper.handle_chunk_request(req, p)
    assert type(caught.value.__cause__) is uh.Error
    return str(caught.value.__cause__.args[0])


def content(upload: Any) -> bytes:
    return Path(upload.path).read_bytes()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 1, 2, 0, 2)])
def test_chunks_in_any_order_become_the_file(helper: Any, root: Path, order: tuple[int, ...]) -> None:
    uid = send(helper, order)
    assert uid.isalnum()
    upload = helper.get_upload(uid)
    assert vars(upload) == {
        "uploadUid": uid,
        "fileName": "../../a.tif",
        "totalSize": len(WHOLE),
        "path": str(root / f"upload_{uid}" / "file"),
    }
    assert content(upload) == WHOLE
    assert helper.get_upload(uid).path == upload.path


def test_the_answer_has_the_uid_and_nothing_else(helper: Any) -> None:
    response = helper.handle_chunk_request(None, request(0))
    assert isinstance(response, uh.ChunkResponse) and list(vars(response)) == ["uploadUid"]


@pytest.mark.parametrize("uid", ["", None])
def test_no_uid_begins_an_upload(helper: Any, uid: Any) -> None:
    first = helper.handle_chunk_request(None, request(0, uid)).uploadUid
    assert first != helper.handle_chunk_request(None, request(0, uid)).uploadUid


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: data.decode()])
def test_content_is_any_kind_of_bytes_or_a_str(helper: Any, kind: Any) -> None:
    uid = ""
    for number, part in enumerate(PARTS):
        uid = helper.handle_chunk_request(None, request(number, uid, content=kind(part))).uploadUid
    assert content(helper.get_upload(uid)) == WHOLE


def test_a_chunk_that_is_sent_again_replaces_the_first(helper: Any) -> None:
    uid = send(helper, [0, 1])
    helper.handle_chunk_request(None, request(0, uid, content=b"FIRST "))
    helper.handle_chunk_request(None, request(2, uid))
    assert content(helper.get_upload(uid)) == b"FIRST second third"


def test_what_is_not_complete_is_an_error_and_can_be_asked_again(helper: Any) -> None:
    uid = send(helper, [0, 1])
    for _ in range(2):
        with pytest.raises(uh.Error, match="incomplete"):
            helper.get_upload(uid)
    helper.handle_chunk_request(None, request(2, uid))
    assert content(helper.get_upload(uid)) == WHOLE


@pytest.mark.parametrize("number", [-1, 3, 2**70])
def test_a_number_that_is_out_of_range_is_refused(helper: Any, number: int) -> None:
    assert "chunk" in refused(helper, request(number, send(helper, [0])))


def test_a_helper_in_the_configuration_is_pickled_with_the_server(helper: Any, root: Path) -> None:
    uid = send(helper, [0, 1])
    script = (
        "import sys, pickle; sys.path.insert(0, sys.argv[1]); from conftest import gws; "
        "from test_upload_helper import request; gws.c.EPHEMERAL_DIR = sys.argv[2]; "
        "helper = pickle.load(sys.stdin.buffer); helper.handle_chunk_request(None, request(2, sys.argv[3])); "
        "print(helper.get_upload(sys.argv[3]).path)"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(root), uid]
    done = subprocess.run(command, input=pickle.dumps(helper), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert Path(done.stdout.decode().strip()).read_bytes() == WHOLE


def test_importing_and_configuring_make_nothing(helper: Any, root: Path) -> None:
    assert not root.parent.exists()
    script = f"import sys; sys.path.insert(0, {str(PLUGIN.parent.parent / 'tests')!r}); import conftest; "
    script += "sys.exit('chunked_upload' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_any_process_may_handle_any_chunk(helper: Any) -> None:
    parts = [bytes([number]) * 1000 for number in range(40)]
    uid = helper.handle_chunk_request(None, request(0, parts=parts)).uploadUid
    children = []
    for worker in range(4):
        pid = os.fork()
        if pid == 0:
            for number in range(1 + worker, 40, 4):
                helper.handle_chunk_request(None, request(number, uid, parts=parts))
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    with ThreadPoolExecutor(4) as pool:
        uploads = list(pool.map(lambda _: helper.get_upload(uid), range(4)))
    assert len({upload.path for upload in uploads}) == 1 and content(uploads[0]) == b"".join(parts)
