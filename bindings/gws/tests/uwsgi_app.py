"""A tiny action over HTTP, for the tests under uWSGI: bodies in msgpack or JSON, as GWS reads them."""

import json
import os
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import umsgpack

from conftest import gws, make, uh

# As in GWS: made when the server is configured, pickled, and loaded by each worker; with lazy-apps after the fork, else
# before it.
helper = pickle.loads(pickle.dumps(make()))


def read(environ: dict[str, Any]) -> Any:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if environ.get("CONTENT_TYPE") == "application/msgpack":
        return gws.Data(**umsgpack.loads(body))
    values = json.loads(body)
    if "content" in values:
        values["content"] = bytes(values["content"])
    return gws.Data(**values)


def answer(environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    try:
        p = read(environ)
        if environ["PATH_INFO"] == "/chunk":
            return "200 OK", vars(helper.handle_chunk_request(None, p))
        return "200 OK", vars(helper.get_upload(p.uploadUid))
    except gws.BadRequestError as exc:
        return "400 Bad Request", {"error": str(exc)}
    except uh.Error as exc:
        return "409 Conflict", {"error": str(exc)}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, values = answer(environ)
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(values | {"pid": os.getpid()}).encode()]
