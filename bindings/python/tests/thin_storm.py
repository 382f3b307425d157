"""A storm of kills on an ext4 whose disk runs out below it, again and again.

    python thin_storm.py --seed 1 --kills 1000 DIRECTORY

The disk is an image full of holes on a full file system in memory (tests/faults/thin_disk.rs says more). Every write
succeeds while pages take it. The disk refuses it later. Then there is room again, and the storm goes on.

The storm has rounds. After each round all uploads are completed, and read again after a remount. Every chunk that level
`chunk` acknowledged is there. No `get` at level `complete` or `chunk` answers with wrong bytes. Level `process` syncs
nothing, so wrong bytes are only counted there. The script needs root. It mounts in a namespace of its own.
"""

import argparse
import ctypes
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chunked_upload as cu
from storm import CHUNKS, KEYS_AT_ONCE, LEVELS, MOVABLE, RECORDS, REMOVABLE, WORKERS, Level, Storm, versions

KILLS_IN_ROUND = 120
MEBIBYTES = 128
ROOM = f"{2 * MEBIBYTES}m"
# For what the disk has no room: bytes that have room in the file system, or what has none yet. The latter often makes
# ext4 stop, so most times it is the former.
# What may be removed meanwhile keeps its room: ext4 would give it to a record.
STARVED = (*["data"] * 6, "records", "everything")
ALLOWED = {"not_found", "gone", "incomplete", "conflict", "io", "no_space"}
# Of a test that cannot run here.
SKIPPED = 77
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, PR_SET_PDEATHSIG = 0x20000, 1


def run(*command: str | Path, check: bool = True) -> str:
    return subprocess.run(command, check=check, capture_output=True, text=True).stdout


def drop_caches(what: int) -> None:
    """1: pages, 2: inodes, 3: both."""
    Path("/proc/sys/vm/drop_caches").write_text(str(what))


class Disk:
    def __init__(self, base: Path) -> None:
        self.memory, self.mountpoint = base / "memory", base / "thin"
        self.image = self.memory / "image"
        for tool in ("mkfs.ext4", "e2fsck", "losetup", "filefrag", "fstrim", "fallocate"):
            if not shutil.which(tool):
                raise OSError(f"no {tool}")
        # The mounts go with the last process.
        if LIBC.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "no mount namespace")
        run("mount", "--make-rprivate", "/")
        for directory in (self.memory, self.mountpoint):
            directory.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", self.memory)
        self.feed()
        options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
        run("mkfs.ext4", "-q", "-b", "4096", "-E", options, self.image)
        self.mount()
        drop_caches(1)

    def mount(self) -> None:
        run("mount", "-o", "loop", self.image, self.mountpoint)
        device = Path(run("losetup", "-n", "-O", "NAME", "-j", self.image).split()[0])
        # Page by page: the loop device takes a write that was cut off for a whole one.
        Path(f"/sys/block/{device.name}/queue/max_sectors_kb").write_text("4")
        (self.mountpoint / "store").mkdir(mode=0o700, exist_ok=True)
        self.write_back()

    def remount(self, repair: bool) -> None:
        for attempt in range(20):
            time.sleep(0.01 * attempt)
            if subprocess.run(["umount", self.mountpoint], capture_output=True).returncode == 0:
                break
        if repair:
            run("e2fsck", "-fy", self.image, check=False)
        self.mount()

    def write_back(self) -> None:
        run("sync", "-f", self.mountpoint, check=False)

    def starve(self, records: bool, files: list[Path]) -> None:
        """From here on the disk takes nothing new: no records, and no bytes of these files.

        Nothing may write during this call.
        """
        self.write_back()
        if records:
            run("fstrim", self.mountpoint)
        for line in run("filefrag", "-v", "-b1", *files).splitlines() if files else []:
            if "unwritten" in line:
                _, _, physical, length, *_ = line.split(":")
                run("fallocate", "-p", "-o", physical.split("..")[0].strip(), "-l", length.strip(), self.image)
        memory = os.statvfs(self.memory)
        self.resize(str((memory.f_blocks - memory.f_bfree) * memory.f_frsize))

    def feed(self) -> None:
        self.resize(ROOM)
        # Holes that are left would starve more than the next lack of room is meant to.
        run("fallocate", "-l", f"{MEBIBYTES}M", self.image)

    def resize(self, size: str) -> None:
        run("mount", "-o", f"remount,size={size}", self.memory)

    def stopped(self) -> bool:
        try:
            os.utime(self.mountpoint)
        except OSError:
            return True
        return False

    def broken(self) -> bool:
        """Whether the file system has stopped, or will with the next sync. Asked when there is room."""
        try:
            with (self.mountpoint / "probe").open("w") as probe:
                os.fsync(probe.fileno())
        except OSError:
            return True
        return False


