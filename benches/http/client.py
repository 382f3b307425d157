"""Sends files to one server and prints how long that took: the same little client for every server.

It takes next to no CPU time, so that what it takes does not hide what the servers take: bodies go from the page cache
into the socket with sendfile. A process of its own; `compare.py` starts it.
"""

import argparse
import base64
import http.client
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

TUS = {"Tus-Resumable": "1.0.0"}


class Refused(Exception):
    """A server answered something else than it should."""


class Connection:
    """Keeps its connection open, as clients do. Belongs to one thread."""

    def __init__(self, url: str, payload: int) -> None:
        parts = urlsplit(url)
        # No timeout: with one, Python makes the socket non-blocking, and sendfile would have to poll.
        self.http = http.client.HTTPConnection(parts.hostname or "", parts.port)
        self.payload = payload

    def call(
        self, method: str, path: str, headers: dict[str, str], body: range = range(0)
    ) -> tuple[http.client.HTTPMessage, bytes]:
        """The body is a range of the payload."""
        self.http.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.http.putheader(name, value)
        self.http.endheaders()
        if body:
            self._send(body)
        answer = self.http.getresponse()
        content = answer.read()
        if answer.status not in (200, 201, 204):
            raise Refused(f"{method} {path}: {answer.status} {content[:200]!r}")
        return answer.headers, content

    def _send(self, body: range) -> None:
        position = body.start
        while position < body.stop:
            position += os.sendfile(self.http.sock.fileno(), self.payload, position, body.stop - position)


def ranges(size: int, chunk_size: int) -> Iterator[range]:
    return (range(start, min(start + chunk_size, size)) for start in range(0, size, chunk_size))


def send_chunks(url: str, payload: int, size: int, chunk_size: int, connections: int) -> str:
    """Numbered chunks, as `chunked-upload receive` takes them; answers the finished file's name on the server."""
    headers = {"Upload-Key": secrets.token_hex(32)}
    chunks = list(ranges(size, chunk_size))
    own = threading.local()

    def send(number: int) -> None:
        if not hasattr(own, "connection"):
            own.connection = Connection(url, payload)
        query = f"file_name=bench.bin&total_size={size}&chunk_number={number}&chunk_count={len(chunks)}"
        own.connection.call("PUT", f"/chunk?{query}", headers, chunks[number])

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(send, range(len(chunks))))
    name: str = json.loads(Connection(url, payload).call("POST", "/upload", headers)[1])["name"]
    return name


def send_tus(url: str, payload: int, size: int, chunk_size: int) -> str:
    """tus 1.0: the creation, then one PATCH after the other, because a tus upload only grows at its end."""
    connection = Connection(url, payload)
    facts = {"filename": b"bench.bin", "filetype": b"application/octet-stream"}
    metadata = ",".join(f"{name} {base64.b64encode(value).decode()}" for name, value in facts.items())
    created, _ = connection.call(
        "POST", urlsplit(url).path, {**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata}
    )
    path = urlsplit(created["Location"]).path
    for piece in ranges(size, chunk_size):
        headers = {**TUS, "Upload-Offset": str(piece.start), "Content-Type": "application/offset+octet-stream"}
        answered, _ = connection.call("PATCH", path, headers, piece)
        if answered["Upload-Offset"] != str(piece.stop):
            raise Refused(f"{len(piece)} bytes at {piece.start} led to {answered['Upload-Offset']}")
    return path.rsplit("/", 1)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("protocol", choices=["chunks", "tus"])
    parser.add_argument("url")
    parser.add_argument("payload", help="the file whose beginning is sent")
    parser.add_argument("--size", type=int, required=True, help="bytes of each upload")
    parser.add_argument("--files", type=int, default=1, help="uploads at once")
    parser.add_argument("--chunk-size", type=int, default=8 << 20, help="bytes in a request")
    parser.add_argument("--connections", type=int, default=1, help="for one upload")
    options = parser.parse_args()
    payload = os.open(options.payload, os.O_RDONLY)

    def upload(_: int) -> str:
        if options.protocol == "tus":
            return send_tus(options.url, payload, options.size, options.chunk_size)
        return send_chunks(options.url, payload, options.size, options.chunk_size, options.connections)

    before = os.times()
    started = time.monotonic()
    with ThreadPoolExecutor(options.files) as pool:
        names = list(pool.map(upload, range(options.files)))
    seconds = time.monotonic() - started
    after = os.times()
    cpu = after.user + after.system - before.user - before.system
    print(json.dumps({"seconds": seconds, "client_cpu": cpu, "names": names}))


if __name__ == "__main__":
    main()
