"""Every way a call can fail.

Each class has the number, the name and the HTTP status that the failure has in every language this library is used
from. ``str(e)`` is for logs: it holds figures and eight digits of the uid. Clients get ``e.name``.
"""

import os
from typing import Any, ClassVar


class Error(Exception):
    """The base of all. Catch it to answer with ``e.http_status`` and ``e.name``.

    Attributes:
        code: The stable number.
        name: The stable name, fit for clients.
        http_status: The HTTP status a server would answer with.
    """

    code: ClassVar[int] = 90
    name: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    _facts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    # Io is an OSError too, whose own ways of doing these three show the whole path, or lose what is no argument.
    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), *(getattr(self, fact) for fact in self._facts)), self.__dict__ or None


class InvalidArgument(Error, ValueError):
    """The request contradicts itself or is malformed. Nothing was stored."""

    code, name, http_status = 1, "invalid_argument", 400


class LimitExceeded(Error):
    """A limit stands in the way. Nothing was stored.

    Attributes:
        limit: An option's name, or ``data_size``: twice the declared size.
        limit_value: Its value.
    """

    code, name, http_status = 2, "limit_exceeded", 413
    _facts = ("limit", "limit_value")

    limit: str
    limit_value: int

    def __init__(self, message: str = "", limit: str = "", limit_value: int = 0) -> None:
        super().__init__(message)
        self.limit = limit
        self.limit_value = limit_value


class ChecksumMismatch(Error):
    """The chunk does not have the checksum that came with it: nothing was stored. Or, from get and move_to, the file
    does not have the one that its first chunk declared: the upload stays open, and chunks sent again repair it."""

    code, name, http_status = 3, "checksum_mismatch", 400


class NotFound(Error):
    """No such upload: unknown, malformed and foreign uids alike."""

    code, name, http_status = 20, "not_found", 404


class Incomplete(Error):
    """Chunks are missing.

    Attributes:
        missing_count: How many.
        first_missing: The lowest number among them.
    """

    code, name, http_status = 21, "incomplete", 409
    _facts = ("missing_count", "first_missing")

    missing_count: int
    first_missing: int

    def __init__(self, message: str = "", missing_count: int = 0, first_missing: int = 0) -> None:
        super().__init__(message)
        self.missing_count = missing_count
        self.first_missing = first_missing


class Conflict(Error):
    """The chunk contradicts what the upload already is. Nothing was stored."""

    code, name, http_status = 22, "conflict", 409


class SizeMismatch(Error):
    """All chunks are there, but together they are not as long as declared. Sending wrong ones again repairs it.

    Attributes:
        received_size: The sum of the chunks' sizes.
        declared_size: The declared ``total_size``.
    """

    code, name, http_status = 23, "size_mismatch", 409
    _facts = ("received_size", "declared_size")

    received_size: int
    declared_size: int

    def __init__(self, message: str = "", received_size: int = 0, declared_size: int = 0) -> None:
        super().__init__(message)
        self.received_size = received_size
        self.declared_size = declared_size


class Gone(Error):
    """The finished file was taken away by its owner. For ever: a late chunk never rebuilds it."""

    code, name, http_status = 24, "gone", 410


class _Storage(Error, OSError):
    _facts = ("errno", "filename")

    def __init__(self, message: str = "", errno: int | None = None, path: str | None = None) -> None:
        super().__init__(message)
        self.errno = errno
        self.strerror = None if errno is None else os.strerror(errno)
        self.filename = path

    @property
    def path(self) -> str | None:
        """Where: ``filename``. Holds the whole uid, so keep it out of logs."""
        path: str | None = self.filename
        return path


class Io(_Storage):
    """The operating system refused. An ``OSError``: ``errno``, ``strerror`` and ``filename`` are set."""

    code, name, http_status = 40, "io", 500


class NoSpace(_Storage):
    """The disk, a quota or the reserve of free space is exhausted. The upload can be resumed. An ``OSError``."""

    code, name, http_status = 41, "no_space", 507


class Internal(Error):
    """A defect of this library, caught at the boundary."""

    code, name, http_status = 90, "internal", 500
