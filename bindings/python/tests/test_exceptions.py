"""The tree of exceptions: the contract's numbers, names and classes."""

import copy
import errno
import pickle
from typing import Any

import pytest

import chunked_upload as cu

# class, code, name, HTTP status, builtin base
TABLE = [
    (cu.InvalidArgument, 1, "invalid_argument", 400, ValueError),
    (cu.LimitExceeded, 2, "limit_exceeded", 413, Exception),
    (cu.ChecksumMismatch, 3, "checksum_mismatch", 400, Exception),
    (cu.NotFound, 20, "not_found", 404, Exception),
    (cu.Incomplete, 21, "incomplete", 409, Exception),
    (cu.Conflict, 22, "conflict", 409, Exception),
    (cu.SizeMismatch, 23, "size_mismatch", 409, Exception),
    (cu.Gone, 24, "gone", 410, Exception),
    (cu.Io, 40, "io", 500, OSError),
    (cu.NoSpace, 41, "no_space", 507, OSError),
    (cu.Internal, 90, "internal", 500, Exception),
]

FACTS: list[tuple[cu.Error, dict[str, Any]]] = [
    (cu.InvalidArgument("m"), {}),
    (cu.LimitExceeded("m", "max_total_size", 7), {"limit": "max_total_size", "limit_value": 7}),
    (cu.ChecksumMismatch("m"), {}),
    (cu.NotFound("m"), {}),
    (cu.Incomplete("m", 3, 2**63), {"missing_count": 3, "first_missing": 2**63}),
    (cu.Conflict("m"), {}),
    (cu.SizeMismatch("m", 1, 2), {"received_size": 1, "declared_size": 2}),
    (cu.Gone("m"), {}),
    (cu.Io("m", errno.EROFS, "/p\udcff"), {"errno": errno.EROFS, "path": "/p\udcff", "filename": "/p\udcff"}),
    (cu.NoSpace("m", errno.ENOSPC, "/p"), {"errno": errno.ENOSPC, "path": "/p", "strerror": "No space left on device"}),
    (cu.Internal("m"), {}),
]


@pytest.mark.parametrize(
    ("kind", "code", "name", "http_status", "base"), TABLE, ids=lambda v: getattr(v, "__name__", v)
)
def test_each_class_has_its_number_name_and_bases(
    kind: type[cu.Error], code: int, name: str, http_status: int, base: type[Exception]
) -> None:
    assert (kind.code, kind.name, kind.http_status) == (code, name, http_status)
    assert issubclass(kind, cu.Error) and issubclass(kind, base)
    assert issubclass(kind, OSError) == (base is OSError)
    assert issubclass(kind, ValueError) == (base is ValueError)
    assert getattr(cu, kind.__name__) is kind


def test_the_table_has_them_all() -> None:
    listed = {row[0] for row in TABLE}
    exported = {thing for thing in vars(cu).values() if isinstance(thing, type) and issubclass(thing, BaseException)}
    assert exported - {cu.Error} == listed == {type(error) for error, _ in FACTS}
    assert cu.Error.__bases__ == (Exception,)


@pytest.mark.parametrize(("error", "facts"), FACTS, ids=lambda v: getattr(v, "name", ""))
def test_facts_are_attributes_and_survive_pickling_and_copying(error: cu.Error, facts: dict[str, Any]) -> None:
    error.add_note("while testing")
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for same in (error, copy.copy(error), copy.deepcopy(error), *copies):
        assert type(same) is type(error)
        assert (str(same), repr(same)) == ("m", f"{type(error).__name__}('m')")
        assert same.args == ("m",)
        assert {fact: getattr(same, fact) for fact in facts} == facts
        assert same.__notes__ == ["while testing"]


def test_errors_can_be_made_without_arguments() -> None:
    for kind, *_ in TABLE:
        assert str(kind()) == ""
        pickle.loads(pickle.dumps(kind()))
