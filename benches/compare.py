"""Runs a bench of two revisions alternately and prints their figures side by side, with the ratios.

    python3 benches/compare.py BASE [--bench receive] [--runs 3]

BASE is built in a git worktree under build/bench, with the benches of this working tree, so that both engines are
measured in the same way. Each run is a whole bench with few rounds; the medians of neighbouring runs are compared. From
Python nothing is measured at BASE: that would take a wheel.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
BASE = HERE / "build/bench/base"


def run(*command: str | Path, **more) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def check_out(revision: str) -> str:
    """Makes the worktree what that revision is, but for the benches."""
    commit = run("git", "rev-parse", "--verify", f"{revision}^{{commit}}", cwd=HERE).strip()
    if BASE.exists():
        run("git", "-C", BASE, "reset", "--quiet", "--hard")
        run("git", "-C", BASE, "checkout", "--quiet", "--detach", commit)
    else:
        run("git", "worktree", "add", "--quiet", "--force", "--detach", BASE, commit, cwd=HERE)
    shutil.rmtree(BASE / "benches", ignore_errors=True)
    shutil.copytree(HERE / "benches", BASE / "benches", ignore=shutil.ignore_patterns("__pycache__"))
    (BASE / "tests/common").mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "tests/common/child.rs", BASE / "tests/common/child.rs")
    manifest = (BASE / "Cargo.toml").read_text()
    benches = r"\n\[\[bench\]\]\n(?:\w[^\n]*\n)+"
    ours = re.findall(benches, (HERE / "Cargo.toml").read_text())
    (BASE / "Cargo.toml").write_text(re.sub(benches, "", manifest) + "".join(ours))
    return commit[:10]


def build(tree: Path, bench: str) -> Path:
    """The bench's executable, beside the C library that it links its C programs with."""
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    cargo = os.environ.get("CARGO", "cargo")
    run(cargo, "build", "--release", "--locked", cwd=tree, env=environment)
    command = [cargo, "bench", "--locked", "-p", "chunked-upload", "--bench", bench, "--no-run"]
    messages = run(*command, "--message-format=json", cwd=tree, env=environment).splitlines()
    found = [message for line in messages if (message := json.loads(line)).get("executable")]
    return Path(next(each["executable"] for each in found if each["target"]["name"] == bench))


def figures(tree: Path, executable: Path, bench: str) -> dict[tuple[str, ...], dict]:
    """What one run measures, by what was tried and measured."""
    environment = {name: value for name, value in os.environ.items() if name != "UPLOAD_SKIP_NOTHING"}
    run(executable, cwd=tree, env={"ROUNDS": "3"} | environment)
    smoke = os.environ.get("BENCH_SMOKE", "") not in ("", "0")
    report = json.loads((tree / "build/bench" / ("smoke" if smoke else "") / f"{bench}.json").read_text())
    found = {}
    for row in report["rows"]:
        place = row["tried"].pop("file system")
        for name, figure in row["measured"].items():
            found[(place, *row["tried"].values(), name)] = figure
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument("--bench", default="receive")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()

    commit = check_out(options.base)
    trees = (BASE, HERE)
    executables = [build(tree, options.bench) for tree in trees]
    runs: list[list[dict]] = [[], []]
    for number in range(options.runs):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            print(f"run {number + 1} of {options.runs}: {(commit, 'here')[which]}", file=sys.stderr)
            runs[which].append(figures(trees[which], executables[which], options.bench))

    rows = [row for row in runs[1][0] if row in runs[0][0]]
    width = max(len(" · ".join(row)) for row in rows)
    print(f"{'':{width}} {'unit':>8} {commit:>12} {'here':>12} {'ratio':>7}  [least, most]")
    for row in rows:
        before, after = ([run[row]["median"] for run in side] for side in runs)
        ratios = [new / old for old, new in zip(before, after, strict=True) if old]
        medians = f"{statistics.median(before):12.4g} {statistics.median(after):12.4g}"
        shown = f"{statistics.median(ratios):7.3f}  [{min(ratios):.3f}, {max(ratios):.3f}]" if ratios else ""
        print(f"{' · '.join(row):{width}} {runs[0][0][row]['unit']:>8} {medians} {shown}")


if __name__ == "__main__":
    main()
