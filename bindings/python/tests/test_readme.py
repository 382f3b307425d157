"""The examples of the documents do what they say. The tests of the C library run those in C and C++."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import chunked_upload as cu
from helpers import HANGS, REPOSITORY, run_python

GUIDES = ("protocol", "python", "c", "operators", "errors", "limits", "command-line")
PAGES = ["README.md", "CONTRIBUTING.md", "bindings/python/README.md", *(f"docs/{guide}.md" for guide in GUIDES)]


def text(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def examples(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.finditer(rf"^```{language}\n(.*?)^```$", text(page), re.DOTALL | re.MULTILINE):
            line = text(page).count("\n", 0, block.start()) + 1
            found.append((f"{page}:{line}", block[1]))
    return found


def where_or_nothing(value: str) -> str:
    return value if "\n" not in value else ""


def pages_with(language: str) -> set[str]:
    return {where.rsplit(":")[0] for where, _ in examples(language)}


def test_there_are_examples() -> None:
    assert pages_with("python") == {"README.md", "bindings/python/README.md", "docs/protocol.md", "docs/python.md"}
    assert pages_with("rust") == {"README.md"}
    assert {"README.md", "docs/operators.md", "docs/command-line.md"} <= pages_with("sh")


def test_each_example_is_in_a_language_that_a_test_knows() -> None:
    """c and cpp are run by bindings/c/tests/programs.rs."""
    languages = {found for page in PAGES for found in re.findall(r"^```(.+)$", text(page), re.MULTILINE)}
    assert languages == {"python", "rust", "sh", "ini", "cron", "c", "cpp"}
    assert {page for language in ("c", "cpp") for page in pages_with(language)} == {"README.md", "docs/c.md"}


@pytest.mark.parametrize(("where", "example"), examples("python"), ids=where_or_nothing)
def test_the_example_runs(where: str, example: str, tmp_path: Path) -> None:
    run_python(example, cwd=tmp_path)


@pytest.mark.parametrize(("where", "example"), examples("rust"), ids=where_or_nothing)
def test_the_rust_example_runs(where: str, example: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.rs").write_text(example)
    (tmp_path / "Cargo.toml").write_text(
        '[package]\nname = "example"\nedition = "2024"\n'
        f'[dependencies]\nchunked-upload.path = "{REPOSITORY}"\n[workspace]\n'
    )
    # With the versions that were downloaded for this repository.
    (tmp_path / "Cargo.lock").write_bytes((REPOSITORY / "Cargo.lock").read_bytes())
    target = f"--target-dir={REPOSITORY / 'target' / 'examples-of-documents'}"
    command = [os.environ.get("CARGO", "cargo"), "run", "--quiet", "--offline", target]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=5 * HANGS)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.rstrip("\n")).read_bytes() == b"helloworld"


# --- servers ---

FLASK = """
client = app.test_client()

def call(method, path, uid="", body=b"", **query):
    answer = client.open(path, method=method, query_string=query, headers={"Upload-Uid": uid}, data=body)
    return answer.status_code, answer.json

def call_and_go_away(path, uid, body, length, **query):
    # As gunicorn says it.
    environ = {"CONTENT_LENGTH": str(length), "wsgi.input_terminated": True}
    headers = {"Upload-Uid": uid}
    answer = client.open(
        path, method="PUT", query_string=query, headers=headers, data=body, environ_overrides=environ
    )
    assert answer.status_code == 400
"""

FASTAPI = """
from urllib.parse import urlencode
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

client = TestClient(app)

def call(method, path, uid="", body=b"", **query):
    answer = client.request(method, path, params=query, headers={"Upload-Uid": uid}, content=body)
    return answer.status_code, answer.json()

