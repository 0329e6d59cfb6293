"""`Callback`, what it is told (`RunContext`), and the list that calls several in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mindport.errors import WrongTypeError

__all__ = ["Callback", "CallbackList", "RunContext", "RunParameters"]


class RunParameters(dict[str, Any]):
    """What a run tells its callbacks, read as attributes or as keys; a field that is not set reads as None.

    Fields: `network`, `train_network`, `loss_fn`, `optimizer`, `scheduler`, `scaler`, `metrics` (values of the last
    evaluation), `mode` ("train" or "eval"), `train_dataset`, `list_callback`, `epoch_num` (the last epoch),
    `cur_epoch_num` (from 1), `cur_step_num` (steps since training began, from 1), `cur_step_in_epoch` (from 1),
    `batch_num` (batches an epoch has, None when unknown), `net_outputs` (the loss of the step), `dataset_sink_mode`,
    `parallel_mode`, `device_number`.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class RunContext:
    """What a callback's methods are called with.

    Args:
        original_args: the run's parameters.

    Raises:
        WrongTypeError: `original_args` is no `RunParameters`.
    """

    def __init__(self, original_args: RunParameters) -> None:
        if not isinstance(original_args, RunParameters):
            raise WrongTypeError(f"original_args must be RunParameters, not {type(original_args).__name__}")
        self._original_args = original_args
        self._stop = False

    def original_args(self) -> RunParameters:
        """Returns the parameters of the run."""
        return self._original_args

    def request_stop(self) -> None:
        """Asks the run to end after this step, as if it were the last one."""
        self._stop = True

    def get_stop_requested(self) -> bool:
        """True if some callback asked the run to end."""
        return self._stop


class Callback:
    """Base of all callbacks; override what you need.

    Train order: `begin`, then for each epoch `epoch_begin`, (`step_begin`, `step_end`) for each step, `epoch_end`, and
    `end` when training ends normally. The `on_train_...` and `on_eval_...` names of later MindSpore releases call
    these unless overridden. A callback that also has `state_dict()` and `load_state_dict(state)` gets its state saved
    in checkpoints and back on resume. As a context manager it wraps the whole run; an evaluation with the same callback
    inside that run does not end it.

    A run that goes on calls `begin` and `epoch_begin` again, so what lives in memory can be made there. What they
    change in network, optimizer, scheduler or a callback's own state is put back to what the checkpoint holds.
    """

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> Any:
        return None

    def begin(self, run_context: RunContext) -> None:
        """Called once before the first epoch."""

    def epoch_begin(self, run_context: RunContext) -> None:
        """Called before each epoch."""

    def epoch_end(self, run_context: RunContext) -> None:
        """Called after each epoch."""

    def step_begin(self, run_context: RunContext) -> None:
        """Called before each step."""

    def step_end(self, run_context: RunContext) -> None:
        """Called after each step."""

    def end(self, run_context: RunContext) -> None:
        """Called once after the last epoch."""

    def on_train_begin(self, run_context: RunContext) -> None:
        """Called once before training."""
        self.begin(run_context)

    def on_train_epoch_begin(self, run_context: RunContext) -> None:
        """Called before each epoch of training."""
        self.epoch_begin(run_context)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        """Called after each epoch of training."""
        self.epoch_end(run_context)

    def on_train_step_begin(self, run_context: RunContext) -> None:
        """Called before each step of training."""
        self.step_begin(run_context)

    def on_train_step_end(self, run_context: RunContext) -> None:
        """Called after each step of training."""
        self.step_end(run_context)

    def on_train_end(self, run_context: RunContext) -> None:
        """Called once after training."""
        self.end(run_context)

    def on_eval_begin(self, run_context: RunContext) -> None:
        """Called once before evaluation."""
        self.begin(run_context)

    def on_eval_epoch_begin(self, run_context: RunContext) -> None:
        """Called before the pass over the evaluation data."""
        self.epoch_begin(run_context)

    def on_eval_epoch_end(self, run_context: RunContext) -> None:
        """Called after the pass over the evaluation data."""
        self.epoch_end(run_context)

    def on_eval_step_begin(self, run_context: RunContext) -> None:
        """Called before each batch of evaluation."""
        self.step_begin(run_context)

    def on_eval_step_end(self, run_context: RunContext) -> None:
        """Called after each batch of evaluation."""
        self.step_end(run_context)

    def on_eval_end(self, run_context: RunContext) -> None:
        """Called once after evaluation."""
        self.end(run_context)


_inside: set[int] = set()
"""Callbacks whose run is going on (their `id`): an evaluation within it must not enter and leave them once more."""


class CallbackList:
    """Calls several callbacks in list order.

    Args:
        callbacks: a `Callback`, a list of them, or None.

    Raises:
        WrongTypeError: anything else, also inside the list.
    """

    def __init__(self, callbacks: Callback | Sequence[Callback] | None) -> None:
        if callbacks is None:
            callbacks = []
        elif isinstance(callbacks, Callback):
            callbacks = [callbacks]
        if not isinstance(callbacks, (list, tuple)):
            raise WrongTypeError(f"callbacks must be a Callback or a list of them, not {type(callbacks).__name__}")
        for i, callback in enumerate(callbacks):
            if not isinstance(callback, Callback):
                raise WrongTypeError(f"callbacks[{i}] must be a Callback, not {type(callback).__name__}")
        self._callbacks = tuple(callbacks)
        self._entered: list[Callback] = []

    def __iter__(self) -> Iterator[Callback]:
        return iter(self._callbacks)

    def __enter__(self) -> CallbackList:
        try:
            for callback in self._callbacks:
                if id(callback) not in _inside:
                    callback.__enter__()
                    _inside.add(id(callback))
                    self._entered.append(callback)
        except BaseException as exc:
            self.__exit__(type(exc), exc, exc.__traceback__)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Leaves every callback that was entered, last first; the first error among them is raised at the end."""
        first: Exception | None = None
        while self._entered:
            callback = self._entered.pop()
            _inside.discard(id(callback))
            try:
                callback.__exit__(*exc)
            except Exception as error:  # noqa: BLE001 - the other callbacks must be left too; raised below
                first = first or error
        if first is not None:
            raise first

    def call(self, method: str, run_context: RunContext) -> None:
        """Calls the method of that name on each callback."""
        for callback in self._callbacks:
            getattr(callback, method)(run_context)
