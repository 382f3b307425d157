"""A client that goes on where it was."""

import base64
import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import click
import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from urllib3.util import Retry

import chunked_upload as cu
from chunked_upload.cli import output
from chunked_upload.cli.keys import key_of, user_secret
from chunked_upload.cli.protocol import KEY_HEADER, MAX_CHUNK

TIMEOUT = (10, 120)  # seconds to connect, and to wait for an answer
# A server that is restarted is back within half a minute: 0.3 s, 0.6 s, … 19 s.
RETRIES = Retry(total=7, backoff_factor=0.3, status_forcelist=[500, 502, 503, 504], allowed_methods=None)


class Refused(click.ClickException):
    """The server said no, or cannot be reached."""

    exit_code = 1

    def __init__(self, name: str, message: str, as_json: bool) -> None:
        super().__init__(message)
        self.name, self.as_json = name, as_json

    def show(self, file: Any = None) -> None:
        output.complain(self.name, self.message, self.as_json)


class Sender:
    """One file on its way. Safe to use from several threads, each of which keeps a connection."""

    def __init__(self, url: str, file: Path, chunk_size: int, new: bool, as_json: bool) -> None:
        self.url, self.file, self.chunk_size, self.as_json = url.rstrip("/"), file, chunk_size, as_json
        self.descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self.status = os.fstat(self.descriptor)
        self.size = self.status.st_size
        self.chunk_count = -(-self.size // chunk_size) or 1  # an empty file is one empty chunk
        secret = None if new else user_secret()
        # Whether another run can go on with it.
        self.resumable = secret is not None
        # Other chunks are another upload.
        key = secrets.token_hex(32) if secret is None else key_of(secret, self.url, file, self.status)
        self.key = hashlib.sha256(f"{key} {chunk_size}".encode()).hexdigest()
        self._own = threading.local()

    def size_of(self, number: int) -> int:
        return min(self.chunk_size, self.size - number * self.chunk_size)

    def missing(self) -> Iterator[range]:
        """The numbers of the chunks that the server does not have."""
        from_chunk: int | None = 0
        while from_chunk is not None:
            answer = self._call("GET", "/upload", params={"from_chunk": from_chunk}, unknown_is_none=True)
            if answer is None:
                yield range(self.chunk_count)
                return
            yield from (range(first, behind) for first, behind in answer["missing"])
            from_chunk = answer["next_chunk"]

    def send(self, number: int) -> int:
        """Sends one chunk; answers its size."""
        content = os.pread(self.descriptor, self.size_of(number), number * self.chunk_size)
        if len(content) != self.size_of(number):
            raise self._changed()
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        query: dict[str, str | int] = {
            "file_name": os.fsencode(self.file.name).decode(errors="replace"),
            "total_size": self.size,
            "chunk_number": number,
            "chunk_count": self.chunk_count,
        }
        headers = {"Content-Digest": f"sha-256=:{digest}:"}
        self._call("PUT", "/chunk", params=query, data=content, headers=headers)
        return len(content)

    def finish(self) -> dict[str, Any]:
        now = self.file.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.status.st_mtime_ns):
            self._call("DELETE", "/upload", unknown_is_none=True)
            raise self._changed()
        answer = self._call("POST", "/upload")
        if answer is None or answer["total_size"] != self.size:
            raise Refused("size_mismatch", f"the server has another size than {self.size}: {answer}", self.as_json)
        return answer

    def _changed(self) -> Refused:
        return Refused("conflict", f"{self.file} changed while it was sent; send it again", self.as_json)

    def _call(self, method: str, page: str, unknown_is_none: bool = False, **request: Any) -> dict[str, Any] | None:
        headers = {KEY_HEADER: self.key, **request.pop("headers", {})}
        try:
            answer = self._answer(method, self.url + page, headers=headers, timeout=TIMEOUT, **request)
            facts: dict[str, Any] = answer.json()
        except requests.exceptions.JSONDecodeError:
            raise Refused("io", f"{self.url} is no server that receives", self.as_json) from None
        except requests.RequestException as error:
            raise Refused("io", f"no answer from {self.url}: {error}", self.as_json) from None
        if answer.status_code == 404 and unknown_is_none:
            return None
        if not answer.ok:
            raise Refused(str(facts.get("error")), str(facts.get("message")), self.as_json)
        return facts

    def _answer(self, method: str, url: str, **request: Any) -> requests.Response:
        """Repeats what RETRIES leave out: the server ended between the head of its answer and the rest."""
        for _ in range(2):
            with contextlib.suppress(requests.exceptions.ChunkedEncodingError):
                return self._session().request(method, url, **request)
        return self._session().request(method, url, **request)

    def _session(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            session = requests.Session()
            # A chunk may be sent again without harm, so a connection that breaks costs nothing.
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=RETRIES))
            self._own.session = session
        session_of_thread: requests.Session = self._own.session
        return session_of_thread


def transfer(sender: Sender, connections: int, progress: Progress) -> int:
    """Sends what is missing; answers how many chunks that were."""
    missing = list(sender.missing())
    todo = (number for numbers in missing for number in numbers)
    left = sum(sender.size_of(numbers[-1]) + (len(numbers) - 1) * sender.chunk_size for numbers in missing if numbers)
    task = progress.add_task(sender.file.name, total=sender.size, completed=sender.size - left)
    sent = 0
    with ThreadPoolExecutor(connections) as pool:
        # No more are begun than are under way: a million chunks need no million entries.
        running: set[Future[int]] = set()
        try:
            for number in todo:
                running.add(pool.submit(sender.send, number))
                sent += 1
                if len(running) == connections:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    progress.advance(task, sum(future.result() for future in done))
            progress.advance(task, sum(future.result() for future in running))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sent


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("url")
@click.option(
    "--connections", default=4, show_default=True, type=click.IntRange(1, 64), help="Chunks under way at once."
)
@click.option(
    "--chunk-size",
    default=4 << 20,
    show_default=True,
    type=click.IntRange(1, MAX_CHUNK),
    help="In bytes; each is held in memory.",
)
@click.option("--new", is_flag=True, help="Begin anew, whatever the server has or had of this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one object instead of progress.")
def send(file: Path, url: str, connections: int, chunk_size: int, new: bool, as_json: bool) -> None:
    """Send FILE to the server at URL. Run it again after Ctrl-C or a failure: only what is missing travels."""
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} does not begin with http:// or https://", param_hint="URL")
    sender = Sender(url, file, chunk_size, new, as_json)
    if not (sender.resumable or new or as_json):
        click.echo("no secret can be kept in your home directory: another run cannot go on with this one", err=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True), disable=as_json) as progress:
            sent = transfer(sender, connections, progress)
            answer = sender.finish()
    except KeyboardInterrupt:
        if not as_json:
            how = "run the same command again to go on" if sender.resumable else "another run begins from the start"
            click.echo(f"interrupted; {how}", err=True)
        raise
    except Refused as refused:
        if refused.name == cu.Gone.name:
            raise Refused(refused.name, f"{refused.message}; send it again with --new", as_json) from None
        raise
    if as_json:
        output.print_json({"name": answer["name"], "total_size": answer["total_size"], "sent_chunks": sent})
    else:
        click.echo(f"sent as {output.printable(answer['name'])}: {sent} of {sender.chunk_count} chunks travelled")
