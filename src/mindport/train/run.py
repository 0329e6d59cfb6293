"""One call of `Model.train`: its parameters, its state as a snapshot, and that state put back."""

from __future__ import annotations

import copy
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from mindport.adapters.base import adapter_for
from mindport.checkpoint.match import match
from mindport.checkpoint.snapshot import Snapshot, has_state, state_in, weights_in
from mindport.errors import CorruptFile, StateMismatch, UsageError
from mindport.events import Inexact, Restored, emit
from mindport.train.callback.base import CallbackList, RunContext, RunParameters
from mindport.train.callback.checkpoint import ModelCheckpoint
from mindport.train.putback import Part, differences, other_kinds, other_shapes, put_back, some, state_of, stateful_part

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
        self._unsettled: Resumption | None = None
        self._told_order = False
        self._check_order()
        self.args = RunParameters(
            mode="train",
            network=step.network,
            train_network=step.network,
            loss_fn=step.loss_fn,
            optimizer=step.optimizer,
            scheduler=step.scheduler,
            scaler=step.scaler,
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
        from mindport.adapters.torch_state import parameter_names, parameter_shapes

        args, step = self.args, self.step
        adapter = adapter_for(step.network)
        state: dict[str, Any] = {
            "version": STATE_VERSION,
            "loop": {"epoch": args.cur_epoch_num, "step": args.cur_step_in_epoch, "total": args.cur_step_num},
            "data": self.position.state(),
            "optimizer": step.optimizer.state_dict(),
            "optimizer_parameters": parameter_names(step.optimizer, step.network),
            "optimizer_shapes": parameter_shapes(step.optimizer),
            "kinds": self._kinds(),
            "scheduler": state_of(step.scheduler),
            "scaler": state_of(step.scaler),
            "network": extra_state(step.network),
            "loss_fn": state_of(step.loss_fn),
            "callbacks": {name: callback.state_dict() for name, callback in self._stateful().items()},
        }
        aliases = adapter.aliases(step.network)
        return Snapshot(adapter.weights(step.network), state, {"aliases": aliases} if aliases else {})

    def _kinds(self) -> dict[str, str]:
        """Returns the classes of the parts whose state says too little about what it is the state of."""
        from mindport.adapters.torch_state import kind_of

        step = self.step
        parts = {
            "optimizer": step.optimizer,
            "scheduler": step.scheduler,
            "scaler": step.scaler,
            "loss_fn": step.loss_fn,
        }
        return {name: kind_of(part) for name, part in parts.items() if part is not None}

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
        if self.position.drew and not self._told_order:
            self._told_order = True
            emit(Inexact(*self._order_to_blame()))

    def _order_to_blame(self) -> tuple[str, str]:
        """Returns the newest checkpoint, and in words that somebody drew random numbers after it was saved."""
        callbacks = list(self.callbacks)
        saver = next((c for c in callbacks if isinstance(c, ModelCheckpoint)), None)
        behind = [] if saver is None else callbacks[callbacks.index(saver) + 1 :]
        who = some(dict.fromkeys(type(c).__name__ for c in behind)) or "other code"
        return getattr(saver, "latest_ckpt_file_name", ""), (
            f"random numbers were drawn in step_end after the checkpoint was saved, by one of the callbacks behind "
            f"ModelCheckpoint ({who}); a run that goes on from it would draw others. Put ModelCheckpoint last"
        )

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
        self._unsettled = found
        self._resumed_from = found.path
        emit(Restored(found.path, self.args.cur_epoch_num, self.args.cur_step_in_epoch))
        return True

    def settle(self) -> None:
        """Puts everything back once more after the callbacks' first `begin` and `epoch_begin` of a resumed run.

        They were called in the interrupted run too, and what they did there is in the file: a learning rate that is
        halved at the start of an epoch must not be halved twice.
        """
        found, self._unsettled = self._unsettled, None
        if found is not None:
            self._restore(found)

    def _restore(self, found: Resumption) -> None:
        """Checks everything first, then puts everything back."""
        from mindport.adapters import torch_state

        if not has_state(found.file):
            raise StateMismatch(
                f"{found.path} holds weights only, no state to go on from; load it with load_checkpoint"
            )
        state = state_in(found.file, torch_state.make_tensor)
        _check_form(state, found.path)
        arrays, problems = self._matched(found)
        problems += self._problems(state)
        if problems:
            lines = "\n".join(f"  {p}" for p in problems)
            raise StateMismatch(f"{found.path} does not fit this run; nothing was changed:\n{lines}")
        put_back(self._parts(state, arrays), found.path)
        self.position.load(state["data"])
        loop = state["loop"]
        self.args.cur_epoch_num, self.args.cur_step_in_epoch = loop["epoch"], loop["step"]
        self.args.cur_step_num = loop["total"]

    def _parts(self, state: dict[str, Any], arrays: dict[str, Any]) -> list[Part]:
        """Returns what has to be put back, in order, each with how to undo it."""
        from mindport.adapters.torch import extra_state, set_extra_state
        from mindport.adapters.torch_state import load_optimizer

        step, adapter, network = self.step, adapter_for(self.step.network), self.step.network
        parts = [stateful_part("loss_fn", step.loss_fn, state["loss_fn"])] if state["loss_fn"] else []
        parts.append(stateful_part("optimizer", step.optimizer, state["optimizer"], load_optimizer))
        for name, part in (("scheduler", step.scheduler), ("scaler", step.scaler)):
            if part is not None:
                parts.append(stateful_part(name, part, state[name]))
        callbacks = self._stateful()
        parts += [stateful_part(f"callback {n}", callbacks[n], saved) for n, saved in state["callbacks"].items()]
        # the weights come late: `assign` takes all of them or none, so only what follows it makes a copy necessary
        before = {n: np.array(w.numpy()) for n, w in adapter.weights(network).items()} if state["network"] else {}
        extra = copy.deepcopy(extra_state(network)) if state["network"] else {}
        parts.append(Part("network", lambda: adapter.assign(network, arrays), lambda: adapter.assign(network, before)))
        parts.append(
            Part(
                "network (extra state)",
                lambda: set_extra_state(network, state["network"]),
                lambda: set_extra_state(network, extra),
            )
        )
        return parts

    def _moved(self, state: dict[str, Any]) -> list[str]:
        """Returns why the optimizer's parameters, of the right number, are not those of the checkpoint."""
        from mindport.adapters import torch_state

        optimizer, network = self.step.optimizer, self.step.network
        if state["optimizer_parameters"] != torch_state.parameter_names(optimizer, network):
            return ["optimizer: it has the same number of parameters, but others or in another order"]
        return other_shapes(torch_state.parameter_shapes(optimizer), state["optimizer_shapes"])

    def _matched(self, found: Resumption) -> tuple[dict[str, Any], list[str]]:
        adapter, network = adapter_for(self.step.network), self.step.network
        report, arrays = match(
            adapter.weights(network), weights_in(found.file), aliases=adapter.aliases(network), strict=True
        )
        problems = []
        if report.missing:
            problems.append(f"network: not in the checkpoint: {some(report.missing)}")
        appended = set(found.file.info.extra.get("appended", ()))
        unexpected = [name for name in report.unexpected if name not in appended]
        if unexpected:
            problems.append(f"network: only in the checkpoint: {some(unexpected)}")
        return arrays, problems

    def _problems(self, state: dict[str, Any]) -> list[str]:
        """Returns why `state` does not fit this run's objects, in words."""
        from mindport.adapters import torch_state
        from mindport.adapters.torch import extra_state

        step = self.step
        problems = differences("network", extra_state(step.network), state["network"])
        problems += other_kinds(self._kinds(), state["kinds"])
        problems += torch_state.check_optimizer_state(step.optimizer, state["optimizer"]) or self._moved(state)
        for name in ("scheduler", "scaler", "loss_fn"):
            now = state_of(getattr(step, name))
            if (state[name] is None) != (now is None):
                here, there = ("none here", "one") if now is None else ("one here", "none")
                problems.append(f"{name}: {there} with state in the checkpoint, {here}")
            elif now is not None:
                problems += differences(name, now, state[name])
        gone = [name for name in state["callbacks"] if name not in self._stateful()]
        if gone:
            problems.append(f"callbacks: the checkpoint has the state of {some(gone)}, which this run does not have")
        return problems + self.position.problems(state["data"])


_FORM: dict[str, Any] = {
    "loop": {"epoch": int, "step": int, "total": int},
    "data": {"consumed": int, "now": {"python": tuple, "torch": object}},
    "optimizer": {"state": dict, "param_groups": list},
    "optimizer_parameters": list,
    "optimizer_shapes": list,
    "kinds": dict,
    "scheduler": dict | None,
    "scaler": dict | None,
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
