"""The C library through ctypes: the structures and functions of include/chunked_upload.h, and a small class over them.

Free to copy: it needs nothing but the library. ctypes releases the GIL around each call.
"""

import ctypes
from ctypes import POINTER, byref, c_char, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

UPLOAD_OK = 0
UPLOAD_UID_SIZE = 64


class Chunk(ctypes.Structure):
    """upload_chunk"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("upload_uid", c_char_p),
        ("file_name", c_char_p),
        ("total_size", c_uint64),
        ("chunk_number", c_uint64),
        ("chunk_count", c_uint64),
        ("content", c_void_p),
        ("content_size", c_size_t),
        ("upload_key", c_void_p),
        ("upload_key_size", c_size_t),
        ("checksum", c_char_p),
        ("file_digest", c_char_p),
    ]


class Receipt(ctypes.Structure):
    """upload_receipt"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("upload_uid", c_char * UPLOAD_UID_SIZE),
        ("received_all", c_int32),
    ]


class Expiry(ctypes.Structure):
    """upload_expiry"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("unfinished_age", c_uint64),
        ("finished_age", c_uint64),
        ("gone_age", c_uint64),
        ("max_removals", c_uint64),
        ("dry_run", c_int32),
    ]


class Cleaned(ctypes.Structure):
    """upload_cleaned"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("unfinished", c_uint64),
        ("finished", c_uint64),
        ("gone", c_uint64),
        ("leftovers", c_uint64),
        ("failed", c_uint64),
        ("more", c_int32),
    ]


