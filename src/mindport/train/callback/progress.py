"""`ProgressBar`: a bar on a terminal when `rich` is installed, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from mindport.errors import UsageError
from mindport.extras import available, need
from mindport.train.callback.base import Callback, RunContext
from mindport.train.callback.monitor import loss_of, step_in_epoch

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """Shows epoch, step, loss and the time left on the standard error stream.

    Args:
        every_s: seconds between two lines where no bar can be drawn.
        interactive: draw a bar; by default when the stream is a terminal and `rich` is installed.

    Raises:
        UsageError: `every_s` is not positive.
        MissingExtra: a bar is asked for and `rich` is not installed.
    """

    def __init__(self, *, every_s: float = 10.0, interactive: bool | None = None) -> None:
        if every_s <= 0:
            raise UsageError(f"every_s must be positive, not {every_s}")
        self._every_s = every_s
        self._interactive = interactive
        self._bar: Any = None
        self._task: Any = None
        self._next_s = 0.0
        self._run: Any = None

    def begin(self, run_context: RunContext) -> None:
        """Draws the bar."""
        args = run_context.original_args()
        if self._run is not None:  # an evaluation within the run
            return
        self._run = args
        wanted = self._interactive
        if wanted is None:
            wanted = sys.stderr.isatty() and available("rich")
        self._next_s = time.monotonic() + self._every_s
        if not wanted:
            return
        progress = need("rich.progress", "a progress bar")
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=need("rich.console").Console(stderr=True),
        )
        total = args.batch_num * args.epoch_num if args.batch_num and args.epoch_num else None
        self._task = self._bar.add_task("training", total=total, completed=args.cur_step_num or 0)
        self._bar.start()

    def step_end(self, run_context: RunContext) -> None:
        """Moves the bar, or writes a line when it is time."""
        args = run_context.original_args()
        if self._run is not None and args is not self._run:
            return
        if self._bar is None and time.monotonic() < self._next_s:
            return
        loss = loss_of(args.net_outputs)
        text = f"epoch {args.cur_epoch_num}/{args.epoch_num}" + ("" if loss is None else f"  loss {loss:.4f}")
        if self._bar is not None:
            self._bar.update(self._task, completed=args.cur_step_num, description=text)
            return
        self._next_s = time.monotonic() + self._every_s
        of = f"/{args.batch_num}" if args.batch_num else ""
        sys.stderr.write(f"{text}  step {step_in_epoch(args)}{of}\n")
        sys.stderr.flush()

    def __exit__(self, *exc: object) -> None:
        """Puts the terminal in order, also after an error."""
        self._run = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
