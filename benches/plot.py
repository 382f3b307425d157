"""Draws what the benches measured: docs/performance/*.svg from build/bench/*.json, of what is there."""

import json
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same figures give the same file, with text that can be searched.
matplotlib.rcParams |= {"svg.hashsalt": "chunked-upload", "svg.fonttype": "none", "font.size": 10}

import matplotlib.pyplot as plt  # noqa: E402

HERE = Path(__file__).resolve().parent.parent
FIGURES = HERE / "build/bench"
PLOTS = HERE / "docs/performance"
WIDTH, HEIGHT = 5, 3.4


def rows(bench: str) -> list[dict]:
    path = FIGURES / f"{bench}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def flat(bench: str) -> list[dict]:
    """What was tried and what was measured, in one."""
    return [row["tried"] | row["measured"] for row in rows(bench)]


def by(key: str, found: list[dict]) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for row in found:
        groups.setdefault(row[key], []).append(row)
    return groups


def panels(titles: list[str]) -> tuple:
    figure, axes = plt.subplots(1, len(titles), figsize=(WIDTH * len(titles), HEIGHT), squeeze=False)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def save(figure, name: str) -> None:
    PLOTS.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    path = PLOTS / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # matplotlib ends lines with blanks.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
    print(path.relative_to(HERE))


def bars(axis, groups: dict[str, list[tuple[str, dict]]]) -> None:
    """A cluster of bars for each label, a bar in it for each group, with the quartiles of its rounds."""
    labels = list(dict.fromkeys(label for group in groups.values() for label, _ in group))
    width = 0.8 / len(groups)
    for number, (group, entries) in enumerate(groups.items()):
        places = [labels.index(label) + (number - (len(groups) - 1) / 2) * width for label, _ in entries]
        heights = [figure["median"] for _, figure in entries]
        spread = [
            [figure["median"] - figure["q1"] for _, figure in entries],
            [figure["q3"] - figure["median"] for _, figure in entries],
        ]
        drawn = axis.bar(places, heights, width * 0.92, label=group, yerr=spread, error_kw={"alpha": 0.5})
        axis.bar_label(drawn, fmt=lambda height: f"{height:.2f}", padding=2, fontsize=6.5)
    axis.set_xticks(range(len(labels)), labels)
    axis.legend(frameon=False, fontsize=8)


def line(axis, found: list[dict], x: list[float], figure: str, label: str) -> None:
    medians = [row[figure]["median"] for row in found]
    drawn = axis.plot(x, medians, marker="o", label=label)
    low, high = ([row[figure][edge] for row in found] for edge in ("q1", "q3"))
    axis.fill_between(x, low, high, alpha=0.2, color=drawn[0].get_color())


def receive() -> None:
    usual = {"order": "in order", "level": "process", "checksum": "none"}
    found = [row for row in flat("receive") if "ratio" in row and row.items() >= usual.items()]
    if not found:
        return
    systems = by("file system", found)
    figure, axes = panels([f"receive + get, {name}" for name in systems])
    for axis, system in zip(axes, systems.values(), strict=True):
        languages = by("from", system)
        bars(axis, {name: [(row["chunk"], row["ratio"]) for row in group] for name, group in languages.items()})
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_ylabel("time, plain writes = 1")
        axis.set_xlabel("chunk")
    save(figure, "receive")


def get() -> None:
    found = flat("get")
    if not found:
        return
    figure, axes = panels(["get by size, in 64 chunks", "get by number of chunks, of 8 bytes"])
    labels: dict[int, str] = {}
    for name, system in by("file system", found).items():
        by_size = [row for row in system if row["chunks"] == "64"]
        by_count = [row for row in system if row["chunks"] != "64"]
        units = {"MiB": 1, "GiB": 1024}
        sizes = [int(row["size"].split()[0]) * units[row["size"].split()[1]] for row in by_size]
        labels |= {size: row["size"] for size, row in zip(sizes, by_size, strict=True)}
        counts = [int(row["chunks"]) for row in by_count]
        for axis, some, x in ((axes[0], by_size, sizes), (axes[1], by_count, counts)):
            line(axis, some, x, "first", f"first, {name}")
            line(axis, some, x, "later", f"later, {name}")
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks(list(labels), list(labels.values()), rotation=15)
    axes[0].set_ylim(bottom=0, top=axes[0].get_ylim()[1] * 1.4)
    axes[1].set_xscale("log")
    axes[1].set_yscale("log")
    axes[1].set_ylim(top=axes[1].get_ylim()[1] * 4)
    axes[1].set_xlabel("chunks")
    for axis in axes:
        axis.set_ylabel("µs")
        axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    save(figure, "get")


def parallel() -> None:
    found = flat("parallel")
    if not found:
        return
    systems = by("file system", found)
    figure, axes = panels([f"several senders, {name}" for name in systems])
    for axis, system in zip(axes, systems.values(), strict=True):
        kinds = {"one": "one upload", "one each": "uploads of their own", "plain writes": "plain writes into one file"}
        for row in system:
            row["count"], row["who"] = row["senders"].split()
            row["series"] = f"{row['who']}, {kinds[row['uploads']]}"
        for series, group in by("series", system).items():
            line(axis, group, [int(row["count"]) for row in group], "to one sender", series)
        axis.set_xscale("log", base=2)
        axis.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
        axis.set_ylim(bottom=0)
        axis.set_xlabel("senders")
        axis.set_ylabel("time, one sender = 1")
        axis.legend(frameon=False, fontsize=8)
    save(figure, "parallel")


def small() -> None:
    found = flat("small")
    if not found:
        return
    figure, axes = panels(["an upload of 4 KiB, from C"])
    in_c = [row for row in found if row["from"] == "C"] or found
    names = {"bare calls": "bare system calls", "upload + get": "upload + get"}
    bars(axes[0], {label: [(row["file system"], row[name]) for row in in_c] for name, label in names.items()})
    axes[0].set_ylabel("µs")
    save(figure, "small")


def http() -> None:
    """Of the servers with one connection to a file: horizontal bars, as their names are long."""
    path = FIGURES / "http.json"
    if not path.exists():
        return
    scenario = json.loads(path.read_text())["scenarios"][0]
    servers = {name: tries for name, tries in scenario["rows"].items() if "connections" not in name}
    measures = {"seconds_per_gib": "seconds", "cpu_seconds_per_gib": "processor seconds of the server"}
    figure, axes = plt.subplots(1, 2, figsize=(2 * WIDTH, HEIGHT), sharey=True)
    figure.suptitle(f"{scenario['scenario']} over HTTP, per GiB")
    for axis, (measure, label) in zip(axes, measures.items(), strict=True):
        medians = [statistics.median(one[measure] for one in tries) for tries in servers.values()]
        colours = ["tab:blue" if "chunked-upload" in name else "tab:gray" for name in servers]
        drawn = axis.barh(list(servers), medians, color=colours)
        axis.bar_label(drawn, fmt=lambda length: f"{length:.2f}", padding=2, fontsize=8)
        axis.set_xlabel(label)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    axes[0].tick_params(axis="y", labelsize=8)
    save(figure, "http")


if __name__ == "__main__":
    for draw in (receive, get, parallel, small, http):
        draw()
