"""The errors that calls raise.

Each class has a number, a name and an HTTP status, which are the same in every language of this library. str(e) is for
logs: it holds figures and eight digits of the uid. Send e.name to clients.
"""

import os
from typing import Any, ClassVar


class Error(Exception):
    """The base class of all errors. Catch it to answer with e.http_status and e.name.

    Attributes:
        code: The number, which never changes.
        name: The name, which never changes and may be sent to clients.
        http_status: The HTTP status for a server's answer.
    """

    code: ClassVar[int] = 90
    name: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    _facts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    # Io is an OSError, too. OSError's __str__ and __repr__ show the whole path; its __reduce__ loses other attributes.
    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), *(getattr(self, fact) for fact in self._facts)), self.__dict__ or None


class InvalidArgument(Error, ValueError):
    """A value is malformed, or values contradict each other. Nothing was stored."""

    code, name, http_status = 1, "invalid_argument", 400


class LimitExceeded(Error):
    """A limit was exceeded. Nothing was stored.

    Attributes:
        limit: The name of an option of Store, or "data_size".
        limit_value: The value of the limit. That of "data_size" is twice the declared size.
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
    """The content of a chunk, or of the file, does not have its checksum.

    handle_chunk raises it for a chunk: nothing was stored. get and move_to raise it for a file without the file_digest
    that its first chunk declared: the upload stays open, and chunks that are sent again can repair it.
    """

    code, name, http_status = 3, "checksum_mismatch", 400


class NotFound(Error):
    """There is no such upload: the uid is unknown, malformed, or of an upload of another owner."""

    code, name, http_status = 20, "not_found", 404


class Incomplete(Error):
    """Chunks are missing.

    Attributes:
        missing_count: How many chunks are missing.
        first_missing: The lowest number of a missing chunk.
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
    """A chunk contradicts its upload: other declared values, or new bytes for a finished file. Nothing was stored."""

    code, name, http_status = 22, "conflict", 409


class SizeMismatch(Error):
    """All chunks are there, but their sizes do not add up to total_size. Sending the wrong ones again repairs it.

    Attributes:
        received_size: The sum of the chunks' sizes.
        declared_size: The declared total_size.
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
    """The finished file was taken away. This is final: a late chunk does not begin the upload again."""

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
        """The file or directory, the same as filename. It holds the whole uid: keep it out of logs."""
        path: str | None = self.filename
        return path


class Io(_Storage):
    """The operating system refused. Also an OSError: errno, strerror and filename are set."""

    code, name, http_status = 40, "io", 500


class NoSpace(_Storage):
    """The disk, a quota or the reserve of free space is exhausted. The upload can be resumed. Also an OSError."""

    code, name, http_status = 41, "no_space", 507


class Internal(Error):
    """A defect of this library."""

    code, name, http_status = 90, "internal", 500
