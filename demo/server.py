"""A web server that receives chunks: a plain WSGI application, as one would run it under any server.

    DEMO_STORE=/var/spool/uploads gunicorn --workers 3 server:application

PUT /chunks?file_name=…&total_size=…&chunk_number=…&chunk_count=…    the body is the chunk
    answers {"upload_uid": …, "received_all": …}
POST /finish
    answers {"path": …, "file_name": …, "total_size": …, "crc32c": …, "seconds": …}

Both take the uid in the header Upload-Uid: it is a secret, and access logs show URLs.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import chunked_upload as cu

MAX_CHUNK = 64 << 20

# Made in every worker, or once before they fork: a store is a path and options.
store = cu.Store(os.environ["DEMO_STORE"], max_total_size=100 << 30)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, answer = respond(environ)
    body = json.dumps(answer).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [body]


def respond(environ: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    uid = environ.get("HTTP_UPLOAD_UID", "")
    try:
        match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
            case "PUT", "/chunks":
                return put_chunk(environ, uid)
            case "POST", "/finish":
                return finish(uid)
        return 404, {"error": "no such page"}
    except cu.Error as error:
        print(f"{error.name}: {error}", flush=True)
        return error.http_status, {"error": error.name}


def put_chunk(environ: dict[str, Any], uid: str) -> tuple[int, dict[str, Any]]:
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()}
    try:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        numbers: dict[str, Any] = {name: int(query[name]) for name in ("total_size", "chunk_number", "chunk_count")}
    except (KeyError, ValueError):
        return 400, {"error": "invalid_argument"}
    if not 0 <= size <= MAX_CHUNK:
        return 413, {"error": "limit_exceeded"}
    content = environ["wsgi.input"].read(size)
    if len(content) != size:  # the client went away: what arrived is no chunk
        return 400, {"error": "invalid_argument"}
    receipt = store.handle_chunk(content, upload_uid=uid, file_name=query.get("file_name"), **numbers)
    return 200, {"upload_uid": receipt.upload_uid, "received_all": receipt.received_all}


def finish(uid: str) -> tuple[int, dict[str, Any]]:
    started = time.monotonic()
    upload = store.get(uid)
    seconds = time.monotonic() - started
    # The demo runs on one machine and shows the path; a real server would move the file to where it belongs.
    names = ("path", "file_name", "total_size", "crc32c")
    return 200, {"seconds": seconds, **{name: getattr(upload, name) for name in names}}
