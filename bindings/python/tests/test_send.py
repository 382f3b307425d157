"""send and receive: a file comes through, whatever is interrupted, and nothing travels twice without need."""

import base64
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

import chunked_upload as cu
from chunked_upload.cli.keys import user_secret
from chunked_upload.cli.protocol import MAX_CHUNK
from chunked_upload.cli.receive import safe_name
from chunked_upload.cli.send import Sender
from helpers import HANGS

CHUNK = 64 << 10
KEY = {"Upload-Key": "a key of sixteen characters"}


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's secret is kept, in these tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


class Server:
    """`receive` as a process, on a port of its own that it keeps over restarts."""

    def __init__(self, into: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.into, self.url = into, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        arguments = ["receive", "--into", self.into, "--port", self.port, "--json"]
        command = [sys.executable, "-m", "chunked_upload", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        event = json.loads(self.process.stdout.readline())
        assert (event["event"], event["url"]) == ("listening", self.url)

    def stop(self, how: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.communicate(timeout=HANGS)
        return self.process.returncode

    def received_count(self) -> int:
        """How many chunks of the one upload are there."""
        store = cu.Store(self.into / ".uploads", all_owners=True)
        return sum(store.inspect(listed.uid).received_count for listed in store.list())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "into")
    running.start()
    yield running
    running.stop()


def begin_to_send(server: Server, file: Path, *more: object) -> subprocess.Popen[str]:
    arguments = ["send", file, server.url, "--chunk-size", CHUNK, "--json", *more]
    command = [sys.executable, "-m", "chunked_upload", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def send(server: Server, file: Path, *more: object, status: int = 0) -> Any:
    process = begin_to_send(server, file, *more)
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == status, f"{process.returncode}: {out}{err}"
    return json.loads(out if status == 0 else err)


def file_of(path: Path, chunks: int, seed: int = 1) -> Path:
    path.write_bytes(random.Random(seed).randbytes(chunks * CHUNK - 100) if chunks else b"")
    return path


@pytest.mark.parametrize("chunks", [0, 1, 7])
def test_a_file_comes_through_and_travels_once(server: Server, tmp_path: Path, chunks: int) -> None:
    file = file_of(tmp_path / "file.bin", chunks)
    size = file.stat().st_size
    assert send(server, file) == {"name": "file.bin", "total_size": size, "sent_chunks": chunks or 1}
    assert (server.into / "file.bin").read_bytes() == file.read_bytes()
    assert send(server, file) == {"name": "file.bin", "total_size": size, "sent_chunks": 0}
    again = send(server, file, "--new")
    assert again["sent_chunks"] == (chunks or 1) and again["name"] != "file.bin"
    assert (server.into / again["name"]).read_bytes() == file.read_bytes(), "nothing is overwritten"
    (server.into / "file.bin").unlink()
    assert send(server, file, status=1)["error"] == "gone"


def test_only_the_user_s_secret_leads_to_an_upload(
    server: Server, tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_of(tmp_path / "file.bin", 3)
    assert send(server, file)["sent_chunks"] == 3
    secret = state_home / "chunked-upload" / "send.secret"
    assert [path.name for path in secret.parent.iterdir()] == ["send.secret"]
    assert secret.stat().st_mode & 0o7777 == 0o600 and secret.stat().st_size == 32
    assert secret.parent.stat().st_mode & 0o7777 == 0o700
    assert send(server, file)["sent_chunks"] == 0, "another run goes on"
    # Everything that others see of the file is the same.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    assert send(server, file)["sent_chunks"] == 3


def test_two_first_runs_have_one_secret(state_home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: user_secret(), range(8)))
    assert len(found) == 1 and None not in found
    assert [path.name for path in (state_home / "chunked-upload").iterdir()] == ["send.secret"]


@pytest.mark.parametrize("what", ["no directory", "open to others", "a link", "a FIFO", "too short", "another user's"])
def test_without_a_secret_each_run_begins_from_the_start(
    server: Server, tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    secret = state_home / "chunked-upload" / "send.secret"
    secret.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(bytes(32))
    elsewhere.chmod(0o600)
    if what == "no directory":
        monkeypatch.setenv("XDG_STATE_HOME", "/proc/not there")
    elif what == "a link":
        secret.symlink_to(elsewhere)
    elif what == "a FIFO":
        os.mkfifo(secret, 0o600)
    else:
        secret.write_bytes(bytes(31 if what == "too short" else 32))
        secret.chmod(0o644 if what == "open to others" else 0o600)
        if what == "another user's":
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            os.chown(secret, 1001, -1)
    file = file_of(tmp_path / "file.bin", 3)
    assert [send(server, file)["sent_chunks"] for _ in range(2)] == [3, 3]
    command = [sys.executable, "-m", "chunked_upload", "send", str(file), server.url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=True)
    assert "another run cannot go on" in said.stderr


def test_a_changed_file_is_another_upload(server: Server, tmp_path: Path) -> None:
    file = file_of(tmp_path / "file.bin", 3)
    send(server, file)
    file_of(file, 3, seed=2)
    changed = send(server, file)
    assert changed["sent_chunks"] == 3
    assert (server.into / changed["name"]).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_both_ends_are_interrupted_until_it_is_through(server: Server, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    file = file_of(tmp_path / "file.bin", 400, seed)
    for _ in range(4):
        process = begin_to_send(server, file, "--connections", 2)
        target = server.received_count() + chance.randrange(1, 60)
        deadline = time.monotonic() + HANGS
        while server.received_count() < target and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        what = chance.choice(["client", "client", "server"])
        if what == "client":
            how = chance.choice([signal.SIGINT, signal.SIGKILL])
            process.send_signal(how)
            process.communicate(timeout=HANGS)
            assert process.returncode in (0, 130, -signal.SIGKILL)
            if process.returncode == 0:
                break
        else:
            # The client does not notice more than a pause.
            server.stop(chance.choice([signal.SIGKILL, signal.SIGTERM]))
            time.sleep(chance.random() / 2)
            server.start()
            out, err = process.communicate(timeout=HANGS)
            assert process.returncode == 0, out + err
            break
    there = 400 if server.received_count() == 0 else server.received_count()
    last = send(server, file)
    # What the server was just reading when its client was killed may have come after it was counted.
    assert 400 - there - 4 <= last["sent_chunks"] <= 400 - there, "only what was missing"
    assert (server.into / last["name"]).read_bytes() == file.read_bytes()
    assert [path.name for path in server.into.iterdir() if path.name != ".uploads"] == ["file.bin"]


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(server: Server, tmp_path: Path) -> None:
    file = file_of(tmp_path / "file.bin", 2000)
    command = [sys.executable, "-m", "chunked_upload", "send", str(file), server.url, "--chunk-size", str(CHUNK)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while server.received_count() == 0:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 130 and "run the same command again" in err and "Traceback" not in err
    assert server.stop(signal.SIGINT) == 0, "that is how a server is stopped"


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = Server(tmp_path)
        nobody.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        script = (
            "import sys, chunked_upload.cli.send as s; s.RETRIES.total = 1; from chunked_upload.cli.app import run;"
        )
        command = [sys.executable, "-c", f"{script} sys.exit(run(sys.argv[1:]))", "send", __file__, nobody.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 1 and "chunked-upload: io: no answer" in done.stderr and "Traceback" not in done.stderr


def test_an_answer_that_is_cut_off_is_asked_for_again(tmp_path: Path) -> None:
    def answer(listening: socket.socket) -> None:
        for body in (b"", b"{}"):
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n" + body)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        sender = Sender(url, file_of(tmp_path / "file.bin", 3), CHUNK, new=False, as_json=True)
        answering = threading.Thread(target=answer, args=[listening], daemon=True)
        answering.start()
        assert list(sender.missing()) == [range(3)]
        answering.join(HANGS)


def put(server: Server, content: bytes, number: int = 0, digest: str | None = None) -> requests.Response:
    query: dict[str, str | int] = {"total_size": 6, "chunk_number": number, "chunk_count": 2, "file_name": "a.bin"}
    return requests.put(
        f"{server.url}/chunk",
        params=query,
        data=content,
        headers=KEY | ({"Content-Digest": digest} if digest else {}),
        timeout=HANGS,
    )


def test_other_clients_can_take_part(server: Server) -> None:
    def ask(method: str, page: str = "/upload", **more: Any) -> requests.Response:
        return requests.request(method, server.url + page, headers=KEY, timeout=HANGS, **more)

    assert (ask("GET").status_code, ask("GET").json()["error"]) == (404, "not_found")
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(b'abc').digest()).decode()}:"
    wrong = put(server, b"abX", digest=digest)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "checksum_mismatch")
    assert put(server, b"abc", digest=digest).json() == {"received_all": False}
    assert ask("GET").json()["missing"] == [[1, 2]]
    assert (ask("POST").status_code, ask("POST").json()["error"]) == (409, "incomplete")
    assert put(server, b"def", 1).json() == {"received_all": True}
    first = ask("POST").json()
    assert first["name"] == "a.bin" and ask("POST").json() == first
    assert (server.into / "a.bin").read_bytes() == b"abcdef"
    assert ask("GET").json()["phase"] == "gone"
    assert ask("DELETE").json() == {} and ask("GET").status_code == 404


def test_the_largest_chunk_is_taken(server: Server) -> None:
    numbers = {"total_size": MAX_CHUNK, "chunk_number": 0, "chunk_count": 1}
    url = f"{server.url}/chunk"
    answer = requests.put(url, params=numbers, data=bytes(MAX_CHUNK), headers=KEY, timeout=HANGS)
    assert (answer.status_code, answer.text) == (200, '{"received_all": true}\n')


def test_bad_requests_are_refused(server: Server) -> None:
    def status(**request: Any) -> int:
        arguments: dict[str, Any] = {"method": "PUT", "url": f"{server.url}/chunk", "headers": KEY, "data": b"a"}
        return requests.request(**(arguments | request), timeout=HANGS).status_code

    assert status() == 400, "no numbers"
    assert status(headers={}) == 400
    assert status(headers={"Upload-Key": "short"}, params={"total_size": 1, "chunk_number": 0, "chunk_count": 1}) == 400
    assert status(headers=KEY | {"Host": "rebound.example"}) == 421
    assert status(method="GET", url=f"{server.url}/../../etc/passwd") == 404
    assert status(data=b"x" * ((64 << 20) + 1)) == 413
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.port))) as raw:
        raw.sendall(b"PUT /chunk?total_size=9&chunk_number=0&chunk_count=1 HTTP/1.1\r\nHost: localhost\r\n")
        raw.sendall(b"Upload-Key: 0123456789abcdef\r\nContent-Length: 9\r\n\r\nshort")
    assert list(cu.Store(server.into / ".uploads").list()) == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a.tif", "a.tif"),
        ("../../etc/passwd", "passwd"),
        ("C:\\dir\\a b.tif", "a b.tif"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("/", "unnamed"),
        (".uploads", "uploads"),
        ("a\n\x1b.tif", "a__.tif"),
        ("\u00e4" * 300, "\u00e4" * 100),
    ],
)
def test_a_name_from_a_client_names_nothing_else(sent: str, kept: str) -> None:
    assert safe_name(sent) == kept