# Opaque handles. Every function's last parameter, upload_error **, gets an owned error or NULL.
_HANDLE, _OUT = c_void_p, POINTER(c_void_p)

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "upload_options_new": (_HANDLE, []),
    "upload_options_free": (None, [_HANDLE]),
    "upload_options_set_max_total_size": (c_int32, [_HANDLE, c_uint64]),
    "upload_options_set_max_chunk_count": (c_int32, [_HANDLE, c_uint64]),
    "upload_options_set_min_free_space": (c_int32, [_HANDLE, c_uint64]),
    "upload_options_set_durability": (c_int32, [_HANDLE, c_int32]),
    "upload_options_set_prefix": (c_int32, [_HANDLE, c_char_p]),
    "upload_options_set_dir_mode": (c_int32, [_HANDLE, c_uint32]),
    "upload_options_set_file_mode": (c_int32, [_HANDLE, c_uint32]),
    "upload_store_open": (c_int32, [c_char_p, _HANDLE, _OUT, _OUT]),
    "upload_options_set_max_store_size": (c_int32, [_HANDLE, c_uint64]),
    "upload_options_set_max_uploads": (c_int32, [_HANDLE, c_uint64]),
    "upload_options_set_all_owners": (c_int32, [_HANDLE, c_int32]),
    "upload_store_for_owner": (c_int32, [_HANDLE, c_char_p, c_size_t, _OUT, _OUT]),
    "upload_store_free": (None, [_HANDLE]),
    "upload_uid_for_key": (c_int32, [_HANDLE, c_char_p, c_size_t, c_char_p, _OUT]),
    "upload_inspect": (c_int32, [_HANDLE, c_char_p, c_uint64, _OUT, _OUT]),
    "upload_inspection_file_name": (c_char_p, [_HANDLE]),
    "upload_inspection_total_size": (c_uint64, [_HANDLE]),
    "upload_inspection_chunk_count": (c_uint64, [_HANDLE]),
    "upload_inspection_received_size": (c_uint64, [_HANDLE]),
    "upload_inspection_received_count": (c_uint64, [_HANDLE]),
    "upload_inspection_phase": (c_int32, [_HANDLE]),
    "upload_inspection_missing_ranges": (c_size_t, [_HANDLE]),
    "upload_inspection_range_first": (c_uint64, [_HANDLE, c_size_t]),
    "upload_inspection_range_count": (c_uint64, [_HANDLE, c_size_t]),
    "upload_inspection_next_chunk": (c_uint64, [_HANDLE]),
    "upload_inspection_free": (None, [_HANDLE]),
    "upload_verify": (c_int32, [_HANDLE, c_char_p, _OUT, _OUT]),
    "upload_verification_phase": (c_int32, [_HANDLE]),
    "upload_verification_checked_count": (c_uint64, [_HANDLE]),
    "upload_verification_damaged_count": (c_uint64, [_HANDLE]),
    "upload_verification_damaged_ranges": (c_size_t, [_HANDLE]),
    "upload_verification_range_first": (c_uint64, [_HANDLE, c_size_t]),
    "upload_verification_range_count": (c_uint64, [_HANDLE, c_size_t]),
    "upload_verification_free": (None, [_HANDLE]),
    "upload_move_to": (c_int32, [_HANDLE, c_char_p, c_char_p, c_int32, _OUT, _OUT]),
    "upload_remove": (c_int32, [_HANDLE, c_char_p, _OUT]),
    "upload_cleanup": (c_int32, [_HANDLE, POINTER(Expiry), POINTER(Cleaned), _OUT]),
    "upload_list_open": (c_int32, [_HANDLE, _OUT, _OUT]),
    "upload_list_next": (c_int32, [_HANDLE, _OUT, _OUT]),
    "upload_list_free": (None, [_HANDLE]),
    "upload_listed_free": (None, [_HANDLE]),
    "upload_handle_chunk": (c_int32, [_HANDLE, POINTER(Chunk), POINTER(Receipt), _OUT]),
    "upload_get": (c_int32, [_HANDLE, c_char_p, _OUT, _OUT]),
    "upload_finished_uid": (c_char_p, [_HANDLE]),
    "upload_finished_path": (c_char_p, [_HANDLE]),
    "upload_finished_file_name": (c_char_p, [_HANDLE]),
    "upload_finished_total_size": (c_uint64, [_HANDLE]),
    "upload_finished_crc32c": (c_uint32, [_HANDLE]),
    "upload_finished_free": (None, [_HANDLE]),
    "upload_error_code": (c_int32, [_HANDLE]),
    "upload_error_message": (c_char_p, [_HANDLE]),
    "upload_error_os_errno": (c_int32, [_HANDLE]),
    "upload_error_path": (c_char_p, [_HANDLE]),
    "upload_error_missing_count": (c_uint64, [_HANDLE]),
    "upload_error_first_missing": (c_uint64, [_HANDLE]),
    "upload_error_limit": (c_char_p, [_HANDLE]),
    "upload_error_limit_value": (c_uint64, [_HANDLE]),
    "upload_error_received_size": (c_uint64, [_HANDLE]),
    "upload_error_declared_size": (c_uint64, [_HANDLE]),
    "upload_error_free": (None, [_HANDLE]),
    "upload_result_name": (c_char_p, [c_int32]),
    "upload_version": (c_char_p, []),
}

_PHASES = {1: "receiving", 2: "complete", 3: "gone"}

_DURABILITY = {"process": 0, "complete": 1, "chunk": 2}

_ERROR_NUMBERS = ("missing_count", "first_missing", "limit_value", "received_size", "declared_size")


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


