"""The processes that `mindport demo` starts: they run the functions of `examples/save_models.py` and report.

Each report is one line on standard output: a record separator (0x1E), then a JSON object. All other lines are what the
tutorial's own callbacks print. Run as `python -m mindport.cli.demo_worker EXAMPLES STAGE OPTIONS`, OPTIONS being JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mindport.errors import CheckFailed, MindportError
from mindport.events import Event, Restored, Saved, Skipped, subscribe
from mindport.train.callback import Callback, RunContext

__all__ = ["MARK", "Reporter", "decode", "kill_step", "tell"]

MARK = "\x1e"
HOLD_S = 120.0


def tell(kind: str, **values: Any) -> None:
    """Reports one event to the process that started this one."""
    sys.stdout.write(f"{MARK}{json.dumps({'event': kind, **values})}\n")
    sys.stdout.flush()


def decode(line: str) -> dict[str, Any] | None:
    """Returns the event in a line of output, None for a line of ordinary text."""
    if not line.startswith(MARK):
        return None
    event: dict[str, Any] = json.loads(line[len(MARK) :])
    return event


def kill_step(batches: int, epochs: int, every: int = 32, past: int = 5) -> int:
    """Returns the step (from 1, over all epochs) after which the training is to be killed.

    It is `past` steps after a checkpoint, with both of them in the middle of an epoch, and as near as can be to two
    thirds of the run. 0 if the run is too short for that.
    """
    total = batches * epochs
    fits = [
        saved + past
        for saved in range(every, total - past, every)
        if saved % batches and 1 < (saved + past) % batches < batches - 1
    ]
    return min(fits, key=lambda step: abs(3 * step - 2 * total), default=0)


class Reporter(Callback):
    """Reports each step; stands after `ModelCheckpoint`, so that the step's checkpoint is on disk by then.

    Args:
        to_be_killed: hold still at `kill_step`, so that the kill always comes at the same place.
        hold_s: how long to wait for it.
    """

    def __init__(self, *, to_be_killed: bool = False, hold_s: float = HOLD_S) -> None:
        self._to_be_killed = to_be_killed
        self._hold_s = hold_s
        self._last = 0

    def begin(self, run_context: RunContext) -> None:
        """Reports where the run begins and how long it is."""
        args = run_context.original_args()
        if self._to_be_killed:
            self._last = kill_step(args.batch_num, args.epoch_num)
        tell("begin", done=args.cur_step_num, total=args.batch_num * args.epoch_num, batches=args.batch_num)

    def step_end(self, run_context: RunContext) -> None:
        """Reports the step and, at the chosen one, waits for the kill.

        Raises:
            CheckFailed: it did not come.
        """
        args = run_context.original_args()
        place = {"epoch": args.cur_epoch_num, "step": args.cur_step_in_epoch, "done": args.cur_step_num}
        tell("step", **place, loss=float(args.net_outputs))
        if self._to_be_killed and args.cur_step_num == self._last:
            tell("ready", **place, batches=args.batch_num)
            time.sleep(self._hold_s)
            raise CheckFailed(f"the training was to be killed and was not, within {self._hold_s:g} s")


def _report_event(event: Event) -> None:
    name = Path(event.path).name
    if isinstance(event, Saved):
        tell("saved", file=name, nbytes=event.nbytes, ms=event.total_ms)
    elif isinstance(event, Restored):
        tell("restored", file=name, epoch=event.epoch, step=event.step)
    elif isinstance(event, Skipped):
        tell("skipped", file=name, reason=event.reason)


def train(tutorial: Any, options: dict[str, Any]) -> None:
    """Trains, and reports the hash of the final state and the accuracy."""
    network, state_hash = tutorial.train(
        options["network"],
        Path(options["directory"]),
        options["epochs"],
        resume=options.get("resume", False),
        callbacks=[Reporter(to_be_killed=options.get("to_be_killed", False))],
    )
    tell("trained", hash=state_hash, accuracy=tutorial.accuracy(options["network"], network))


def prove(tutorial: Any, options: dict[str, Any]) -> None:
    """Loads the newest checkpoint into a fresh network, reports its accuracy, exports it and proves the files."""
    name = options["network"]
    file = tutorial.newest_checkpoint(Path(options["directory"]))
    network = tutorial.restore(name, file)
    tell("loaded", file=file.name, nbytes=file.stat().st_size, accuracy=tutorial.accuracy(name, network))
    for file_format in options["formats"]:
        tell("exporting", format=file_format)
        report, verification = tutorial.export_and_prove(name, network, file_format, Path(options["out"]))
        tell("exported", report=report.to_dict(), verification=verification.to_dict())


STAGES: dict[str, Callable[[Any, dict[str, Any]], None]] = {"train": train, "prove": prove}


def main(examples: str, stage: str, options: str) -> int:
    """Runs one stage; an error that mindport raises on purpose is reported like everything else."""
    sys.path.insert(0, examples)
    unsubscribe = subscribe(_report_event)
    try:
        STAGES[stage](importlib.import_module("save_models"), json.loads(options))
    except MindportError as exc:
        tell("error", id=exc.id, message=str(exc))
        return exc.exit_code
    finally:
        unsubscribe()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
