"""The commands that look after a store: what they print, and what they end with."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import chunked_upload as cu
from helpers import HANGS, send

PARTS = [b"ab", b"cd", b"ef"]
UNKNOWN = "00000000000040008000000000000000"


def cli(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chunked_upload", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done


def answer(*arguments: object, status: int = 0) -> Any:
    return json.loads(cli(*arguments, "--json", status=status).stdout)


def test_list_shows_every_owners_uploads_and_nothing_else(store: cu.Store, root: Path) -> None:
    uids = {send(store, PARTS, [0], file_name="a\x1b[31mb\n.tif"), send(store.for_owner(b"ann"), PARTS)}
    (root / "foreign").mkdir()
    lines = [json.loads(line) for line in cli("list", root, "--json").stdout.splitlines()]
    assert {line["uid"] for line in lines} == uids
    assert {line["phase"] for line in lines} == {"receiving"} and all(line["total_size"] == 6 for line in lines)
    table = cli("list", root).stdout
    assert all(uid in table for uid in uids) and "receiving" in table and "\x1b" not in table and "foreign" not in table
    damaged = uids.pop()
    (root / damaged / "state").write_bytes(b"garbage")
    done = cli("list", root, status=1)
    assert uids.pop() in done.stdout and "io" in done.stderr


def test_inspect_tells_all_of_one(store: cu.Store, root: Path) -> None:
    uid = send(store, PARTS, [1])
    seen = answer("inspect", root, uid)
    assert seen.pop("last_activity") == pytest.approx(time.time(), abs=60)
    assert seen == {
        "uid": uid,
        "file_name": "a.bin",
        "total_size": 6,
        "chunk_count": 3,
        "received_size": 2,
        "received_count": 1,
        "phase": "receiving",
        "missing": [[0, 1], [2, 3]],
    }
    table = cli("inspect", root, uid).stdout
    assert "2 bytes of 6 bytes" in table and "1 of 3" in table and "0, 2" in table


def test_inspect_puts_the_pages_together(store: cu.Store, root: Path) -> None:
    uid, count = "", 2 * 1200
    for number in range(1, count, 2):
        sent = store.handle_chunk(b"x", upload_uid=uid, total_size=count, chunk_number=number, chunk_count=count)
        uid = sent.upload_uid
    assert answer("inspect", root, uid)["missing"] == [[number, number + 1] for number in range(0, count, 2)]


def test_verify_ends_with_3_when_it_finds_damage(store: cu.Store, root: Path) -> None:
    uid = send(store, PARTS)
    assert "no damage" in cli("verify", root, uid).stdout
    path = Path(store.get(uid).path)
    path.write_bytes(b"abXdef")
    assert "1 damaged: 1" in cli("verify", root, uid, status=3).stdout
    assert answer("verify", root, uid, status=3)["damaged"] == [[1, 2]]


def test_cleanup_goes_by_age_and_can_only_tell(store: cu.Store, root: Path) -> None:
    old, young = send(store, PARTS, [0]), send(store, PARTS, [0])
    os.utime(root / old, (0, 0))
    arguments = ["cleanup", root, "--older-than", "2d"]
    assert old in cli(*arguments, "--dry-run").stdout
    told = answer(*arguments, "--dry-run")
    assert told == {"dry_run": True, "removed": [{"uid": old, "phase": "receiving"}], "failed_count": 0}
    assert answer(*arguments)["removed"] == told["removed"]
    assert [listed.uid for listed in store.list()] == [young]
    store.get(send(store, PARTS, [1, 2], young))
    os.utime(root / young, (0, 0))
    assert answer(*arguments, "--finished", "100000w")["removed"] == []
    assert "1 removed" in cli(*arguments).stdout
    # An age of nothing is an age.
    done, taken = send(store, PARTS, [0, 1, 2]), send(store, PARTS, [0, 1, 2])
    store.get(done)
    store.move_to(taken, root.parent / "taken")
    kept = ["cleanup", root, "--older-than", "2d", "--dry-run"]
    assert answer(*kept)["removed"] == []
    assert [each["uid"] for each in answer(*kept, "--finished", "0s")["removed"]] == [done]
    assert [each["uid"] for each in answer(*kept, "--gone", "0s")["removed"]] == [taken]
    for bad in ("2", "d", "-1d", "2y", "9" * 30 + "d"):
        assert "age" in cli("cleanup", root, "--older-than", bad, status=2).stderr
    cli("cleanup", root, status=2)


def test_remove_removes(store: cu.Store, root: Path) -> None:
    uid = send(store, PARTS)
    assert answer("remove", root, uid) == {"removed": uid}
    assert list(store.list()) == []


@pytest.mark.parametrize("command", ["inspect", "verify", "remove"])
@pytest.mark.parametrize("uid", [UNKNOWN, "../x", "\u00e4"])
def test_an_unknown_uid_is_an_error_by_name(store: cu.Store, root: Path, command: str, uid: str) -> None:
    send(store, PARTS)
    assert cli(command, root, uid, status=1).stderr.startswith("chunked-upload: not_found: ")
    error = json.loads(cli(command, root, uid, "--json", status=1).stderr)
    assert error["error"] == "not_found" and error["message"]


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["list"], ["inspect", "."], ["list", ".", "--wrong"]])
def test_what_is_not_understood_ends_with_2(arguments: list[str]) -> None:
    assert cli(*arguments, status=2).stderr


def test_a_store_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert "does not exist" in cli("list", missing, status=2).stderr
    assert not missing.exists()


def test_uploads_behind_a_prefix(root: Path) -> None:
    uid = send(cu.Store(root, prefix="upload_"), PARTS)
    assert cli("list", root).stdout.count(uid) == 0
    assert uid in cli("list", root, "--prefix", "upload_").stdout


def test_help_and_version_are_there_and_the_command_is_installed() -> None:
    installed = Path(sys.executable).with_name("chunked-upload")
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, timeout=HANGS)
    assert cu.__version__ in done.stdout
    for command in ("list", "inspect", "verify", "cleanup", "remove", "receive", "send"):
        assert "Usage" in cli(command, "--help").stdout


def test_without_its_libraries_it_says_how_to_get_them() -> None:
    script = "import sys; sys.modules['click'] = None; from chunked_upload.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 1 and "pip install 'chunked-upload[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
    unused = "import sys, chunked_upload; sys.exit(any(name in sys.modules for name in ('click', 'rich', 'requests')))"
    assert subprocess.run([sys.executable, "-c", unused], timeout=HANGS).returncode == 0


def test_a_reader_that_goes_away_is_no_traceback(store: cu.Store, root: Path) -> None:
    for _ in range(50):
        send(store, PARTS, [0], file_name="x" * 2000)
    command = f"{sys.executable} -m chunked_upload list {root} --json | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=HANGS)
    assert done.stdout.count("\n") == 1 and "Traceback" not in done.stderr
