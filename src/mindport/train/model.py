"""`Model`: a network with its loss, optimizer and metrics; trains, evaluates and predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from mindport.adapters.base import adapter_for
from mindport.errors import UsageError, WrongTypeError
from mindport.train.callback.base import Callback, CallbackList, RunContext, RunParameters
from mindport.train.metrics import Loss, metrics_from
from mindport.train.run import TrainingRun

__all__ = ["Model"]


class Model:
    """A PyTorch network with what it is trained and judged by.

    The network stays on the device it is on; batches are moved there.

    Args:
        network: a `torch.nn.Module`.
        loss_fn: `(output, label) -> loss`; None when the network itself returns the loss.
        optimizer: a `torch.optim.Optimizer` over the network's parameters; needed for `train`.
        metrics: what `eval` computes: names (``"accuracy"``, ``"top_5_accuracy"``, ``"loss"``, ``"mae"``, ``"mse"``),
            or a mapping from names to metric objects or functions `(output, label)`.
        scheduler: a `torch.optim.lr_scheduler`; its `step()` is called after each optimizer step.
        scaler: a `torch.amp.GradScaler` for training with float16; a step that it leaves out is none for `scheduler`.

    Raises:
        WrongTypeError, UsageError, Unsupported: an argument is not of that kind.
    """

    def __init__(
        self,
        network: Any,
        loss_fn: Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
        metrics: Iterable[str] | Mapping[str, Any] | str | None = None,
        *,
        scheduler: Any = None,
        scaler: Any = None,
    ) -> None:
        adapter_for(network)  # refuses what is no network
        from mindport.adapters.torch_state import check_optimizer, check_scaler, check_scheduler
        from mindport.adapters.torch_step import TorchStep

        if loss_fn is not None and not callable(loss_fn):
            raise WrongTypeError(f"loss_fn must be callable, not {type(loss_fn).__name__}")
        if optimizer is not None:
            check_optimizer(optimizer)
        if scheduler is not None:
            check_scheduler(scheduler)
        if scaler is not None:
            check_scaler(scaler)
        self._network = network
        self._metrics = metrics_from(metrics)
        self._step = TorchStep(network, loss_fn, optimizer, scheduler, scaler)

    def train(
        self,
        epoch: int,
        train_dataset: Iterable[Any],
        callbacks: Callback | Sequence[Callback] | None = None,
        *,
        resume: bool = False,
    ) -> None:
        """Trains until the end of epoch number `epoch`.

        Args:
            epoch: number of the last epoch, from 1.
            train_dataset: an iterable of `(data, label)` that starts anew for each epoch, such as a `DataLoader`.
            callbacks: called in list order.
            resume: go on from the newest valid checkpoint of the `ModelCheckpoint` among the callbacks, after the very
                step it was saved at; start afresh if there is none.

        Raises:
            WrongTypeError, UsageError: an argument is of the wrong kind, or the dataset is empty.
            StateMismatch, MatchError: the checkpoint does not fit; nothing was changed.
            StorageError: a checkpoint could not be written.
        """
        from mindport.adapters.torch_data import DataPosition

        _check_epoch(epoch)
        if self._step.optimizer is None:
            raise UsageError("training needs an optimizer; give one to Model")
        run = TrainingRun(self._step, CallbackList(callbacks), DataPosition(train_dataset), epoch)
        with run.callbacks:
            if resume:
                run.resume()
            self._network.train()
            self._loop(run)

    def _loop(self, run: TrainingRun) -> None:
        args, context, call = run.args, run.context, run.callbacks.call
        call("on_train_begin", context)
        for number in range(args.cur_epoch_num, args.epoch_num + 1):
            args.cur_epoch_num = number
            call("on_train_epoch_begin", context)
            run.settle()
            with closing(run.batches(number)) as batches:
                for batch in batches:
                    self._one_step(run, batch)
                    if context.get_stop_requested():
                        break
            if not run.position.consumed:
                raise UsageError("the dataset gave no batch")
            call("on_train_epoch_end", context)
            if context.get_stop_requested():
                break
        run.settle()
        call("on_train_end", context)

    def _one_step(self, run: TrainingRun, batch: Any) -> None:
        args, call = run.args, run.callbacks.call
        args.cur_step_num += 1
        args.cur_step_in_epoch = run.position.consumed
        call("on_train_step_begin", run.context)
        if args.record_graph and args.graph is None:
            args.record_graph = False
            args.net_outputs, args.graph = self._step.train_recorded(batch)
        else:
            args.net_outputs = self._step.train(batch)
        call("on_train_step_end", run.context)

    def eval(
        self, valid_dataset: Iterable[Any], callbacks: Callback | Sequence[Callback] | None = None
    ) -> dict[str, float]:
        """Returns the value of each metric over `valid_dataset`, an iterable of `(data, label)`.

        The network runs in evaluation mode without gradients and returns to its former mode.

        Raises:
            UsageError: there are no metrics, or the dataset is empty.
        """
        from mindport.adapters.torch_data import batch_count
        from mindport.adapters.torch_step import in_mode

        if not self._metrics:
            raise UsageError("evaluation needs metrics; give some to Model, such as metrics={'accuracy'}")
        for metric in self._metrics.values():
            metric.clear()
        cbs = CallbackList(callbacks)
        args = RunParameters(
            mode="eval", network=self._network, cur_step_num=0, batch_num=batch_count(valid_dataset), cur_epoch_num=1
        )
        context = RunContext(args)
        with cbs, in_mode(self._network, training=False):
            cbs.call("on_eval_begin", context)
            cbs.call("on_eval_epoch_begin", context)
            for batch in valid_dataset:
                args.cur_step_num += 1
                cbs.call("on_eval_step_begin", context)
                self._judge(batch, args)
                cbs.call("on_eval_step_end", context)
            if not args.cur_step_num:
                raise UsageError("the dataset gave no batch")
            args.metrics = {name: float(metric.eval()) for name, metric in self._metrics.items()}
            cbs.call("on_eval_epoch_end", context)
            cbs.call("on_eval_end", context)
        values: dict[str, float] = args.metrics
        return values

    def _judge(self, batch: Any, args: RunParameters) -> None:
        output, label, loss = self._step.evaluate(batch)
        args.net_outputs = output
        for metric in self._metrics.values():
            if isinstance(metric, Loss):
                if loss is None:
                    raise UsageError('the metric "loss" needs a loss_fn')
                metric.update(loss, label)
            else:
                metric.update(output, label)

    def predict(self, *inputs: Any) -> Any:
        """Returns what the network gives for `inputs` (arrays, `Tensor`s or torch tensors), as torch tensors.

        The network runs in evaluation mode without gradients and returns to its former mode.
        """
        from mindport.adapters.torch_step import in_mode

        with in_mode(self._network, training=False):
            return self._step.predict(inputs)


def _check_epoch(epoch: Any) -> None:
    if isinstance(epoch, bool) or not isinstance(epoch, int):
        raise WrongTypeError(f"epoch must be an int, not {type(epoch).__name__}")
    if epoch < 1:
        raise UsageError(f"epoch must be 1 or more, not {epoch}")
