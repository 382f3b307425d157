"""Our engine in a plain WSGI application, for gunicorn. It speaks what `chunked-upload receive` speaks."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import chunked_upload as cu

MAX_CHUNK = 64 << 20
store = cu.Store(os.environ["BENCH_DIRECTORY"])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    try:
        status, answer = "200 OK", respond(environ, environ.get("HTTP_UPLOAD_KEY", ""))
    except cu.Error as error:
        status, answer = f"{error.http_status} {error.name}", {"error": error.name}
    except (KeyError, ValueError):
        status, answer = "400 Bad Request", {"error": "malformed"}
    body = json.dumps(answer).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def respond(environ: dict[str, Any], key: str) -> dict[str, Any]:
    if environ["REQUEST_METHOD"] == "POST":
        return {"name": os.path.relpath(store.get(store.uid_for_key(key)).path, store.root)}
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    length = int(environ["CONTENT_LENGTH"])
    content = environ["wsgi.input"].read(min(length, MAX_CHUNK))
    if len(content) != length:
        raise ValueError
    receipt = store.handle_chunk(
        content,
        upload_key=key,
        file_name=query["file_name"],
        total_size=int(query["total_size"]),
        chunk_number=int(query["chunk_number"]),
        chunk_count=int(query["chunk_count"]),
    )
    return {"received_all": receipt.received_all}
