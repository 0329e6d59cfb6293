"""The stages of a long command on standard error: bars on a terminal with `rich`, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mindport.extras import available, need

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Stages"]

_PLAIN_EVERY_S = 10.0


class Stages:
    """Shows one stage after another, each with its progress and, at its end, what came of it.

    Args:
        style: ``"bars"`` (needs `rich`), ``"lines"`` or ``"none"``; by default bars on a terminal where `rich` is
            installed, lines elsewhere.
        clock: seconds that never go back.
    """

    def __init__(self, style: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.style = style or ("bars" if sys.stderr.isatty() and available("rich") else "lines")
        self._clock = clock
        self._title, self._total, self._done = "", 0, 0
        self._started_s = self._next_s = 0.0
        self._bars: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self.style == "bars":
            progress = need("rich.progress", "progress bars")
            self._bars = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=24),
                progress.TextColumn("{task.fields[count]}"),
                progress.TimeElapsedColumn(),
                progress.TextColumn("{task.fields[note]}"),
                console=need("rich.console").Console(stderr=True),
            )
            self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def start(self, title: str, total: int = 0) -> None:
        """Begins a stage. `total` is the number of its parts; 0 while that is unknown."""
        self._title, self._total, self._done = title, total, 0
        self._started_s = self._clock()
        self._next_s = self._started_s + _PLAIN_EVERY_S
        if self._bars is not None:
            self._task = self._bars.add_task(title, total=total or None, count="", note="")
        elif self.style == "lines":
            click.echo(f"{title} ...", err=True)

    def update(self, done: int, note: str = "", *, total: int | None = None) -> None:
        """Says how far the stage is; on a plain stream a line appears every ten seconds at most."""
        self._done = done
        self._total = self._total if total is None else total
        if self._bars is not None:
            self._bars.update(self._task, completed=done, total=self._total or None, count=self._count(), note=note)
        elif self.style == "lines" and self._clock() >= self._next_s:
            self._next_s = self._clock() + _PLAIN_EVERY_S
            click.echo("  " + "  ".join(text for text in (self._count(), note) if text), err=True)

    def finish(self, note: str = "", *, complete: bool = True) -> float:
        """Ends the stage with a remark and returns its duration in seconds; `complete` fills the bar."""
        seconds = self._clock() - self._started_s
        if self._bars is not None:
            end = max(self._total, 1)
            done = end if complete else self._done
            self._bars.update(self._task, completed=done, total=end, count=self._count(), note=note)
            self._bars.stop_task(self._task)
        elif self.style == "lines":
            click.echo(f"  {note + ', ' if note else ''}{seconds:.1f} s", err=True)
        return seconds

    def _count(self) -> str:
        return f"{self._done}/{self._total}" if self._total else ""
