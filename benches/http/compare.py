"""Receiving files over HTTP on loopback: our server beside others, the same bytes, in turn in one run.

make bench-http [ARGS="--smoke"]

Nobody's server syncs anything: ours runs at its default level, `process`. Each measurement has a server process of its
own, which has answered and has received a small file before. Prints medians and how far single rounds lie apart, writes
every measurement to build/bench/http.json, and fails where a file arrived with other bytes.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers
import servers
import table

CLIENT = Path(__file__).resolve().parent / "client.py"
PATIENCE = 600  # seconds for one measurement
MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    kind: servers.Kind
    connections: int = 1
    whole: bool = False  # one request with the whole file: what tus clients do unless they are told otherwise

    def label(self, chunk_size: int) -> str:
        if self.whole:
            return f"{self.kind.name}, one request"
        amount = f"{chunk_size // MIB} MiB requests"
        return f"{self.kind.name}, {amount}{f' on {self.connections} connections' * (self.connections > 1)}"


# The first is what the others are compared with.
ONE_FILE = [
    Row(servers.RECEIVE),
    Row(servers.RECEIVE, connections=4),
    Row(servers.GUNICORN),
    Row(servers.GUNICORN, connections=4),
    Row(servers.UVICORN),
    Row(servers.CONCATENATING),
    Row(servers.TUS_PYTHON),
    Row(servers.TUS_PYTHON, whole=True),
    Row(servers.TUS_NODE),
    Row(servers.TUS_NODE, whole=True),
]
FILES_AT_ONCE = [row for row in ONE_FILE if row.connections == 1]


class Bench:
    def __init__(self, directory: Path, chunk_size: int) -> None:
        self.directory, self.chunk_size = directory, chunk_size
        self.payload, self.digests = directory / "payload", dict[int, str]()
        self.count = 0

    def prepare(self, sizes: list[int]) -> None:
        """The bytes that all servers receive, and their digests. Leaves them in the page cache."""
        shutil.rmtree(self.directory / "received", ignore_errors=True)
        generator, left = random.Random(0), max(sizes)
        with self.payload.open("wb") as file:
            while left:
                left -= file.write(generator.randbytes(min(left, 8 * MIB)))
        os.sync()
        for size in sizes:
            self.digests[size] = digest(self.payload, size)

    def measure(self, row: Row, files: int, size: int) -> dict[str, float]:
        self.count += 1
        server = servers.Server(row.kind, self.directory / "received" / str(self.count))
        try:
            # The first request pays for what is loaded late.
            self._send(server, row, 1, min(size, 64 << 10))
            self._warm(2 * files * size + 128 * MIB)
            before = server.cpu_seconds()
            answer = self._send(server, row, files, size)
            cpu, peak = server.cpu_seconds() - before, server.peak_memory()
        finally:
            server.stop()
        for name in answer["names"]:
            received = server.directory / name
            if received.stat().st_size != size or digest(received, size) != self.digests[size]:
                raise RuntimeError(f"{row.kind.name}: {received} has other bytes than were sent")
        empty(server.directory)
        gib = files * size / (1 << 30)
        facts = {"seconds_per_gib": answer["seconds"] / gib, "cpu_seconds_per_gib": cpu / gib, "peak_memory": peak}
        return {**facts, "client_cpu_seconds_per_gib": answer["client_cpu"] / gib}

    def _warm(self, size: int) -> None:
        """Makes the kernel's free memory such as was just used.

        A virtual machine gives free memory back to its host after two seconds. To get it again costs several times
        what the write into it does, and fell now on this server, now on that.
        """
        content = bytes(8 * MIB)
        with (self.directory / "warm").open("wb", buffering=0) as file:
            for _ in range(-(-size // len(content))):
                file.write(content)
            file.truncate(0)

    def _send(self, server: servers.Server, row: Row, files: int, size: int) -> dict[str, Any]:
        command = [sys.executable, str(CLIENT), row.kind.protocol, server.url, str(self.payload)]
        command += ["--size", str(size), "--files", str(files), "--connections", str(row.connections)]
        command += ["--chunk-size", str(size if row.whole else self.chunk_size)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"{row.kind.name}: {done.stderr.strip()}\nits last words are in {server.log}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def digest(path: Path, size: int) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while left := size - file.tell():
            sha256.update(file.read(min(left, 8 * MIB)))
    return sha256.hexdigest()


def empty(directory: Path) -> None:
    """Gives the room back, and leaves nothing that would be written to the disk during the next measurement.

    The files themselves stay until the end: new ones are slower to make in ext4 where many were just removed.
    """
    for path in directory.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    os.sync()


def available(rows: list[Row]) -> list[Row]:
    """Without those whose server cannot be had, each with a word."""
    missing: dict[Any, str] = {}
    for needs in dict.fromkeys(row.kind.needs for row in rows if row.kind.needs):
        try:
            needs()
        except peers.Missing as why:
            missing[needs] = str(why)
    for kind in dict.fromkeys(row.kind for row in rows if row.kind.needs in missing):
        print(f"left out: {kind.name}: {missing[kind.needs]}", flush=True)
    return [row for row in rows if row.kind.needs not in missing]


def about() -> dict[str, Any]:
    """What one has to know about the numbers later."""
    pins = (peers.HERE / "requirements.txt").read_text().splitlines()
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "peers": [pin for pin in pins if "==" in pin],
        "node_peers": json.loads((peers.HERE / "package.json").read_text())["dependencies"],
        "load_before": os.getloadavg(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--mib", type=int, default=1024, help="the size of the one file")
    parser.add_argument("--mib-at-once", type=int, default=256, help="the size of each of the files at once")
    parser.add_argument("--files", type=int, default=4, help="how many files at once")
    parser.add_argument("--chunk-mib", type=int, default=8, help="the size of a request")
    parser.add_argument("--only", default="", help="rows whose label contains this, and the first")
    parser.add_argument("--smoke", action="store_true", help="a few MiB once: does it all still run")
    parser.add_argument("--directory", type=Path, default=peers.BUILD, help="on a disk's file system")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.mib, options.mib_at_once, options.chunk_mib = 1, 4, 1, 1
    sizes = one, each = options.mib * MIB, options.mib_at_once * MIB
    at_once = f"{options.files} files of {options.mib_at_once} MiB at once"
    scenarios = [(f"one file of {options.mib} MiB", ONE_FILE, 1, one), (at_once, FILES_AT_ONCE, options.files, each)]
    # A plain kill, too, ends the server that is running.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    rows = available(ONE_FILE)
    options.directory.mkdir(parents=True, exist_ok=True)
    report = {**about(), "chunk_size": options.chunk_mib * MIB, "rounds": options.rounds}
    bench = Bench(options.directory.resolve(), options.chunk_mib * MIB)
    bench.prepare(list(sizes))
    results: list[dict[str, Any]] = []
    for title, wanted, files, size in scenarios:
        chosen = [row for row in wanted if row in rows]
        chosen = [row for row in chosen if row is chosen[0] or options.only in row.label(bench.chunk_size)]
        measured: dict[str, list[dict[str, float]]] = {row.label(bench.chunk_size): [] for row in chosen}
        for number in range(options.rounds):
            # Each comes after another one in the next round.
            first = number % len(chosen)
            for row in chosen[first:] + chosen[:first]:
                measured[row.label(bench.chunk_size)].append(bench.measure(row, files, size))
            print(f"{title}: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        tus = [row.label(bench.chunk_size) for row in chosen if row.kind.protocol == "tus"]
        results.append({"scenario": title, "files": files, "size": size, "tus": tus, "rows": measured})
        print(table.of(results[-1]), flush=True)
    report |= {"load_after": os.getloadavg(), "scenarios": results}
    (bench.directory / "http.json").write_text(json.dumps(report, indent=1) + "\n")
    shutil.rmtree(bench.directory / "received")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"bench-http: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