def call_and_go_away(path, uid, body, length, **query):
    headers = [(b"upload-uid", uid.encode()), (b"content-length", b"%d" % length)]
    query_string = urlencode(query).encode()
    scope = {"type": "http", "method": "PUT", "path": path, "query_string": query_string, "headers": headers}
    events = iter([{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(events)

    async def send(message):
        assert message.get("status", 400) >= 400

    with contextlib.suppress(ClientDisconnect):
        asyncio.run(app(scope, receive, send))
"""

CLIENT = """
import asyncio, contextlib, io

numbers = {"total_size": 11, "chunk_count": 2}
status, receipt = call("PUT", "/chunks", body=b"world", chunk_number=1, file_name="a b.txt", **numbers)
assert (status, receipt["received_all"]) == (200, False), receipt
upload = receipt["upload_uid"]
assert call("GET", "/missing", upload) == (200, {"missing": [[0, 1]], "next_chunk": None})
assert call("POST", "/finish", upload) == (409, {"error": "incomplete"})
call_and_go_away("/chunks", upload, b"hel", 6, chunk_number=0, **numbers)
call_and_go_away("/chunks", upload, b"wor", 5, chunk_number=1, **numbers)
assert call("GET", "/missing", upload)[1]["missing"] == [[0, 1]]
assert call("PUT", "/chunks", upload, b"hello ", chunk_number=0, **numbers)[1]["received_all"]
for _ in range(2):  # the answer was lost
    assert call("POST", "/finish", upload) == (200, {"file_name": "a b.txt", "total_size": 11})
assert (received / upload).read_bytes() == b"hello world"
for wrong in ("", "../a", "0" * 32):
    assert call("POST", "/finish", wrong) == (404, {"error": "not_found"})
assert [file.name for file in received.iterdir()] == [upload]
assert call("PUT", "/chunks", body=b"a", chunk_number=-1, **numbers) == (400, {"error": "invalid_argument"})
assert call("PUT", "/chunks", body=b"a", chunk_number="x", **numbers)[0] in (400, 422)
assert call("PUT", "/chunks", body=b"a", **numbers)[0] in (400, 422)
assert call("PUT", "/chunks", body=bytes((64 << 20) + 1), chunk_number=0, chunk_count=2, total_size=1 << 30)[0] == 413
assert len(list(store.list())) == 1
"""


@pytest.mark.parametrize(("made", "client"), [("Flask(", FLASK), ("FastAPI(", FASTAPI)], ids=["flask", "fastapi"])
def test_the_servers_receive(made: str, client: str, tmp_path: Path) -> None:
    programs = [example for _, example in examples("python") if f"app = {made}" in example]
    assert len(programs) == 1
    imports, script = CLIENT.split("\n\n", 1)
    run_python(f"{programs[0]}{imports}\n{client}\n{script}", cwd=tmp_path)


# --- commands ---


def chunked_upload(arguments: list[str], cwd: Path) -> str:
    command = [sys.executable, "-m", "chunked_upload", *arguments]
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=HANGS)
    assert ran.returncode == 0, f"{command}: {ran.stderr}"
    return ran.stdout


def uploads_of_all_ages(directory: Path) -> cu.Store:
    """One old upload in each phase, and one that is still in use."""
    store = cu.Store(directory)
    one: dict[str, Any] = {"total_size": 2, "chunk_count": 2, "chunk_number": 0}
    both: dict[str, Any] = {"total_size": 1, "chunk_count": 1, "chunk_number": 0}
    store.handle_chunk(b"a", **one)
    store.get(store.handle_chunk(b"a", **both).upload_uid)
    os.remove(store.get(store.handle_chunk(b"a", **both).upload_uid).path)
    for upload in directory.iterdir():
        os.utime(upload, (0, 0))
    assert {upload.phase for upload in store.list()} == {"receiving", "complete", "gone"}
    store.handle_chunk(b"a", file_name="in use", **one)
    return store


@pytest.mark.parametrize(("where", "example"), examples("sh"), ids=where_or_nothing)
def test_the_commands_exist(where: str, example: str, tmp_path: Path) -> None:
    """Those that only look at a store are run."""
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    subprocess.run(["bash", "-n", "-c", example], check=True)
    uploads_of_all_ages(tmp_path / "uploads")
    for line in example.splitlines():
        match shlex.split(line, comments=True):
            case ["make", *words]:
                assert {word for word in words if "=" not in word} <= targets, line
            case ["chunked-upload", "send" | "receive" as command, *words]:
                described = chunked_upload([command, "--help"], tmp_path)
                assert all(word in described for word in words if word.startswith("-")), line
            case ["chunked-upload", *words]:
                assert chunked_upload(words, tmp_path), line


@pytest.mark.parametrize("scheduler", ["ini", "cron"])
def test_the_scheduled_cleanup_works(scheduler: str, tmp_path: Path) -> None:
    commands = [
        command
        for _, example in examples(scheduler)
        for command in re.findall(r"/opt/uploads/bin/chunked-upload (.*?)(?: >/dev/null)?$", example, re.MULTILINE)
    ]
    assert len(commands) == 1
    store = uploads_of_all_ages(tmp_path / "uploads")
    chunked_upload(shlex.split(commands[0].replace("/var/spool/uploads", "uploads")), tmp_path)
    assert [upload.file_name for upload in store.list()] == ["in use"]


def test_the_commands_of_the_table_exist(tmp_path: Path) -> None:
    commands = re.findall(r"^\| `chunked-upload (\w+) ", text("docs/command-line.md"), re.MULTILINE)
    options = re.findall(r"`(--[a-z-]+)`", text("docs/command-line.md"))
    assert len(commands) == 5
    described = "".join(chunked_upload([command, "--help"], tmp_path) for command in [*commands, "send", "receive"])
    assert all(option in described for option in options)


# --- numbers and tables ---


def test_the_minimum_rust_version_is_the_same_everywhere() -> None:
    minimum = re.search(r'^rust-version = "(.*)"$', text("Cargo.toml"), re.MULTILINE)
    assert minimum
    assert f"Rust ≥ {minimum[1]}," in text("README.md")
    assert re.findall(r"(?:Rust|minimum is) (\d+\.\d+)", text("CONTRIBUTING.md")) == [minimum[1]] * 2


def test_the_table_of_errors_is_right() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| `(\w+)` \| (\d+) \|", text("docs/errors.md"), re.MULTILINE)
    classes = [cls for cls in vars(cu).values() if isinstance(cls, type) and issubclass(cls, cu.Error)]
    facts = {(str(cls.code), cls.name, cls.__name__, str(cls.http_status)) for cls in classes if cls is not cu.Error}
    assert len(rows) == len(facts) and set(rows) == facts
