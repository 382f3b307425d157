"""Under a real uWSGI, with apps that are loaded before the workers are forked and after."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
import umsgpack

PARTS = [random.Random(number).randbytes(100_000 if number < 39 else 777) for number in range(40)]
WHOLE = b"".join(PARTS)
# The same file, cut into parts of many sizes. Out of order they have no place in it, so `get` copies them into order.
CUTS = sorted(random.Random(3).sample(range(1, len(WHOLE)), len(PARTS) - 1))
UNEVEN = [WHOLE[start:end] for start, end in pairwise([0, *CUTS, len(WHOLE)])]
UWSGI = shutil.which("uwsgi", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


class Server:
    parts = PARTS

    def __init__(self, base: Path, lazy: bool, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        assert UWSGI, "uwsgi is not installed"
        command = [UWSGI, "--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "4", "--need-app"]
        command += ["--virtualenv", sys.prefix, "--pythonpath", str(Path(__file__).parent), "--module", "uwsgi_app"]
        command += [
            "--post-buffering",
            "65535",
            "--disable-logging",
            "--die-on-term",
            *(["--lazy-apps"] if lazy else []),
        ]
        self.log = (base / "uwsgi.log").open("w")
        # GWS_TMP_DIR: where a real GWS puts its things.
        environment = {**os.environ, "GWS_TMP_DIR": str(base / "tmp"), **environment}
        self.master = subprocess.Popen(
            command, env=environment, stdout=self.log, stderr=self.log, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < deadline and self.master.poll() is None, (base / "uwsgi.log").read_text()
                time.sleep(0.05)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def post(self, page: str, as_json: bool = False, retry: bool = False, **values: Any) -> dict[str, Any]:
        """An answer, even if the worker that was to give it is killed."""
        if as_json and "content" in values:
            values["content"] = list(values["content"])
        body = json.dumps(values).encode() if as_json else umsgpack.dumps(values)
        kind = "application/json" if as_json else "application/msgpack"
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = requests.post(self.url + page, data=body, headers={"Content-Type": kind}, timeout=60)
                return {"status": answer.status_code, **answer.json()}
            except requests.RequestException:
                assert retry and time.monotonic() < deadline
                time.sleep(0.01)

    def chunk(self, number: int, uid: str = "", **more: Any) -> dict[str, Any]:
        values = {"uploadUid": uid, "fileName": "a.tif", "totalSize": len(WHOLE), "chunkNumber": number}
        return self.post("/chunk", chunkCount=len(self.parts), content=self.parts[number], **values, **more)

    def stop(self) -> None:
        # With workers that were just killed the master may take its time over SIGTERM.
        os.killpg(self.master.pid, signal.SIGKILL)
        self.master.wait(60)
        self.log.close()


@pytest.fixture(params=[True, False], ids=["lazy-apps", "prefork"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, request.param)
    yield running
    running.stop()


def test_chunks_in_parallel_and_in_both_encodings(server: Server) -> None:
    uid = server.chunk(7)["uploadUid"]
    order = random.Random(1).sample(range(40), 40)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: server.chunk(number, uid, as_json=number % 10 == 0), order))
        assert {answer["status"] for answer in answers} == {200}
        assert len({answer["pid"] for answer in answers}) > 1, "several workers"
        uploads = list(pool.map(lambda _: server.post("/get", uploadUid=uid), range(8)))
    assert len({upload["path"] for upload in uploads}) == 1
    assert Path(uploads[0]["path"]).read_bytes() == WHOLE
    assert server.post("/get", uploadUid="0" * 32)["status"] == 409
    assert server.post("/chunk", uploadUid="x", chunkNumber=0, chunkCount=1, totalSize=1, content=b"x")["status"] == 400


def test_workers_that_are_killed_lose_nothing(server: Server) -> None:
    stop = threading.Event()
    kills = 0

    def kill() -> None:
        nonlocal kills
        chance = random.Random(2)
        while not stop.wait(chance.uniform(0.01, 0.1)):
            if workers := server.workers():
                os.kill(chance.choice(workers), signal.SIGKILL)
                kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while kills < 10:
            uid = server.chunk(0, retry=True)["uploadUid"]
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda number, uid=uid: server.chunk(number, uid, retry=True), range(40)))
                assert {answer["status"] for answer in answers} == {200}
                uploads = list(pool.map(lambda _, uid=uid: server.post("/get", uploadUid=uid, retry=True), range(8)))
            assert {upload["status"] for upload in uploads} == {200}
            assert Path(uploads[0]["path"]).read_bytes() == WHOLE
    finally:
        stop.set()
        killer.join()


@pytest.mark.parametrize("lazy", [True, False], ids=["lazy-apps", "prefork"])
@pytest.mark.parametrize(("call", "number"), [("pwrite", 6), ("pwrite", 7), ("rename", 2), ("unlink", 2)])
def test_workers_that_die_in_mid_chunk_and_in_mid_get(tmp_path: Path, lazy: bool, call: str, number: int) -> None:
    """Each worker dies just before the n-th system call of this name it makes: while it writes a chunk, or while it
    finishes a file. Only a file whose parts are copied into order has others that are removed."""
    source = Path(__file__).parents[3] / "tests" / "shim" / "faults.c"
    shim = tmp_path / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, source], check=True)
    server = Server(tmp_path, lazy, LD_PRELOAD=str(shim), UPLOAD_KILL=f"{call}:{number}")
    server.parts = UNEVEN if call == "unlink" else PARTS
    try:
        for _ in range(6):
            uid = server.chunk(39, retry=True)["uploadUid"]
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda number, uid=uid: server.chunk(number, uid, retry=True), range(40)))
                assert {answer["status"] for answer in answers} == {200}
                uploads = list(pool.map(lambda _, uid=uid: server.post("/get", uploadUid=uid, retry=True), range(4)))
            assert {upload["status"] for upload in uploads} == {200}
            assert Path(uploads[0]["path"]).read_bytes() == WHOLE
        log = (tmp_path / "uwsgi.log").read_text(errors="replace")
        assert log.count("killed by signal 9") > 0, f"no worker came to its {call} number {number}"
    finally:
        server.stop()
