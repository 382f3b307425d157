"""The keys of what ``send`` sends.

A client that knows the key of an upload can read and change it. So a key depends on a secret of the user, in a file
that only the user can read. Other users cannot compute the key from what they can see of the sent file.
"""

import contextlib
import hmac
import os
import secrets
import socket
import stat
from pathlib import Path

SECRET_SIZE = 32


def key_of(secret: bytes, url: str, file: Path, status: os.stat_result) -> str:
    """The key of a file. A second run gets the same key and continues the upload; a changed file gets another."""
    identity = [url, socket.gethostname(), os.getuid(), file.resolve(), status.st_size, status.st_mtime_ns]
    return hmac.digest(secret, "\0".join(map(str, identity)).encode(errors="surrogateescape"), "sha256").hex()


def user_secret() -> bytes | None:
    """The user's secret, which the first call makes. None if it cannot be kept, or if others could know it."""
    try:
        # By the XDG rules a relative path is ignored.
        home = os.environ.get("XDG_STATE_HOME", "")
        directory = (Path(home) if os.path.isabs(home) else Path("~/.local/state").expanduser()) / "chunked-upload"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / "send.secret"
        if not path.exists():
            _make(path)
        return _read(path)
    except (OSError, RuntimeError):  # no home directory is a RuntimeError
        return None


def _make(path: Path) -> None:
    """Makes the secret, unless it is there. It appears whole: of two runs at once, one makes it, and both read it."""
    new = path.with_name(f".{secrets.token_hex(8)}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_SIZE))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()


def _read(path: Path) -> bytes | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        private = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
        secret = file.read(SECRET_SIZE + 1) if private else b""
    return secret if len(secret) == SECRET_SIZE else None