class Library:
    """libchunked_upload.so. A binding as transcripts.py wants it: calls answer with dictionaries of facts."""

    def __init__(self, path: str) -> None:
        self.functions = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self.functions, name)
            function.restype, function.argtypes = result, arguments
        self.store = c_void_p()

    def open(self, directory: str, options: dict[str, Any]) -> None:
        self.close()
        lib, error = self.functions, c_void_p()
        handle = lib.upload_options_new()
        try:
            for name, value in options.items():
                value = _DURABILITY[value] if name == "durability" else value
                value = value.encode() if isinstance(value, str) else value
                result = getattr(lib, f"upload_options_set_{name}")(handle, value)
                assert result == UPLOAD_OK, f"option {name}: {self.result_name(result)}"
            result = lib.upload_store_open(directory.encode(), handle, byref(self.store), byref(error))
        finally:
            lib.upload_options_free(handle)  # the store has its own copy
        assert result == UPLOAD_OK, self._failure(result, error)

    def close(self) -> None:
        self.functions.upload_store_free(self.store)
        self.store = c_void_p()

    def handle_chunk(self, request: dict[str, Any]) -> dict[str, Any]:
        content, file_name, key = request["content"], request["file_name"], _encoded(request["upload_key"])
        # `content` and the strings stay alive until the call is over: this frame holds them.
        chunk = Chunk(
            struct_size=ctypes.sizeof(Chunk),
            upload_uid=request["upload_uid"].encode(),
            file_name=None if file_name is None else file_name.encode(),
            total_size=request["total_size"],
            chunk_number=request["chunk_number"],
            chunk_count=request["chunk_count"],
            content=ctypes.cast(c_char_p(content), c_void_p),
            content_size=len(content),
            upload_key=None if key is None else ctypes.cast(c_char_p(key), c_void_p),
            upload_key_size=len(key or b""),
            checksum=_encoded(request["checksum"]),
            file_digest=_encoded(request["file_digest"]),
        )
        receipt = Receipt(struct_size=ctypes.sizeof(Receipt))
        error = c_void_p()
        result = self.functions.upload_handle_chunk(self.store, byref(chunk), byref(receipt), byref(error))
        if result != UPLOAD_OK:
            return self._failure(result, error)
        return {
            "result": self.result_name(result),
            "upload_uid": receipt.upload_uid.decode(),
            "received_all": bool(receipt.received_all),
        }

    def get(self, uid: str) -> dict[str, Any]:
        finished, error = c_void_p(), c_void_p()
        result = self.functions.upload_get(self.store, uid.encode(), byref(finished), byref(error))
        return self._finished(result, finished, error)

    def move_to(self, uid: str, path: str, overwrite: bool) -> dict[str, Any]:
        finished, error = c_void_p(), c_void_p()
        result = self.functions.upload_move_to(
            self.store, uid.encode(), path.encode(), int(overwrite), byref(finished), byref(error)
        )
        return self._finished(result, finished, error)

    def for_owner(self, owner: bytes) -> "Library":
        view = Library.__new__(Library)
        view.functions, view.store, error = self.functions, c_void_p(), c_void_p()
        result = self.functions.upload_store_for_owner(self.store, owner, len(owner), byref(view.store), byref(error))
        assert result == UPLOAD_OK, self._failure(result, error)
        return view

    def uid_for_key(self, key: str) -> dict[str, Any]:
        uid, encoded, error = ctypes.create_string_buffer(UPLOAD_UID_SIZE), key.encode(), c_void_p()
        result = self.functions.upload_uid_for_key(self.store, encoded, len(encoded), uid, byref(error))
        if result != UPLOAD_OK:
            return self._failure(result, error)
        return {"result": self.result_name(result), "upload_uid": uid.value.decode()}

    def inspect(self, uid: str, from_chunk: int) -> dict[str, Any]:
        lib, seen, error = self.functions, c_void_p(), c_void_p()
        result = lib.upload_inspect(self.store, uid.encode(), from_chunk, byref(seen), byref(error))
        if result != UPLOAD_OK:
            return self._failure(result, error)
        names = ("total_size", "chunk_count", "received_size", "received_count", "next_chunk")
        facts = {name: getattr(lib, f"upload_inspection_{name}")(seen) for name in names}
        facts["result"] = self.result_name(result)
        facts["file_name"] = lib.upload_inspection_file_name(seen).decode()
        facts["phase"] = _PHASES[lib.upload_inspection_phase(seen)]
        facts["missing"] = self._ranges("inspection", seen, lib.upload_inspection_missing_ranges(seen))
        lib.upload_inspection_free(seen)
        return facts

    def verify(self, uid: str) -> dict[str, Any]:
        lib, found, error = self.functions, c_void_p(), c_void_p()
        result = lib.upload_verify(self.store, uid.encode(), byref(found), byref(error))
        if result != UPLOAD_OK:
            return self._failure(result, error)
        facts = {
            "result": self.result_name(result),
            "phase": _PHASES[lib.upload_verification_phase(found)],
            "checked_count": lib.upload_verification_checked_count(found),
            "damaged_count": lib.upload_verification_damaged_count(found),
            "damaged": self._ranges("verification", found, lib.upload_verification_damaged_ranges(found)),
        }
        lib.upload_verification_free(found)
        return facts

    def _ranges(self, kind: str, handle: c_void_p, count: int) -> list[list[int]]:
        first, size = (getattr(self.functions, f"upload_{kind}_range_{fact}") for fact in ("first", "count"))
        return [[first(handle, index), size(handle, index)] for index in range(count)]

    def remove(self, uid: str) -> dict[str, Any]:
        error = c_void_p()
        result = self.functions.upload_remove(self.store, uid.encode(), byref(error))
        return {"result": self.result_name(result)} if result == UPLOAD_OK else self._failure(result, error)

    def cleanup(self, dry_run: bool) -> dict[str, Any]:
        error, cleaned = c_void_p(), Cleaned(struct_size=ctypes.sizeof(Cleaned))
        any_age = 2**64 - 2  # UPLOAD_ANY_AGE
        ages = dict.fromkeys(("unfinished_age", "finished_age", "gone_age"), any_age)
        expiry = Expiry(struct_size=ctypes.sizeof(Expiry), dry_run=dry_run, **ages)
        result = self.functions.upload_cleanup(self.store, byref(expiry), byref(cleaned), byref(error))
        if result != UPLOAD_OK:
            return self._failure(result, error)
        names = ("unfinished", "finished", "gone", "leftovers")
        return {"result": self.result_name(result), **{name: getattr(cleaned, name) for name in names}}

    def list(self) -> int:
        lib, uploads, listed, error = self.functions, c_void_p(), c_void_p(), c_void_p()
        result, count = lib.upload_list_open(self.store, byref(uploads), byref(error)), 0
        while result == UPLOAD_OK:
            result = lib.upload_list_next(uploads, byref(listed), byref(error))
            if not listed:
                break
            lib.upload_listed_free(listed)
            count += 1
        assert result == UPLOAD_OK, self._failure(result, error)
        lib.upload_list_free(uploads)
        return count

    def _finished(self, result: int, finished: c_void_p, error: c_void_p) -> dict[str, Any]:
        lib = self.functions
        if result != UPLOAD_OK:
            assert not finished, "a failed call answers no upload"
            return self._failure(result, error)
        try:
            # ctypes copies what a c_char_p points to, so these outlive the handle.
            return {
                "result": self.result_name(result),
                "uid": lib.upload_finished_uid(finished).decode(),
                "path": lib.upload_finished_path(finished).decode(),
                "file_name": lib.upload_finished_file_name(finished).decode(),
                "total_size": lib.upload_finished_total_size(finished),
                "crc32c": lib.upload_finished_crc32c(finished),
            }
        finally:
            lib.upload_finished_free(finished)

    def result_name(self, result: int) -> str:
        return str(self.functions.upload_result_name(result).decode())

    def _failure(self, result: int, error: c_void_p) -> dict[str, Any]:
        lib = self.functions
        try:
            assert lib.upload_error_code(error) == result
            facts = {name: getattr(lib, f"upload_error_{name}")(error) for name in _ERROR_NUMBERS}
            limit = lib.upload_error_limit(error)
            return {
                **facts,
                "result": self.result_name(result),
                "message": lib.upload_error_message(error).decode(),
                "limit": None if limit is None else limit.decode(),
            }
        finally:
            lib.upload_error_free(error)
