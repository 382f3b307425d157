"""A development server: receives files into a directory."""

import json
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from werkzeug.exceptions import HTTPException, MisdirectedRequest, RequestEntityTooLarge
from werkzeug.wrappers import Request, Response

import chunked_upload as cu
from chunked_upload.cli import output, web_server
from chunked_upload.cli.protocol import KEY_HEADER, MAX_CHUNK

KEPT = timedelta(days=7)


class Receiver:
    """The WSGI application. Any number of threads and processes may run it over the same directories."""

    def __init__(self, store: cu.Store, into: Path, hosts: set[str], as_json: bool) -> None:
        self.store, self.into, self.hosts, self.as_json = store, into, hosts, as_json

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        request.max_content_length = MAX_CHUNK
        try:
            status, answer = 200, self._answer(request)
        except cu.Error as error:
            status, answer = error.http_status, {"error": error.name, "message": _safe(error)}
            if status >= 500:
                output.complain(error.name, str(error), self.as_json)
        except HTTPException as error:
            status, answer = error.code or 500, {"error": error.name, "message": error.description or ""}
        response = Response(json.dumps(answer) + "\n", status, mimetype="application/json")
        return response(environ, start_response)

    def _answer(self, request: Request) -> dict[str, Any]:
        # A page in somebody's browser may send requests here under a name of its own (DNS rebinding).
        if request.host.rsplit(":", 1)[0].strip("[]") not in self.hosts:
            raise MisdirectedRequest(f"this server is not {request.host}")
        key = request.headers.get(KEY_HEADER, "")
        match request.method, request.path:
            case "PUT", "/chunk":
                return self._chunk(request, key)
            case "GET", "/upload":
                return self._inspect(self.store.uid_for_key(key), _number(request, "from_chunk", 0))
            case "POST", "/upload":
                return self._finish(self.store.uid_for_key(key))
            case "DELETE", "/upload":
                self.store.remove(self.store.uid_for_key(key))
                return {}
        raise cu.NotFound(f"no {request.method} {request.path}")

    def _chunk(self, request: Request, key: str) -> dict[str, Any]:
        if not key:
            raise cu.InvalidArgument(f"no header {KEY_HEADER}")
        if request.content_length is None:
            raise cu.InvalidArgument("no header Content-Length")
        if request.content_length > MAX_CHUNK:
            raise RequestEntityTooLarge(f"a chunk may have {MAX_CHUNK} bytes")
        # What werkzeug makes of it would copy it three times more.
        content: bytes = request.environ["wsgi.input"].read(request.content_length)
        if len(content) != request.content_length:
            raise cu.InvalidArgument("the body is shorter than announced")
        receipt = self.store.handle_chunk(
            content,
            upload_key=key,
            file_name=request.args.get("file_name"),
            checksum=request.headers.get("Content-Digest"),
            total_size=_number(request, "total_size"),
            chunk_number=_number(request, "chunk_number"),
            chunk_count=_number(request, "chunk_count"),
        )
        return {"received_all": receipt.received_all}

    def _inspect(self, uid: str, from_chunk: int) -> dict[str, Any]:
        facts = output.facts(self.store.inspect(uid, from_chunk))
        return {name: facts[name] for name in ("phase", "received_count", "received_size", "missing", "next_chunk")}

    def _finish(self, uid: str) -> dict[str, Any]:
        # The answer may have been lost, so the same names are tried in the same order: where the file went the first
        # time moving succeeds again, and elsewhere it is gone.
        failure: cu.Error | None = None
        name = safe_name(self.store.inspect(uid).file_name)
        for path in (self.into / name, self.into / f"{Path(name).stem}-{uid[:8]}{Path(name).suffix}"):
            before = self.store.inspect(uid).phase
            try:
                upload = self.store.move_to(uid, path)
            except cu.Io as error:
                if not path.is_symlink() and not path.exists():
                    raise
                failure = error
            except cu.Gone as error:
                failure = error
            else:
                if before != "gone":
                    self._report(upload)
                return {"name": path.name, "total_size": upload.total_size, "crc32c": upload.crc32c}
        raise failure or cu.Internal("no name was tried")

    def _report(self, upload: cu.Finished) -> None:
        if self.as_json:
            output.print_json({"event": "received", "path": upload.path, "total_size": upload.total_size})
        else:
            click.echo(f"received {output.printable(upload.path)}, {output.size(upload.total_size)}")


def _number(request: Request, name: str, default: int | None = None) -> int:
    text = request.args.get(name, default)
    try:
        return int(text if text is not None else "")
    except ValueError:
        raise cu.InvalidArgument(f"{name} is no number") from None


def _safe(error: cu.Error) -> str:
    """What a client may read: paths stay here."""
    return "the server's storage failed" if isinstance(error, OSError) else str(error)


def safe_name(file_name: str) -> str:
    """A name for a file in our directory: whatever the client sent, it names nothing else, and nothing hidden."""
    # Room for what may be added; file systems allow 255 bytes.
    longest = 200
    base = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(character if character.isprintable() else "_" for character in base).strip().lstrip(".")
    while len(kept.encode()) > longest:
        kept = kept[:-1]
    return kept or "unnamed"


@click.command()
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where files go. Default: here."
)
@click.option("--store", "directory", type=click.Path(file_okay=False, path_type=Path), help="Default: INTO/.uploads.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--max-size", default=0, type=click.IntRange(0), help="The largest file, in bytes. Default: no limit.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for each event.")
def receive(into: Path, directory: Path | None, host: str, port: int, max_size: int, as_json: bool) -> None:
    """Receive files that `chunked-upload send` sends: a development server, for this machine only.

    It asks nobody who they are. Stop it with Ctrl-C (exit status 0); uploads that were under way go on when it runs
    again.
    """
    into = into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    store = cu.Store(directory or into / ".uploads", max_total_size=max_size)
    store.cleanup(KEPT)
    app = Receiver(store, into, {host, "localhost", "127.0.0.1", "::1"}, as_json)
    listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    server = web_server.create(app, listening)
    url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    if as_json:
        output.print_json({"event": "listening", "url": url, "into": str(into), "store": store.root})
    else:
        click.echo(f"receiving at {url} into {into}")
        sys.stdout.flush()
    # A shell's background job starts with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.run()
    finally:
        server.close()
