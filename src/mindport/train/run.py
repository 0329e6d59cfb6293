"""One call of `Model.train`: its parameters, its state as a snapshot, and that state put back."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from mindport.adapters.base import adapter_for
from mindport.checkpoint.match import match
from mindport.checkpoint.snapshot import Snapshot, has_state, state_in, weights_in
from mindport.errors import CorruptFile, StateMismatch, UsageError
from mindport.events import Inexact, Restored, emit
from mindport.train.callback.base import CallbackList, RunContext, RunParameters
from mindport.train.callback.checkpoint import ModelCheckpoint

if TYPE_CHECKING:
    from mindport.adapters.torch_data import DataPosition
    from mindport.adapters.torch_step import TorchStep
    from mindport.checkpoint.runs import Resumption

__all__ = ["TrainingRun"]

STATE_VERSION = 1


class TrainingRun:
    """What a training run consists of, in one place.

    Attributes:
        args: what callbacks are told.
        context: the callbacks' handle.
        position: where the run is in its data.
    """

    def __init__(self, step: TorchStep, callbacks: CallbackList, position: DataPosition, epochs: int) -> None:
        from mindport.adapters.torch_data import batch_count

        self.step = step
        self.callbacks = callbacks
        self.position = position
        self._resumed_from = ""
        self._check_order()
        self.args = RunParameters(
            mode="train",
            network=step.network,
            train_network=step.network,
            loss_fn=step.loss_fn,
            optimizer=step.optimizer,
            scheduler=step.scheduler,
            train_dataset=position.dataset,
            list_callback=list(callbacks),
            epoch_num=epochs,
            cur_epoch_num=1,
            cur_step_num=0,
            cur_step_in_epoch=0,
            batch_num=batch_count(position.dataset),
            dataset_sink_mode=False,
            parallel_mode="stand_alone",
            device_number=1,
            snapshot=self.snapshot,
        )
        self.context = RunContext(self.args)

    def snapshot(self) -> Snapshot:
        """Returns the run's whole state as live views; write it before the next step changes it."""
        from mindport.adapters.torch import extra_state
        from mindport.adapters.torch_state import parameter_names

        args, step = self.args, self.step
        adapter = adapter_for(step.network)
        state: dict[str, Any] = {
            "version": STATE_VERSION,
            "loop": {"epoch": args.cur_epoch_num, "step": args.cur_step_in_epoch, "total": args.cur_step_num},
            "data": self.position.state(),
            "optimizer": step.optimizer.state_dict(),
            "optimizer_parameters": parameter_names(step.optimizer, step.network),
            "scheduler": _state_of(step.scheduler),
            "network": extra_state(step.network),
            "loss_fn": _state_of(step.loss_fn),
            "callbacks": {name: callback.state_dict() for name, callback in self._stateful().items()},
        }
        aliases = adapter.aliases(step.network)
        return Snapshot(adapter.weights(step.network), state, {"aliases": aliases} if aliases else {})

    def _check_order(self) -> None:
        """Refuses a callback with state that stands after a `ModelCheckpoint`: its file would lack that step's state.

        Raises:
            UsageError: there is one.
        """
        callbacks = list(self.callbacks)
        savers = [i for i, callback in enumerate(callbacks) if isinstance(callback, ModelCheckpoint)]
        for i, callback in enumerate(callbacks):
            if savers and i > savers[0] and callback in self._stateful().values():
                raise UsageError(
                    f"{type(callback).__qualname__} has a state_dict and stands after ModelCheckpoint, whose files "
                    "would lack its state of the step; put it before"
                )

    def _stateful(self) -> dict[str, Any]:
        """Returns the callbacks that have state, by class name (with a number from the second of a class on)."""
        found: dict[str, Any] = {}
        for callback in self.callbacks:
            if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
                name = base = type(callback).__qualname__
                count = 1
                while name in found:
                    count += 1
                    name = f"{base}~{count}"
                found[name] = callback
        return found

    def batches(self, epoch: int) -> Generator[Any, None, None]:
        """Yields the batches of one epoch; tells when those after a resume are not the ones still to come."""
        for batch in self.position.epoch(epoch):
            self._tell_inexact()
            yield batch
        self._tell_inexact()

    def _tell_inexact(self) -> None:
        if self.position.inexact:
            emit(Inexact(self._resumed_from, self.position.inexact))
            self.position.inexact = ""

    def resume(self) -> bool:
        """Goes on from the newest valid checkpoint of the run's `ModelCheckpoint`; False if there is none.

        Raises:
            UsageError: there is not exactly one `ModelCheckpoint` among the callbacks.
            RestoreError: the checkpoint does not fit this run; network, optimizer and the rest are unchanged.
        """
        savers = [callback for callback in self.callbacks if isinstance(callback, ModelCheckpoint)]
        if len(savers) != 1:
            raise UsageError(
                f"resume=True needs exactly one ModelCheckpoint among the callbacks, there are {len(savers)}"
            )
        found = savers[0].resume()
        if found is None:
            return False
        self._restore(found)
        self._resumed_from = found.path
        emit(Restored(found.path, self.args.cur_epoch_num, self.args.cur_step_in_epoch))
        return True

    def _restore(self, found: Resumption) -> None:
        """Checks everything first, then puts everything back."""
        from mindport.adapters import torch_state
        from mindport.adapters.torch import set_extra_state

        if not has_state(found.file):
            raise StateMismatch(
                f"{found.path} holds weights only, no state to go on from; load it with load_checkpoint"
            )
        state = state_in(found.file, torch_state.make_tensor)
        _check_form(state, found.path)
        step, adapter = self.step, adapter_for(self.step.network)
        arrays, problems = self._matched(found)
        problems += self._problems(state)
        if problems:
            lines = "\n".join(f"  {p}" for p in problems)
            raise StateMismatch(f"{found.path} does not fit this run; nothing was changed:\n{lines}")
        self.position.load(state["data"])
        adapter.assign(step.network, arrays)
        set_extra_state(step.network, state["network"])
        torch_state.load_optimizer(step.optimizer, state["optimizer"])
        if step.scheduler is not None:
            step.scheduler.load_state_dict(state["scheduler"])
        if state["loss_fn"]:
            step.loss_fn.load_state_dict(state["loss_fn"])  # type: ignore[union-attr]
        callbacks = self._stateful()
        for name, saved in state["callbacks"].items():
            callbacks[name].load_state_dict(saved)
        loop = state["loop"]
        self.args.cur_epoch_num, self.args.cur_step_in_epoch = loop["epoch"], loop["step"]
        self.args.cur_step_num = loop["total"]

    def _matched(self, found: Resumption) -> tuple[dict[str, Any], list[str]]:
        adapter, network = adapter_for(self.step.network), self.step.network
        report, arrays = match(
            adapter.weights(network), weights_in(found.file), aliases=adapter.aliases(network), strict=True
        )
        problems = []
        if report.missing:
            problems.append(f"network: not in the checkpoint: {_some(report.missing)}")
        appended = set(found.file.info.extra.get("appended", ()))
        unexpected = [name for name in report.unexpected if name not in appended]
        if unexpected:
            problems.append(f"network: only in the checkpoint: {_some(unexpected)}")
        return arrays, problems

    def _problems(self, state: dict[str, Any]) -> list[str]:
        """Returns why `state` does not fit this run's objects, in words."""
        from mindport.adapters import torch_state
        from mindport.adapters.torch import extra_state

        step = self.step
        problems = _differences("network", extra_state(step.network), state["network"])
        problems += torch_state.check_optimizer_state(step.optimizer, state["optimizer"])
        if not problems and state["optimizer_parameters"] != torch_state.parameter_names(step.optimizer, step.network):
            problems.append("optimizer: it has the same number of parameters, but others or in another order")
        for name, now in (("scheduler", _state_of(step.scheduler)), ("loss_fn", _state_of(step.loss_fn))):
            if (state[name] is None) != (now is None):
                here, there = ("none here", "one") if now is None else ("one here", "none")
                problems.append(f"{name}: {there} with state in the checkpoint, {here}")
            elif now is not None:
                problems += _differences(name, now, state[name])
        gone = [name for name in state["callbacks"] if name not in self._stateful()]
        if gone:
            problems.append(f"callbacks: the checkpoint has the state of {_some(gone)}, which this run does not have")
        return problems + self.position.problems(state["data"])