class ThinStorm(Storm):
    def __init__(self, base: Path, seed: str) -> None:
        super().__init__(base, None, seed)
        self.disk, self.storm_seed = Disk(base), seed
        self.root = self.disk.mountpoint / "store"
        self.totals: Counter[str] = Counter()
        # For what there is no room, or was not the last time.
        self.starving, self.starved = False, "nothing"

    # --- what is killed ---

    def live(self, worker: int, me: str, born: int) -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        self.work(me, self.first_key + abs(born) // 10 * 10)

    def level(self, chance: random.Random) -> Level:
        return chance.choice(LEVELS)

    def receipt(self, store: cu.Store) -> str:
        return "sent" if store.durability == "chunk" else "taken"

    def found(self, me: str, store: cu.Store, key: str, what: str) -> None:
        if what == "wrong bytes" and store.durability != "process":
            super().found(me, store, key, what)
        else:
            self.say("not promised", me, key, what)

    def attempt(
        self,
        call: Callable[[str, cu.Store, str, random.Random], None],
        me: str,
        store: cu.Store,
        key: str,
        chance: random.Random,
    ) -> str | None:
        try:
            call(me, store, key, chance)
        except cu.Error as exc:
            number = getattr(exc, "errno", None)
            name = f"{exc.name} {os.strerror(number)}" if number else exc.name
            self.say("refused" if exc.name in ALLOWED else "BAD", me, key, name, str(exc))
            if number == errno.EROFS:
                time.sleep(0.01)  # until it is repaired
        except FileNotFoundError:
            self.say("refused", me, key, "taken by another")
        return None

    def move(self, me: str, store: cu.Store, key: str, chance: random.Random) -> None:
        """To another file system, where there is room."""
        self.say("remove", me, key)
        destination = self.places[0] / f"{key} of {me}"
        store.move_to(store.uid_for_key(key), destination)
        if versions(key, destination.read_bytes()) is None:
            self.found(me, store, key, "wrong bytes")
        destination.unlink()

    # --- what happens to the disk ---

    def weather(self, killed: int) -> None:
        if killed % 4 == 0 and self.chance.random() < 0.3:
            self.disk.write_back()
            drop_caches(self.chance.randint(1, 3))
        if self.disk.stopped() or (self.starving and killed % 12 == 0):
            self.disk.write_back()
            if what := self.chance.randrange(4):
                drop_caches(what)
            repair = self.feed()
            if repair or self.chance.random() < 0.2:
                for worker in range(WORKERS):
                    self.kill(worker)
                self.disk.remount(repair)
                for worker in range(WORKERS):
                    self.start(worker, -killed)
        elif killed % 12 == 0:
            self.starve()

    def starve(self) -> None:
        for pid, _ in self.children.values():
            os.kill(pid, signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        starved, store = self.chance.choice(STARVED), self.store()
        self.starving, self.starved = True, starved
        keys = [key for key in self.keys if starved != "data" or key[-1] not in MOVABLE + REMOVABLE]
        files = [self.root / store.uid_for_key(key) / "data" for key in keys if starved != "records"]
        self.disk.starve(starved != "data", [file for file in files if file.exists()])
        self.totals[f"no room for {starved}"] += 1
        for pid, _ in self.children.values():
            os.kill(pid, signal.SIGCONT)

    def feed(self) -> bool:
        """Says whether the file system has stopped meanwhile."""
        self.disk.feed()
        repair = self.disk.broken()
        self.totals[f"repaired after no room for {self.starved}"] += repair
        self.starving = False
        return repair

    # --- what is left ---

    def round(self, number: int, kills: int, sabotage: str | None) -> list[Any]:
        self.seed, self.first_key = f"{self.storm_seed}/{number}", number * 1000
        last = self.first_key + kills + KEYS_AT_ONCE
        self.keys = [f"key of the upload {number:06d}" for number in range(self.first_key, last)]
        self.chance = random.Random(f"{self.seed}/weather")
        self.blow(kills)
        repair = self.feed()
        if repair or self.chance.random() < 0.5:
            self.disk.remount(repair)
        if sabotage == "lose":
            self.sabotage(sabotage)
        # Nothing lives that could hold a lock.
        signal.alarm(300)
        bad = self.settle(sabotage)
        signal.alarm(0)
        if bad:
            shutil.copy(self.base / "log", self.base / f"log of round {number}")
        os.ftruncate(self.log, 0)
        self.totals["kills"] += kills
        return bad

    def settle(self, sabotage: str | None) -> list[Any]:
        promised, removed, _, bad, counts = self.promises()
        store, finished = self.store("complete"), {}
        for key in self.keys:
            of_key = {chunk: version for (of, chunk), version in promised.items() if of == key}
            kept = of_key if key not in removed else {}
            try:
                inspection = store.inspect(store.uid_for_key(key))
            except cu.NotFound:
                if kept:
                    bad.append(["lost", key])
                continue
            if inspection.phase == "gone":
                bad += [["gone", key]] if key not in removed else []
                continue
            if lost := kept.keys() & {number for numbers in inspection.missing for number in numbers}:
                bad.append(["lost chunks", key, sorted(lost)])
                kept = {}
            try:
                found = self.complete(store, key)
            except cu.Error as exc:
                bad.append(["stuck", key, repr(exc), getattr(exc, "__notes__", [])])
                continue
            finished[key] = found
            if found is None:
                bad.append(["wrong bytes", key])
            elif wrong := [number for number, version in kept.items() if version not in (None, found[number])]:
                bad.append(["replaced chunks came back", key, wrong])
        if sabotage == "flip":
            self.sabotage(sabotage)
        self.disk.remount(False)
        for key, found in finished.items():
            try:
                again = versions(key, Path(store.get(store.uid_for_key(key)).path).read_bytes())
            except cu.Error as exc:
                bad.append(["lost after a remount", key, repr(exc)])
                continue
            if again is None or again != found:
                bad.append(["wrong bytes after a remount", key, found, again])
        cleaned = store.cleanup(0, max_removals=10**6)
        left = set(os.listdir(self.root)) - RECORDS
        if left or cleaned.failed_count:
            bad.append(["left behind", sorted(left), cleaned.failed_count])
        self.totals += Counter({"uploads": len(finished), "chunks promised": len(promised)}) + counts
        for line in (self.base / "log").open():
            what, _, *rest = json.loads(line)
            if what in ("refused", "not promised"):
                self.totals[f"{what}: {rest[1].lstrip('0123456789 ')}"] += 1
        return bad

    def complete(self, store: cu.Store, key: str) -> list[int] | None:
        """Sends what is missing until the file is there."""
        uid, answers = store.uid_for_key(key), []
        for _ in range(6):
            try:
                return versions(key, Path(store.get(uid).path).read_bytes())
            except cu.Error as exc:
                answers.append(repr(exc))
            try:
                missing = [number for numbers in store.inspect(uid).missing for number in numbers]
            except cu.NotFound:
                missing = list(range(CHUNKS))
            for number in missing:
                try:
                    self.send(store, key, number, 0)
                except cu.Error as exc:
                    answers.append(repr(exc))
        try:
            return versions(key, Path(store.get(uid).path).read_bytes())
        except cu.Error as exc:
            for answer in answers:
                exc.add_note(answer)
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="an empty directory")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--sabotage", choices=["lose", "flip"], help="do damage that must be noticed")
    arguments = parser.parse_args()
    try:
        storm = ThinStorm(arguments.directory, arguments.seed)
    except (OSError, subprocess.CalledProcessError) as exc:
        print(f"no thin disk can be made here: {exc} {getattr(exc, 'stderr', '')}", file=sys.stderr)
        sys.exit(SKIPPED)
    bad: list[Any] = []
    for number, start in enumerate(range(0, arguments.kills, KILLS_IN_ROUND)):
        kills = min(KILLS_IN_ROUND, arguments.kills - start)
        bad += [[f"round {number}", *problem] for problem in storm.round(number, kills, arguments.sabotage)]
    print(json.dumps({"seed": arguments.seed, "bad": len(bad), **storm.totals}))
    for problem in bad[:20]:
        print(problem)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
