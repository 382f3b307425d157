"""The other way to receive numbered chunks: each in a file of its own, all of them copied together at the end.

Written anew after the method of GWS's upload helper and of Resumable.js's sample servers, and kindly: nothing is
locked, no request waits for another. It runs behind the same server as `chunked-upload receive`, with the same
settings, and speaks the same protocol.
"""

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from chunked_upload.cli import web_server


class Concatenating:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        upload = self.directory / f"upload_{environ['HTTP_UPLOAD_KEY']}"
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        if environ["REQUEST_METHOD"] == "PUT":
            self.put(upload, query, environ)
            answer = {}
        else:
            answer = self.finish(upload)
        body = json.dumps(answer).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def put(self, upload: Path, query: dict[str, str], environ: dict[str, Any]) -> None:
        upload.mkdir(exist_ok=True)
        facts = {"total_size": int(query["total_size"]), "chunk_count": int(query["chunk_count"])}
        if not (upload / "facts.json").exists():
            write(upload / "facts.json", json.dumps(facts).encode())
        write(upload / str(int(query["chunk_number"])), environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))

    def finish(self, upload: Path) -> dict[str, str]:
        facts = json.loads((upload / "facts.json").read_bytes())
        chunks = [upload / str(number) for number in range(facts["chunk_count"])]
        with (upload / "out.tmp").open("wb") as out:
            for chunk in chunks:
                with chunk.open("rb") as piece:
                    shutil.copyfileobj(piece, out, 1 << 20)
        if (upload / "out.tmp").stat().st_size != facts["total_size"]:
            raise ValueError("the sizes do not add up")
        (upload / "out.tmp").rename(upload / "out")
        for chunk in chunks:
            chunk.unlink()
        return {"name": f"{upload.name}/out"}


def write(path: Path, content: bytes) -> None:
    """Under another name first, so that a broken one is not taken for a chunk."""
    unfinished = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    with unfinished.open("wb", buffering=0) as file:
        file.write(content)
    unfinished.rename(path)


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    web_server.create(Concatenating(Path(sys.argv[1])), listening).run()
