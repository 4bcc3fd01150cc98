"""Progress of a long stage on stderr: a bar with the time left on a terminal, plain lines in a pipe."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 5.0


class StageProgress:
    """Reports how far a stage is.

    Args:
        title: What is counted, for example ``training``.
        total: Number of units.
        done: Units that are already done.
    """

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._first = title, total, done
        self._started = self._spoken = time.monotonic()
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task(title, total=total, completed=done, note="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, done: int, note: str = "") -> None:
        """Say that ``done`` units are done."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if done == self._total or now - self._spoken >= _SECONDS_BETWEEN_LINES:
            self._spoken = now
            left = (now - self._started) / max(1, done - self._first) * (self._total - done)
            self.say(f"{self._title} {done}/{self._total}, {left:.0f} s left{', ' + note if note else ''}")

    def say(self, sentence: str) -> None:
        """Write one line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(sentence)
        else:
            sys.stderr.write(f"{sentence}\n")
            sys.stderr.flush()


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
