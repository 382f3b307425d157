"""What was measured, as a table of medians and of the ratios within the rounds."""

from statistics import median
from typing import Any

WALL, CPU, PEAK = "seconds_per_gib", "cpu_seconds_per_gib", "peak_memory"


def of(result: dict[str, Any]) -> str:
    """The ratios are to the first row, round by round: the median, and the smallest and largest in brackets."""
    rows: dict[str, list[dict[str, float]]] = result["rows"]
    ours = next(iter(rows.values()))
    width = max(map(len, rows))
    lines = [
        "",
        f"{result['scenario']}; medians of {len(ours)} rounds, per GiB",
        f"{'':{width}}  {'wall s':>7} {'ratio':>18}  {'CPU s':>6} {'ratio':>18}  {'peak MiB':>8}",
    ]
    for label, rounds in rows.items():
        wall, cpu, peak = (median(one[what] for one in rounds) for what in (WALL, CPU, PEAK))
        lines.append(
            f"{label:{width}}  {wall:7.2f} {_spread(ratios(rounds, ours, WALL)):>18}  "
            f"{cpu:6.2f} {_spread(ratios(rounds, ours, CPU)):>18}  {peak / (1 << 20):8.0f}"
        )
    # One round, of a few MiB at that, says nothing.
    for label in result["tus"] if len(ours) > 1 else []:
        for what, name in ((WALL, "wall"), (CPU, "CPU")):
            ratio = median(ratios(rows[label], ours, what))
            if ratio <= 1:
                lines.append(f"NOT AHEAD in {name} of {label}: {ratio:.2f}")
    return "\n".join(lines)


def ratios(rounds: list[dict[str, float]], ours: list[dict[str, float]], what: str) -> list[float]:
    # A few MiB take less CPU time than the kernel's clock tells apart.
    return [one[what] / own[what] if own[what] else float("nan") for one, own in zip(rounds, ours, strict=True)]


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
