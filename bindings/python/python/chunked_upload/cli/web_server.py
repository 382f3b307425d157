"""waitress, set up for bodies of megabytes: read in large pieces, kept in memory, put together once."""

import socket
from io import BytesIO
from typing import Any

from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server

from chunked_upload.cli.protocol import MAX_CHUNK

PIECE = 256 << 10


class Body(OverflowableBuffer):
    """The buffer that waitress has grows by copying, and is copied again when it is read."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.file = BytesIO()

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def append(self, s: bytes) -> None:
        self.pieces.append(s)

    def getfile(self) -> BytesIO:
        # Shares the bytes, and so does a read of all of them.
        self.file = BytesIO(b"".join(self.pieces))
        self.pieces.clear()
        return self.file

    def close(self) -> None:
        self.pieces.clear()
        # Whoever still has the file, as environ in a cycle with werkzeug's request, no longer has the bytes.
        self.file.close()


class Parser(HTTPRequestParser):
    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.body_rcv is not None:
            self.body_rcv.buf = Body()


class Channel(HTTPChannel):
    parser_class = Parser


def create(application: Any, listening: socket.socket) -> BaseWSGIServer:
    options: dict[str, Any] = {
        "threads": 8,
        "ident": None,
        "recv_bytes": PIECE,
        # waitress refuses a body of this very size.
        "max_request_body_size": MAX_CHUNK + 1,
    }
    server = create_server(application, sockets=[listening], **options)
    assert isinstance(server, BaseWSGIServer), "one socket, one server"
    server.channel_class = Channel
    return server
