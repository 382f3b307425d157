"""Our engine in a plain ASGI application, for uvicorn. It speaks what `chunked-upload receive` speaks."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import chunked_upload as cu

MAX_CHUNK = 64 << 20
store = cu.Store(os.environ["BENCH_DIRECTORY"])
# Memory that large requests are read into. Made for each of them, it would be given back each time, and half a million
# page faults a GiB would follow.
spare: list[bytearray] = []
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"no {scope['type']} here")
    try:
        status, answer = 200, await respond(scope, receive)
    except cu.Error as error:
        status, answer = error.http_status, {"error": error.name}
    except (KeyError, ValueError):
        status, answer = 400, {"error": "malformed"}
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond(scope: dict[str, Any], receive: Receive) -> dict[str, Any]:
    headers = dict(scope["headers"])
    key = headers[b"upload-key"]
    if scope["method"] == "POST":
        upload = await asyncio.to_thread(store.get, store.uid_for_key(key))
        return {"name": os.path.relpath(upload.path, store.root)}
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    numbers: dict[str, Any] = {name: int(query[name]) for name in ("total_size", "chunk_number", "chunk_count")}
    length = int(headers[b"content-length"])
    if not 0 <= length <= MAX_CHUNK:
        raise ValueError
    buffer = spare.pop() if spare else bytearray()
    if len(buffer) < length:
        buffer = bytearray(length)
    try:
        with memoryview(buffer)[:length] as content:
            await fill(content, receive)
            receipt = await asyncio.to_thread(
                store.handle_chunk, content, upload_key=key, file_name=query["file_name"], **numbers
            )
    finally:
        spare.append(buffer)
    return {"received_all": receipt.received_all}


async def fill(content: memoryview, receive: Receive) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        body = message.get("body", b"")
        content[size : size + len(body)] = body
        size += len(body)
        more = message.get("more_body", False)
    if size != len(content):
        raise ValueError
