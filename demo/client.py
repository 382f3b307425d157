"""Sends the chunks of one file."""

import os
import threading
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

CHUNK_SIZE = 4 << 20
MIN_CHUNKS = 16  # small files are cut too, or there would be nothing to shuffle
TIMEOUT = (10, 120)  # seconds to connect, and to wait for an answer


class UploadClient:
    """Safe to use from several threads, each of which keeps a connection, once the first chunk is sent."""

    def __init__(self, url: str, file: Path, size: int) -> None:
        self.url, self.file, self.size = url, file, size
        self.full_size = min(CHUNK_SIZE, -(-size // MIN_CHUNKS)) or 1
        self.chunk_count = -(-size // self.full_size) or 1  # an empty file is one empty chunk
        self.uid = ""
        self._own = threading.local()

    def chunk_size(self, number: int) -> int:
        return min(self.full_size, self.size - number * self.full_size)

    def send(self, number: int) -> int:
        """Sends one chunk; answers its size."""
        with self.file.open("rb") as opened:
            content = os.pread(opened.fileno(), self.chunk_size(number), number * self.full_size)
        if len(content) != self.chunk_size(number):
            raise RuntimeError(f"{self.file} became shorter while it was sent")
        query: dict[str, str | int] = {
            "file_name": os.fsencode(self.file.name).decode(errors="replace"),
            "total_size": self.size,
            "chunk_number": number,
            "chunk_count": self.chunk_count,
        }
        answer = self._call("PUT", "/chunks", params=query, data=content)
        self.uid = answer["upload_uid"]
        return len(content)

    def finish(self) -> dict[str, Any]:
        return self._call("POST", "/finish")

    def _call(self, method: str, page: str, **request: Any) -> dict[str, Any]:
        headers = {"Upload-Uid": self.uid}
        answer = self._session().request(method, self.url + page, headers=headers, timeout=TIMEOUT, **request)
        facts: dict[str, Any] = answer.json()
        if not answer.ok:
            raise RuntimeError(f"the server answers {answer.status_code} {facts.get('error')}")
        return facts

    def _session(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            session = requests.Session()
            session.trust_env = False  # no proxy between us and this machine
            # A chunk may be sent again without harm, so a connection that breaks costs nothing.
            retries = Retry(total=3, backoff_factor=0.1, allowed_methods=["PUT", "POST"])
            session.mount("http://", HTTPAdapter(max_retries=retries))
            self._own.session = session
        session_of_thread: requests.Session = self._own.session
        return session_of_thread
