"""Sends a file over HTTP in shuffled chunks to several server processes, and compares what arrives.

make demo [FILE=path]
"""

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import requests

from client import UploadClient
from progress import Progress

HERE = Path(__file__).resolve().parent
WORKERS = 3
CONNECTIONS = 4
SAMPLE_SIZE = 300_000_001  # a last chunk that is not full


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, help="what to send; made when left out")
    parser.add_argument("--directory", type=Path, default=HERE.parent / "build" / "demo", help="where it is received")
    arguments = parser.parse_args()
    # A closed terminal or a plain kill ends it as Ctrl-C does: through every `finally`.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        return demonstrate(arguments.file and arguments.file.expanduser(), arguments.directory)
    except KeyboardInterrupt:
        print("\ndemo: stopped", file=sys.stderr)
        return 130
    except (OSError, RuntimeError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def demonstrate(file: Path | None, directory: Path) -> int:
    if file is not None and not file.is_file():
        what = "is not a regular file" if file.exists() else "does not exist"
        raise RuntimeError(f"FILE {file} {what}")
    directory.mkdir(parents=True, exist_ok=True)
    with alone(directory):
        file = file or sample(directory / "sample.bin")
        size = file.stat().st_size
        uploads = directory / "uploads"
        shutil.rmtree(uploads, ignore_errors=True)  # of the run before: the disk does not fill
        print(f"file     {file} ({size:,} bytes)", flush=True)
        with server(uploads, directory / "server.log") as url:
            print(f"server   {url}, {WORKERS} processes", flush=True)
            return send(file, size, url)


def send(file: Path, size: int, url: str) -> int:
    client = UploadClient(url, file, size)
    repeated = sorted(random.sample(range(client.chunk_count), max(1, client.chunk_count // 10)))
    order = [*range(client.chunk_count), *repeated]
    random.shuffle(order)

    started = time.monotonic()
    with Progress(sum(client.chunk_size(number) for number in order)) as progress:
        # The first answer brings the uid; from then on all connections can send.
        progress.advance(client.send(order[0]))
        in_parallel(client.send, order[1:], progress.advance)
    seconds = time.monotonic() - started
    sent = sum(client.chunk_size(number) for number in order)
    print(
        f"sent     {client.chunk_count} chunks in random order on {CONNECTIONS} connections, {len(repeated)} of them "
        f"twice: {seconds:.2f} s, {sent / seconds / 1e6:,.0f} MB/s"
    )
    upload = client.finish()
    print(f"get      took {upload['seconds'] * 1000:.2f} ms")
    print(f"received {upload['path']} ({upload['total_size']:,} bytes)")
    return compare(file, Path(upload["path"]))


def in_parallel(send: Callable[[int], int], numbers: list[int], advance: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            for size in pool.map(send, numbers):
                advance(size)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # do not send the rest before saying what is wrong
            raise


def compare(sent: Path, received: Path) -> int:
    sums = [sha256(sent), sha256(received)]
    print(f"sha256   {sums[0]}  sent\nsha256   {sums[1]}  received")
    same = sums[0] == sums[1]
    print("the bytes agree" if same else "THE BYTES DIFFER")
    return 0 if same else 1


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sample(file: Path) -> Path:
    """A few hundred megabytes of the same random bytes each time, made once."""
    if not file.is_file() or file.stat().st_size != SAMPLE_SIZE:
        print(f"making   {file}", flush=True)
        generator, left = random.Random(0), SAMPLE_SIZE
        unfinished = file.with_suffix(".part")
        with unfinished.open("wb") as made:
            while left:
                left -= made.write(generator.randbytes(min(left, 1 << 20)))
        unfinished.replace(file)
    return file


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """One demo at a time in a directory: each begins by removing what the one before received."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another demo is running in {directory}") from None
        yield


@contextlib.contextmanager
def server(uploads: Path, log: Path) -> Iterator[str]:
    """A gunicorn with several worker processes, on a free port. Ends with the block, and with this process."""
    with socket.socket() as listener, log.open("wb") as output:
        # Bound here, so that nobody can take the port in between; connections wait until the workers are up.
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        url = "http://{}:{}".format(*listener.getsockname())
        process = start(["--bind", f"fd://{listener.fileno()}"], uploads, output, listener.fileno())
    try:
        yield url
    except requests.RequestException as error:
        raise RuntimeError(f"{error}; the server's last words are in {log}") from error
    finally:
        stop(process)


def start(bind: list[str], uploads: Path, output: BinaryIO, listener: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gunicorn", *bind, "--workers", str(WORKERS), "--worker-class", "gthread"]
    command += ["--threads", "2", "--graceful-timeout", "5", "--log-level", "warning", "--no-control-socket"]
    environment = {name: value for name, value in os.environ.items() if name != "GUNICORN_CMD_ARGS"}
    return subprocess.Popen(
        [*command, "server:application"],
        cwd=HERE,
        env={**environment, "DEMO_STORE": str(uploads.resolve())},
        pass_fds=[listener],
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C is for us, and we end the server
        preexec_fn=end_with_parent,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_with_parent() -> None:
    """Runs in the child before it becomes the server: should we be killed, the kernel ends it."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
