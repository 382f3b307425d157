"""The C library through a binding that is made from abi.json, as transcripts.py wants it."""

from functools import partial
from pathlib import Path
from typing import Any

from from_abi import Binding, Failure, Handle

ABI = Path(__file__).resolve().parents[2] / "bindings" / "c" / "abi" / "abi.json"

_ERROR_NUMBERS = ("missing_count", "first_missing", "limit_value", "received_size", "declared_size")


def _encoded(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


class Library:
    """libchunked_upload.so. Calls answer with dictionaries of facts."""

    def __init__(self, path: str, abi: Path = ABI) -> None:
        self.c = Binding(path, abi)
        self.store: Handle | None = None
        phases = ("receiving", "complete", "gone")
        self.phases = {self.c.constants[f"UPLOAD_PHASE_{name.upper()}"]: name for name in phases}

    def open(self, directory: str, options: dict[str, Any]) -> None:
        made = self.c.upload_options_new()
        for name, value in options.items():
            value = self.c.constants[f"UPLOAD_DURABILITY_{value.upper()}"] if name == "durability" else _encoded(value)
            self.c.function(f"upload_options_set_{name}")(made.address, value)
            self.c.upload_options_last_error(options=made)
        self.store = self.c.upload_store_open(path=directory.encode(), options=made)

    def handle_chunk(self, request: dict[str, Any]) -> dict[str, Any]:
        chunk = self.c.struct("upload_chunk", **{name: _encoded(value) for name, value in request.items()})
        return self._answer(
            lambda: self.c.upload_handle_chunk(store=self.store, chunk=chunk),
            lambda receipt: {"upload_uid": receipt.upload_uid.decode(), "received_all": bool(receipt.received_all)},
        )

    def get(self, uid: str) -> dict[str, Any]:
        return self._answer(partial(self.c.upload_get, store=self.store, uid=uid.encode()), self._finished)

    def move_to(self, uid: str, path: str, overwrite: bool) -> dict[str, Any]:
        move = partial(self.c.upload_move_to, store=self.store, uid=uid.encode(), destination=path.encode())
        return self._answer(partial(move, overwrite=overwrite), self._finished)

    def for_owner(self, owner: bytes) -> "Library":
        view = Library.__new__(Library)
        view.c, view.phases = self.c, self.phases
        view.store = self.c.upload_store_for_owner(store=self.store, owner=owner)
        return view

    def uid_for_key(self, key: str) -> dict[str, Any]:
        call = partial(self.c.upload_uid_for_key, store=self.store, upload_key=key.encode())
        return self._answer(call, lambda uid: {"upload_uid": uid.decode()})

    def inspect(self, uid: str, from_chunk: int) -> dict[str, Any]:
        names = ("total_size", "chunk_count", "received_size", "received_count", "next_chunk")
        return self._answer(
            partial(self.c.upload_inspect, store=self.store, uid=uid.encode(), from_chunk=from_chunk),
            lambda seen: {
                **{name: getattr(seen, name) for name in names},
                "file_name": seen.file_name.decode(),
                "phase": self.phases[seen.phase],
                "missing": _ranges(seen, seen.missing_ranges),
            },
        )

    def verify(self, uid: str) -> dict[str, Any]:
        return self._answer(
            partial(self.c.upload_verify, store=self.store, uid=uid.encode()),
            lambda found: {
                "phase": self.phases[found.phase],
                "checked_count": found.checked_count,
                "damaged_count": found.damaged_count,
                "damaged": _ranges(found, found.damaged_ranges),
            },
        )

    def remove(self, uid: str) -> dict[str, Any]:
        return self._answer(partial(self.c.upload_remove, store=self.store, uid=uid.encode()), lambda _: {})

    def cleanup(self, dry_run: bool) -> dict[str, Any]:
        ages = dict.fromkeys(("unfinished_age", "finished_age", "gone_age"), self.c.constants["UPLOAD_ANY_AGE"])
        expiry = self.c.struct("upload_expiry", dry_run=dry_run, **ages)
        names = ("unfinished", "finished", "gone", "leftovers")
        return self._answer(
            partial(self.c.upload_cleanup, store=self.store, expiry=expiry),
            lambda cleaned: {name: getattr(cleaned, name) for name in names},
        )

    def list(self) -> int:
        uploads = self.c.upload_list_open(store=self.store)
        return sum(1 for _ in iter(lambda: self.c.upload_list_next(list=uploads), None))

    def _finished(self, finished: Handle) -> dict[str, Any]:
        texts = {name: getattr(finished, name).decode() for name in ("uid", "path", "file_name")}
        return texts | {"total_size": finished.total_size, "crc32c": finished.crc32c}

    def _answer(self, call: Any, facts: Any) -> dict[str, Any]:
        try:
            return {"result": "ok", **facts(call())}
        except Failure as failure:
            error = failure.facts
            assert error is not None and error.code == failure.result
            return {
                **{name: getattr(error, name) for name in _ERROR_NUMBERS},
                "result": self.c.upload_result_name(result=failure.result).decode(),
                "message": error.message.decode(),
                "limit": error.limit and error.limit.decode(),
            }


def _ranges(of: Handle, count: int) -> list[list[int]]:
    return [[of.range_first(index), of.range_count(index)] for index in range(count)]
