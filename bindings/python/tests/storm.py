"""A storm of kills: processes send, replace, get, check, move and remove at random while they are killed.

    python storm.py --seed 1 --kills 1000 DIRECTORY [--elsewhere DIRECTORY]

Couriers send files and move them away, to this file system and to another one. Consumers take moved files at any
instant.

Each process writes down what it begins and what it is answered. At the end that is held against what is on the disk:
every acknowledged chunk is there, every file is right, each moved file was delivered once, no upload is stuck, and a
cleanup finds all the rest. The seed decides what is tried and whom the kills hit; at which instant the machine decides.
"""

import argparse
import errno
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import chunked_upload as cu

Level = Literal["process", "complete", "chunk"]

CHUNKS = 8
WORKERS = 8
# The first of them.
COURIERS, CONSUMERS = 2, 1
KEYS_AT_ONCE = 40
LEVELS: tuple[Level, ...] = ("process", "complete", "chunk")
# By the last digit of their keys: which uploads may be moved away, and which removed. The others stay to the end.
MOVABLE, REMOVABLE = "147", "37"
# A line of the log is padded to a multiple of this, which divides a page; few are longer.
LINE = 256
# What the store keeps for itself.
RECORDS = {"secret", "promised"}


def content(key: str, number: int, version: int = 0) -> bytes:
    """The bytes of a chunk; other ones of the same size for another version. Half of the files fit no grid."""
    kind = int.from_bytes(hashlib.md5(key.encode()).digest()[:2], "little")
    size = [1000, 5000, 70_000][kind % 3]
    uneven = kind % 2 and number % 3 == 1
    return random.Random(f"{key}/{number}/{version}").randbytes(size - 17 if uneven else size)


def total_size(key: str) -> int:
    return sum(len(content(key, number)) for number in range(CHUNKS))


def versions(key: str, whole: bytes) -> list[int] | None:
    """Of which version each chunk of a file is; none if one is of neither."""
    found, at = [], 0
    for number in range(CHUNKS):
        size = len(content(key, number))
        version = [v for v in (0, 1) if content(key, number, v) == whole[at : at + size]]
        if not version:
            return None
        found.append(version[0])
        at += size
    return found if at == len(whole) else None


