"""A progress bar on a terminal, a line per quarter elsewhere."""

import sys
from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar


class Progress:
    def __init__(self, total: int) -> None:
        self.total, self.done, self.quarters = total, 0, 0
        columns = (TextColumn("sending "), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self.bar = Bar(*columns) if sys.stdout.isatty() else None
        self.task = self.bar.add_task("sending", total=total) if self.bar else None

    def __enter__(self) -> "Progress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def advance(self, size: int) -> None:
        self.done += size
        if self.bar and self.task is not None:
            self.bar.update(self.task, advance=size)
        elif self.total and self.done * 4 // self.total > self.quarters:
            self.quarters = self.done * 4 // self.total
            print(f"sending  {self.quarters * 25} %", flush=True)
