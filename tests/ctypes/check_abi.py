"""Calls the library by what abi.json says: a round trip, and every function with NULL for each of its pointers.

python check_abi.py libchunked_upload.so abi.json DIRECTORY
"""

import sys
from pathlib import Path
from typing import Any

from from_abi import Binding, Failure, Handle


def round_trip(c: Binding, store: Handle) -> None:
    uid = b""
    for number, content in enumerate((b"hel\0lo", b"world")):
        chunk = c.struct(
            "upload_chunk", upload_uid=uid, total_size=11, chunk_number=number, chunk_count=2, content=content
        )
        uid = c.upload_handle_chunk(store=store, chunk=chunk).upload_uid
    finished = c.upload_get(store=store, uid=uid)
    assert Path(finished.path.decode()).read_bytes() == b"hel\0loworld" and finished.total_size == 11
    cleaned = c.upload_cleanup(store=store, expiry=c.struct("upload_expiry"))
    assert cleaned.finished == 0, "as it is at first an expiry keeps everything"
    cleaned = c.upload_cleanup(
        store=store, expiry=c.struct("upload_expiry", finished_age=c.constants["UPLOAD_ANY_AGE"])
    )
    assert cleaned.finished == 1 and cleaned.unfinished == 0


def null(c: Binding, good: dict[str, Any]) -> int:
    """NULL is refused, by name, where abi.json says that it is not nullable, and accepted elsewhere."""
    calls = 0
    for name, declared in c.declared.items():
        for parameter in declared.get("parameters", []):
            if "nullable" not in parameter:
                continue
            calls += 1
            passed = [
                item["name"] for item in declared["parameters"] if item["direction"] != "out" and "frees" not in item
            ]
            given = {name: good[name] for name in passed if name in good}
            if "options" in given:
                given["options"] = c.upload_options_new()
            given[parameter["name"]] = None
            refused = None
            try:
                answer = getattr(c, name)(**given)
            except Failure as failure:
                # A setter of options has no error of its own.
                facts = failure.facts or (_last_error(c, given["options"]) if "options" in given else None)
                assert parameter["name"] == "error" or facts is not None, name
                refused = facts.parameter.decode() if facts and facts.parameter else None
            where = f"{name}({parameter['name']}=NULL)"
            assert refused in (None, parameter["name"]), f"{where} refuses {refused}"
            assert (refused is None) == parameter["nullable"], f"{where}: refused is {refused}"
            if refused is None and declared["returns"] == "const char *" and not declared["nullable"]:
                assert answer is not None, where
    return calls


def _last_error(c: Binding, options: Handle | None) -> Handle | None:
    try:
        c.upload_options_last_error(options=options)
    except Failure as failure:
        return failure.facts
    return None


def main() -> None:
    library, abi, directory = sys.argv[1:]
    c = Binding(library, abi)
    store = c.upload_store_open(path=str(Path(directory, "store")).encode())
    round_trip(c, store)
    chunk = c.struct("upload_chunk", total_size=3, chunk_count=1, content=b"abc")
    uid = c.upload_handle_chunk(store=store, chunk=chunk).upload_uid
    good = {
        "path": str(Path(directory, "other")).encode(),
        "store": store,
        "options": None,
        "owner": b"owner",
        "prefix": b"prefix",
        "chunk": chunk,
        "uid": uid,
        "destination": str(Path(directory, "destination")).encode(),
        "upload_key": b"a key of 16 bytes",
        "expiry": c.struct("upload_expiry"),
        "finished": c.upload_get(store=store, uid=uid),
        "inspection": c.upload_inspect(store=store, uid=uid),
        "verification": c.upload_verify(store=store, uid=uid),
        "list": c.upload_list_open(store=store),
        "listed": c.upload_list_next(list=c.upload_list_open(store=store)),
        "error": None,
    }
    good |= {"bytes": 0, "chunks": 0, "uploads": 0, "all": 0, "durability": 0, "dir_mode": 0o700, "file_mode": 0o700}
    good |= {"overwrite": 1, "index": 0, "from_chunk": 0, "result": 0, "size": 5, "upload_key_size": 17}
    calls = null(c, good)
    assert calls > len(c.declared), calls
    print(f"{calls} calls")


main()