def _state_of(part: Any) -> dict[str, Any] | None:
    """Returns the state of a scheduler, or of a loss function that has some (a module may learn); else None."""
    return dict(part.state_dict()) if hasattr(part, "state_dict") else None


def _differences(what: str, now: Any, saved: Any) -> list[str]:
    """Returns why one state dict cannot take the place of another, in words."""
    odd = sorted(str(key) for key in set(now) ^ set(saved))
    if odd:
        return [f"{what}: the checkpoint holds the state of another kind of {what} ({_some(odd)})"]
    shapes = [k for k in now if getattr(now[k], "shape", None) != getattr(saved[k], "shape", None)]
    return [f"{what}: {_some(shapes)} has another shape in the checkpoint"] if shapes else []


_FORM: dict[str, Any] = {
    "loop": {"epoch": int, "step": int, "total": int},
    "data": {"consumed": int, "now": {"python": tuple, "torch": object}},
    "optimizer": {"state": dict, "param_groups": list},
    "optimizer_parameters": list,
    "scheduler": dict | None,
    "network": dict,
    "loss_fn": dict | None,
    "callbacks": dict,
}
_REPLAY = {"batches": object, "last": str, "warm": bool, "epoch_start": dict, "before_last": dict}


def _check_form(state: dict[str, Any], path: str) -> None:
    """Refuses state that no mindport wrote, and state that a later one did.

    Raises:
        StateMismatch: it has another version.
        CorruptFile: a part is missing or of another kind.
    """
    version = state.get("version")
    if version != STATE_VERSION:
        raise StateMismatch(f"{path} holds state of version {version!r}; this mindport reads version {STATE_VERSION}")
    odd = _odd_part(state, _FORM) or ("" if "loader" in state["data"] else _odd_part(state["data"], _REPLAY, "data."))
    if not odd and not all(isinstance(g, dict) and "params" in g for g in state["optimizer"]["param_groups"]):
        odd = "optimizer.param_groups"
    if odd:
        raise CorruptFile(f"the stored state is damaged at {odd!r}", path=path)


def _odd_part(state: dict[str, Any], form: dict[str, Any], where: str = "") -> str:
    """Returns the path of the first part of `state` that is missing or of another kind than `form` says, or ""."""
    for key, kind in form.items():
        if key not in state or not isinstance(state[key], dict if isinstance(kind, dict) else kind):
            return where + key
        if isinstance(kind, dict) and (odd := _odd_part(state[key], kind, f"{where}{key}.")):
            return odd
    return ""


def _some(names: Any) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
