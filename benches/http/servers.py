"""The servers that are compared: how each is started, and what it has used so far."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import peers

HERE = Path(__file__).resolve().parent
PATIENCE = 60  # seconds to begin to answer
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Kind:
    """A server, started with `command(directory, port)`; `needs` brings what that takes, or says why it cannot."""

    name: str
    protocol: str
    endpoint: str
    command: Callable[[Path, int], list[str]]
    needs: Callable[[], None] | None = None


def _receive(directory: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "chunked_upload", "receive", "--into", str(directory), "--port", str(port)]


def _gunicorn(directory: Path, port: int) -> list[str]:
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", str(HERE)]
    return [*command, "--workers", "2", "--worker-class", "gthread", "--threads", "4", "ours_wsgi:application"]


def _uvicorn(application: str) -> Callable[[Path, int], list[str]]:
    command = [str(peers.VENV_PYTHON), "-m", "uvicorn", "--app-dir", str(HERE), f"{application}:application", "--port"]
    return lambda directory, port: [*command, str(port)]


def _concatenating(directory: Path, port: int) -> list[str]:
    return [sys.executable, str(HERE / "concatenating.py"), str(directory), str(port)]


def _node(directory: Path, port: int) -> list[str]:
    return [shutil.which("node") or "node", str(peers.NODE_DIRECTORY / "tus_node.js"), str(directory), str(port)]


RECEIVE = Kind("chunked-upload receive (waitress)", "chunks", "", _receive)
GUNICORN = Kind("chunked-upload (gunicorn, 2 processes)", "chunks", "", _gunicorn)
UVICORN = Kind("chunked-upload (uvicorn)", "chunks", "", _uvicorn("ours_asgi"), peers.python_packages)
CONCATENATING = Kind("file per chunk, concatenated (waitress)", "chunks", "", _concatenating)
TUS_PYTHON = Kind("tuspyserver (uvicorn)", "tus", "/files/", _uvicorn("tus_python"), peers.python_packages)
TUS_NODE = Kind("@tus/server (node)", "tus", "/files", _node, peers.node_packages)


class Server:
    """A running server. What it says is in a log beside its directory."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory, self.log = directory, directory.with_suffix(".log")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with self.log.open("wb") as log:
            # A session of its own tells its processes from ours.
            self.process = subprocess.Popen(
                kind.command(directory, self.port),
                cwd=directory,
                env={**os.environ, "BENCH_DIRECTORY": str(directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{self.port}{kind.endpoint}"
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                connection.request("GET", "/is-it-there")
                connection.getresponse().read()
                connection.close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"a server did not start; its last words are in {self.log}") from None
                time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes, and of those that it has ended and waited for."""
        ticks = 0
        for pid, fields in self._processes():
            ticks += int(fields[11]) + int(fields[12])
            if pid == self.process.pid:
                ticks += int(fields[13]) + int(fields[14])
        return ticks / TICKS

    def peak_memory(self) -> int:
        """In bytes: the peaks of its processes, added up, so that pages which they share count for each."""
        peak = 0
        for pid, _ in self._processes():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak += int(line.split()[1]) << 10
        return peak

    def _processes(self) -> list[tuple[int, list[str]]]:
        """Those of its session: pid, and the fields of /proc/PID/stat from the third (the state) on."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found.append((int(entry), fields))
        return found

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