class Storm:
    def __init__(self, base: Path, elsewhere: Path | None, seed: str) -> None:
        self.base, self.seed, self.root = base, seed, base / "store"
        self.children: dict[int, tuple[int, str]] = {}
        self.places = [base / "moved", *([elsewhere] if elsewhere else [])]
        for place in self.places:
            (place / "taken").mkdir(parents=True, exist_ok=True)
        self.log = os.open(base / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def say(self, *what: Any) -> None:
        """One write to a file opened for appending: lines of several processes keep their order.

        A process that is killed in a write may have written up to the end of a page. So no line lies in two pages.
        """
        line = json.dumps(what)
        length = (len(line) // LINE + 1) * LINE
        os.write(self.log, f"{line:<{length - 1}}\n".encode())

    def store(self, durability: Level = "process") -> cu.Store:
        return cu.Store(self.root, max_store_size=1 << 30, min_free_space=0, durability=durability)

    # --- what is killed ---

    def live(self, worker: int, me: str, born: int) -> None:
        if worker < COURIERS:
            self.carry(me, self.children[worker][1] if worker in self.children else None)
        elif worker < COURIERS + CONSUMERS:
            self.consume(me)
        else:
            # New uploads all the time: old ones have been moved and removed.
            self.work(me, born // 60 * 10)

    def level(self, chance: random.Random) -> Level:
        return chance.choice(LEVELS) if chance.random() < 0.3 else "process"

    def work(self, me: str, keys: int) -> None:
        chance = random.Random(f"{self.seed}/{me}")
        store = self.store(self.level(chance))
        while True:
            key = f"key of the upload {keys + chance.randrange(KEYS_AT_ONCE):06d}"
            self.attempt(self.act, me, store, key, chance)

    def attempt(
        self,
        call: Callable[[str, cu.Store, str, random.Random], None],
        me: str,
        store: cu.Store,
        key: str,
        chance: random.Random,
    ) -> str | None:
        """Makes a call. Returns the name of the answer if it was refused."""
        try:
            call(me, store, key, chance)
        except (cu.NotFound, cu.Gone, cu.Incomplete, cu.Conflict) as exc:
            self.say("refused", me, key, exc.name)
            return exc.name
        except cu.Io as exc:
            self.say("refused" if exc.errno == errno.EEXIST else "BAD", me, key, repr(exc))
        except cu.Error as exc:
            self.say("BAD", me, key, repr(exc))
        return None

    def carry(self, me: str, before: str | None) -> None:
        """Repeats what the previous courier, which was killed, may have begun. Then sends files and moves them away."""
        chance = random.Random(f"{self.seed}/{me}")
        store = self.store(chance.choice(LEVELS))
        of, sends = before, False
        while True:
            for number in itertools.count():
                key = f"key of courier {of} {number:04d}{MOVABLE[0]}"
                for chunk in range(CHUNKS if sends else 0):
                    self.say("send", me, key, chunk, 0)
                    self.send(store, key, chunk, 0)
                    self.say("sent", me, key, chunk, 0)
                if of is None or self.attempt(self.move, me, store, key, chance) == "not_found":
                    break
            of, sends = me, True

    def move(self, me: str, store: cu.Store, key: str, chance: random.Random) -> None:
        destination = chance.choice(self.places) / f"{key}-{chance.randrange(2)}"
        store.move_to(store.uid_for_key(key), destination)
        self.say("moved", me, key)

    def consume(self, me: str) -> None:
        """Takes moved files: half of them at once, the others later."""
        chance = random.Random(f"{self.seed}/{me}")
        for turn in itertools.count():
            place = self.places[turn % len(self.places)]
            for name in os.listdir(place):
                if name.startswith("key") and (name.endswith("-1") or chance.random() < 0.01):
                    taken = place / "taken" / f"{name}@{me}.{turn}"
                    try:
                        os.rename(place / name, taken)
                    except FileNotFoundError:
                        continue  # another consumer was faster
                    if versions(name.rpartition("-")[0], taken.read_bytes()) is None:
                        self.say("BAD", me, name, "wrong bytes were delivered")
                    elif chance.random() < 0.7:
                        # Removed: its inode can be another file's. An empty one says that it was delivered.
                        empty = place / "taken" / f"{me}.empty"
                        empty.touch()
                        empty.replace(taken)

    def act(self, me: str, store: cu.Store, key: str, chance: random.Random) -> None:
        action = chance.random()
        if action < 0.75:
            number, version = chance.randrange(CHUNKS), int(chance.random() < 0.15)
            self.say("send", me, key, number, version)
            self.send(store, key, number, version)
            self.say(self.receipt(store), me, key, number, version)
            return
        uid = store.uid_for_key(key)
        if action < 0.83:
            path = store.get(uid).path
            try:
                whole = Path(path).read_bytes()
            except FileNotFoundError:
                return  # moved or removed by another
            if versions(key, whole) is None:
                self.found(me, store, key, "wrong bytes")
        elif action < 0.88:
            store.inspect(uid)
        elif action < 0.91:
            if damaged := store.verify(uid).damaged_count:
                self.found(me, store, key, f"{damaged} damaged chunks")
        elif action < 0.96 and key[-1] in MOVABLE:
            self.move(me, store, key, chance)
        elif action < 0.98 and key[-1] in REMOVABLE:
            self.say("remove", me, key)
            store.remove(uid)
        elif action < 0.99:
            store.cleanup(3600)
        else:
            list(store.list())

    def receipt(self, store: cu.Store) -> str:
        """What the log calls a chunk that was acknowledged: "sent" is a promise, "taken" is none."""
        return "sent"

    def found(self, me: str, store: cu.Store, key: str, what: str) -> None:
        """A call answered, and what it answered is wrong."""
        self.say("BAD", me, key, what)

    def send(self, store: cu.Store, key: str, number: int, version: int) -> None:
        store.handle_chunk(
            content(key, number, version),
            upload_key=key,
            total_size=total_size(key),
            chunk_number=number,
            chunk_count=CHUNKS,
        )

    # --- who kills ---

    def blow(self, kills: int) -> None:
        chance = random.Random(f"{self.seed}/killer")
        for worker in range(WORKERS):
            self.start(worker, 0)
        for killed in range(kills):
            time.sleep(chance.uniform(0.001, 0.02))
            worker = chance.randrange(WORKERS)
            self.kill(worker)
            self.start(worker, killed + 1)
            self.weather(killed + 1)
        for worker in range(WORKERS):
            self.kill(worker)

    def weather(self, killed: int) -> None:
        """What else happens after so many kills."""

    def start(self, worker: int, born: int) -> None:
        me = f"{worker}.{born}"
        pid = os.fork()
        if pid == 0:
            try:
                self.live(worker, me, born)
            finally:
                traceback.print_exc()
                os._exit(1)
        self.children[worker] = (pid, me)

    def kill(self, worker: int) -> None:
        pid, me = self.children[worker]
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self.say("died", me)
        if not os.WIFSIGNALED(status):
            self.say("BAD", me, "", f"a worker ended by itself: {status}")

    # --- what is left ---

    def promises(
        self,
    ) -> tuple[dict[tuple[str, int], int | None], Counter[str], set[str], list[Any], Counter[str]]:
        """What the log says must be there: chunks, with their version where that is certain."""
        promised: dict[tuple[str, int], int | None] = {}
        under_way: dict[tuple[str, int], dict[str, int]] = {}
        # Of which version the last one is cannot be told.
        mixed: set[tuple[str, int]] = set()
        removed: Counter[str] = Counter()
        moved: set[str] = set()
        bad: list[Any] = []
        counts: Counter[str] = Counter()
        for line in (self.base / "log").open():
            what, me, *rest = json.loads(line)
            counts[what] += 1
            if what == "send":
                chunk, version = (rest[0], rest[1]), rest[2]
                senders = under_way.setdefault(chunk, {})
                if not senders:
                    mixed.discard(chunk)
                senders[me] = version
                if len(set(senders.values())) > 1:
                    mixed.add(chunk)
                # Replacing a chunk takes back what was said of it.
                if promised.get(chunk, version) != version:
                    del promised[chunk]
            elif what in ("sent", "taken", "refused", "died"):
                for chunk, senders in under_way.items():
                    version = senders.pop(me, None)
                    if what == "sent" and version is not None and not set(senders.values()) - {version}:
                        promised[chunk] = None if chunk in mixed else version
            elif what == "remove":
                removed[rest[0]] += 1
            elif what == "moved":
                moved.add(rest[0])
            elif what == "BAD":
                bad.append([me, *rest])
        return promised, removed, moved, bad, counts

    def check(self) -> tuple[list[Any], dict[str, Any]]:
        promised, removed, moved, bad, counts = self.promises()
        store = self.store()
        keys = sorted({key for key, _ in promised} | moved)
        finished = gone = 0
        for key in keys:
            uid = store.uid_for_key(key)
            try:
                inspection = store.inspect(uid)
            except cu.NotFound:
                if key not in removed:
                    bad.append(["lost", key])
                continue
            if inspection.phase == "gone":
                gone += 1
                continue
            missing = {number for numbers in inspection.missing for number in numbers}
            lost = {number for of, number in promised if of == key} & missing
            if lost and key not in removed:
                bad.append(["lost chunks", key, sorted(lost)])
            try:
                for number in missing:
                    self.send(store, key, number, 0)
                found = versions(key, Path(store.get(uid).path).read_bytes())
            except cu.Error as exc:
                bad.append(["stuck", key, repr(exc)])
                continue
            finished += 1
            if found is None:
                bad.append(["wrong bytes", key])
            if key[-1] in MOVABLE:
                try:
                    store.move_to(uid, self.places[-1] / f"{key}-2")
                    moved.add(key)
                except cu.Gone:
                    gone += 1  # the call that delivered it was killed before it said so
        delivered = self.delivered()
        for key in keys:
            files = delivered.get(key, [])
            # An empty one was right when it was taken.
            wrong = [path for path in files if path.stat().st_size and versions(key, path.read_bytes()) is None]
            bad += [["wrong bytes", str(path)] for path in wrong]
            if len(files) > 1 + removed[key]:
                bad.append(["delivered twice", [str(path) for path in files]])
            if not files and (key in moved or store_says_gone(store, key)):
                bad.append(["gone and nowhere", key])
        cleaned = store.cleanup(0, max_removals=10**6)
        left = set(os.listdir(self.root)) - RECORDS
        left |= {name for place in self.places for name in os.listdir(place) if name.startswith(".")}
        if left or cleaned.failed_count:
            bad.append(["left behind", sorted(left), cleaned.failed_count])
        figures = {"chunks promised": len(promised), "keys": len(keys), "finished": finished, "gone": gone}
        return bad, {**figures, "delivered": sum(map(len, delivered.values())), "log": dict(counts)}

    def delivered(self) -> dict[str, list[Path]]:
        """The files that were delivered for each key, wherever a consumer has put them."""
        found: dict[str, list[Path]] = {}
        for place in self.places:
            for path in [*place.iterdir(), *(place / "taken").iterdir()]:
                if path.name.startswith("key"):
                    found.setdefault(path.name.rpartition("-")[0], []).append(path)
        return found

    def sabotage(self, how: str) -> None:
        """Does by hand what the check must see."""
        for path in [paths[0] for paths in self.delivered().values()] if how == "twice" else []:
            shutil.copy(path, f"{path}@again")
        for inspection in self.store().list():
            directory = self.root / inspection.uid
            if inspection.phase == "gone":
                continue
            if how == "lose":
                for file in directory.iterdir():
                    file.unlink()
                directory.rmdir()
            for name in ("data", "file"):
                if how == "flip" and (directory / name).exists():
                    with (directory / name).open("r+b") as damaged:
                        damaged.write(b"sabotage" * 4)


def store_says_gone(store: cu.Store, key: str) -> bool:
    try:
        return store.inspect(store.uid_for_key(key)).phase == "gone"
    except cu.NotFound:
        return False


def other_file_system(base: Path) -> Path | None:
    for place in map(Path, ("/dev/shm", "/var/tmp")):
        if os.access(place, os.W_OK) and place.stat().st_dev != base.stat().st_dev:
            return Path(tempfile.mkdtemp(dir=place, prefix="storm."))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="an empty directory")
    parser.add_argument("--elsewhere", type=Path, help="another file system; if left out, one is looked for")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--sabotage", choices=["lose", "flip", "twice"], help="do damage that must be noticed")
    arguments = parser.parse_args()
    elsewhere = arguments.elsewhere or other_file_system(arguments.directory)
    if not elsewhere:
        print("no second file system here", file=sys.stderr)
    storm = Storm(arguments.directory, elsewhere, arguments.seed)
    storm.blow(arguments.kills)
    if arguments.sabotage:
        storm.sabotage(arguments.sabotage)
    # Nobody lives who could hold a lock.
    signal.alarm(300)
    bad, figures = storm.check()
    print(json.dumps({"seed": arguments.seed, "kills": arguments.kills, "bad": len(bad), **figures}))
    for problem in bad[:20]:
        print(problem)
    if elsewhere and not arguments.elsewhere and not bad:
        shutil.rmtree(elsewhere)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
