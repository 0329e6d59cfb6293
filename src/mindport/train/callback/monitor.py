"""`LossMonitor` and `TimeMonitor`: what training looks like, one line at a time."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from mindport.errors import CheckFailed, UsageError, WrongTypeError
from mindport.train.callback.base import Callback, RunContext, RunParameters

__all__ = ["LossMonitor", "TimeMonitor", "loss_of", "say", "step_in_epoch"]


def say(line: str) -> None:
    """Writes one line to the standard output, which is what these two callbacks are for."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def loss_of(outputs: Any) -> float | None:
    """Returns the loss in a step's outputs: a number, an array or tensor (its mean), or the first part of a tuple."""
    if isinstance(outputs, (tuple, list)):
        outputs = outputs[0] if outputs else None
    if outputs is None:
        return None
    if hasattr(outputs, "detach"):
        outputs = outputs.detach().float().mean()
    elif hasattr(outputs, "mean"):
        outputs = outputs.mean()
    return float(outputs)


def step_in_epoch(args: RunParameters) -> int:
    """Returns the step inside the epoch, from 1."""
    if args.cur_step_in_epoch is not None:
        return int(args.cur_step_in_epoch)
    return (args.cur_step_num - 1) % args.batch_num + 1 if args.batch_num else int(args.cur_step_num)


class LossMonitor(Callback):
    """Prints the loss every `per_print_times` steps; ends training with an error at the first that is no number.

    Args:
        per_print_times: steps between two lines; 0 prints nothing.

    Raises:
        WrongTypeError, UsageError: `per_print_times` is no integer, or negative.
    """

    def __init__(self, per_print_times: int = 1) -> None:
        if isinstance(per_print_times, bool) or not isinstance(per_print_times, int):
            raise WrongTypeError(f"per_print_times must be an int, not {type(per_print_times).__name__}")
        if per_print_times < 0:
            raise UsageError(f"per_print_times must be 0 or more, not {per_print_times}")
        self._per_print_times = per_print_times
        self._last_print = 0

    def step_end(self, run_context: RunContext) -> None:
        """Looks at the loss of every step, and prints one line when it is time.

        Raises:
            CheckFailed: the loss is infinite or not a number.
        """
        args = run_context.original_args()
        if args.mode == "eval":  # what the network gives there is no loss
            return
        loss = loss_of(args.net_outputs)
        if loss is None:
            return
        where = f"epoch: {args.cur_epoch_num} step: {step_in_epoch(args)}"
        if not math.isfinite(loss):
            raise CheckFailed(f"{where}: the loss is {loss}; training has diverged")
        since = args.cur_step_num - self._last_print
        if self._per_print_times and (since >= self._per_print_times or since < 0):  # below 0: another run began
            self._last_print = args.cur_step_num
            say(f"{where}, loss is {loss}")


class TimeMonitor(Callback):
    """Prints how long each epoch took, and each step on average, in milliseconds.

    Args:
        data_size: steps an epoch has; taken from the dataset by default.

    Raises:
        WrongTypeError, UsageError: `data_size` is no integer, or not positive.
    """

    def __init__(self, data_size: int | None = None) -> None:
        if data_size is not None and (isinstance(data_size, bool) or not isinstance(data_size, int)):
            raise WrongTypeError(f"data_size must be an int, not {type(data_size).__name__}")
        if data_size is not None and data_size < 1:
            raise UsageError(f"data_size must be positive, not {data_size}")
        self.data_size = data_size
        self._started_s = time.perf_counter()
        self._first_step = 0

    def epoch_begin(self, run_context: RunContext) -> None:
        """Starts the clock."""
        self._started_s = time.perf_counter()
        self._first_step = run_context.original_args().cur_step_num or 0

    def epoch_end(self, run_context: RunContext) -> None:
        """Prints one line."""
        args = run_context.original_args()
        epoch_ms = (time.perf_counter() - self._started_s) * 1000
        steps = self.data_size or (args.cur_step_num or 0) - self._first_step or args.batch_num or 1
        say(f"epoch time: {epoch_ms:5.3f} ms, per step time: {epoch_ms / steps:5.3f} ms")
