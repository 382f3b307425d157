"""A storm of kills: processes send, replace, get, check, move and remove at random while they are killed.

    python storm.py --seed 1 --kills 1000 DIRECTORY [--elsewhere DIRECTORY]

Each process writes down what it begins and what it is answered. At the end that is held against what is on the disk:
every acknowledged chunk is there, every file is right, no upload is stuck, and a cleanup finds all the rest. The seed
decides what is tried and whom the kills hit; at which instant is up to the machine.
"""

import argparse
import errno
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import chunked_upload as cu

Level = Literal["process", "complete", "chunk"]

CHUNKS = 8
WORKERS = 6
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
        self.base, self.seed = base, seed
        self.places = [base / "moved", *([elsewhere] if elsewhere else [])]
        for place in self.places:
            place.mkdir(parents=True, exist_ok=True)
        self.log = os.open(base / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def say(self, *what: Any) -> None:
        """One write to a file opened for appending: lines of several processes keep their order.

        A process that is killed in a write may have written up to the end of a page. So no line lies in two pages.
        """
        line = json.dumps(what)
        length = (len(line) // LINE + 1) * LINE
        os.write(self.log, f"{line:<{length - 1}}\n".encode())

    def store(self, durability: Level = "process") -> cu.Store:
        return cu.Store(self.base / "store", max_store_size=1 << 30, min_free_space=0, durability=durability)

    # --- what is killed ---

    def work(self, me: str, keys: int) -> None:
        chance = random.Random(f"{self.seed}/{me}")
        store = self.store(chance.choice(LEVELS) if chance.random() < 0.3 else "process")
        while True:
            key = f"key of the upload {keys + chance.randrange(KEYS_AT_ONCE):06d}"
            try:
                self.act(me, store, key, chance)
            except (cu.NotFound, cu.Gone, cu.Incomplete, cu.Conflict) as exc:
                self.say("refused", me, key, exc.name)
            except cu.Io as exc:
                self.say("refused" if exc.errno == errno.EEXIST else "BAD", me, key, repr(exc))
            except cu.Error as exc:
                self.say("BAD", me, key, repr(exc))

    def act(self, me: str, store: cu.Store, key: str, chance: random.Random) -> None:
        action = chance.random()
        if action < 0.75:
            number, version = chance.randrange(CHUNKS), int(chance.random() < 0.15)
            self.say("send", me, key, number, version)
            self.send(store, key, number, version)
            self.say("sent", me, key, number, version)
            return
        uid = store.uid_for_key(key)
        if action < 0.83:
            path = store.get(uid).path
            try:
                whole = Path(path).read_bytes()
            except FileNotFoundError:
                return  # moved or removed by another
            if versions(key, whole) is None:
                self.say("BAD", me, key, "wrong bytes")
        elif action < 0.88:
            store.inspect(uid)
        elif action < 0.91:
            if damaged := store.verify(uid).damaged_count:
                self.say("BAD", me, key, f"{damaged} damaged chunks")
        elif action < 0.96 and key[-1] in MOVABLE:
            destination = chance.choice(self.places) / f"{key}-{chance.randrange(2)}"
            store.move_to(uid, destination)
            self.say("moved", me, key, str(destination))
        elif action < 0.98 and key[-1] in REMOVABLE:
            self.say("remove", me, key)
            store.remove(uid)
        elif action < 0.99:
            store.cleanup(3600)
        else:
            list(store.list())

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
        children: dict[int, tuple[int, str]] = {}

        def start(worker: int, born: int) -> None:
            me = f"{worker}.{born}"
            pid = os.fork()
            if pid == 0:
                # New uploads all the time: old ones have been moved and removed.
                self.work(me, born // 60 * 10)
            children[worker] = (pid, me)

        def kill(worker: int) -> None:
            pid, me = children[worker]
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            self.say("died", me)
            if not os.WIFSIGNALED(status):
                self.say("BAD", me, "", f"a worker ended by itself: {status}")

        chance = random.Random(f"{self.seed}/killer")
        for worker in range(WORKERS):
            start(worker, 0)
        for killed in range(kills):
            time.sleep(chance.uniform(0.001, 0.02))
            worker = chance.randrange(WORKERS)
            kill(worker)
            start(worker, killed + 1)
        for worker in range(WORKERS):
            kill(worker)

    # --- what is left ---

    def promises(
        self,
    ) -> tuple[dict[tuple[str, int], int | None], set[str], dict[str, set[str]], list[Any], Counter[str]]:
        """What the log says must be there: chunks, with their version where that is certain."""
        promised: dict[tuple[str, int], int | None] = {}
        under_way: dict[tuple[str, int], dict[str, int]] = {}
        # Of which version the last one is cannot be told.
        mixed: set[tuple[str, int]] = set()
        removed: set[str] = set()
        moved: dict[str, set[str]] = {}
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
            elif what in ("sent", "refused", "died"):
                for chunk, senders in under_way.items():
                    version = senders.pop(me, None)
                    if what == "sent" and version is not None and not set(senders.values()) - {version}:
                        promised[chunk] = None if chunk in mixed else version
            elif what == "remove":
                removed.add(rest[0])
            elif what == "moved":
                moved.setdefault(rest[0], set()).add(rest[1])
            elif what == "BAD":
                bad.append([me, *rest])
        return promised, removed, moved, bad, counts

    def check(self) -> tuple[list[Any], dict[str, Any]]:
        promised, removed, moved, bad, counts = self.promises()
        store = self.store()
        keys = sorted({key for key, _ in promised} | set(moved))
        finished = gone = 0
        for key in keys:
            files = [path for place in self.places for path in place.glob(f"{key}-*")]
            bad += [["wrong bytes", str(path)] for path in files if versions(key, path.read_bytes()) is None]
            bad += [["moved and not there", path] for path in moved.get(key, ()) if not os.path.exists(path)]
            uid = store.uid_for_key(key)
            try:
                inspection = store.inspect(uid)
            except cu.NotFound:
                if key not in removed:
                    bad.append(["lost", key])
                continue
            if inspection.phase == "gone":
                gone += 1
                if not files:
                    bad.append(["gone and nowhere", key])
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
        cleaned = store.cleanup(0, limit=10**6)
        left = set(os.listdir(self.base / "store")) - RECORDS
        left |= {name for place in self.places for name in os.listdir(place) if name.startswith(".")}
        if left or cleaned.failed_count:
            bad.append(["left behind", sorted(left), cleaned.failed_count])
        figures = {"chunks promised": len(promised), "keys": len(keys), "finished": finished, "gone": gone}
        return bad, {**figures, "log": dict(counts)}

    def sabotage(self, how: str) -> None:
        """Does by hand what the check must see."""
        for inspection in self.store().list():
            directory = self.base / "store" / inspection.uid
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="an empty directory")
    parser.add_argument("--elsewhere", type=Path, help="one on another file system, to move files to")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--sabotage", choices=["lose", "flip"], help="damage the store, to see that it is noticed")
    arguments = parser.parse_args()
    storm = Storm(arguments.directory, arguments.elsewhere, arguments.seed)
    storm.blow(arguments.kills)
    if arguments.sabotage:
        storm.sabotage(arguments.sabotage)
    # Nobody lives who could hold a lock.
    signal.alarm(300)
    bad, figures = storm.check()
    print(json.dumps({"seed": arguments.seed, "kills": arguments.kills, "bad": len(bad), **figures}))
    for problem in bad[:20]:
        print(problem)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
