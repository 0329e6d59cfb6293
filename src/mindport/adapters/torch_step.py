"""One step of PyTorch training, evaluation or prediction: the only place that runs the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from mindport.adapters.torch import to_torch
from mindport.adapters.torch_record import GraphRecorder
from mindport.errors import UsageError
from mindport.extras import need
from mindport.formats.graph_meta import GraphOutline
from mindport.tensors import Tensor

__all__ = ["TorchStep", "in_mode", "to_host"]


@contextmanager
def in_mode(network: Any, *, training: bool) -> Iterator[None]:
    """Puts every module into training or evaluation mode, and back into its own former mode at the end."""
    former = {module: module.training for module in network.modules()}
    network.train(training)
    try:
        yield
    finally:
        for module, mode in former.items():
            module.training = mode


def to_host(value: Any) -> Any:
    """Returns tensors as NumPy arrays on the host, in tuples, lists and dicts too; other values as they are."""
    torch = need("torch")
    if isinstance(value, torch.Tensor):
        return np.asarray(Tensor(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple
        return type(value)(*(to_host(v) for v in value))
    if isinstance(value, (tuple, list)):
        return type(value)(to_host(v) for v in value)
    if isinstance(value, Mapping):
        return {k: to_host(v) for k, v in value.items()}
    return value


class TorchStep:
    """Runs the network on batches. The network stays on its device; batches are moved there.

    Args:
        network: returns the output, or the loss when there is no `loss_fn`.
        loss_fn: `(output, label) -> loss`, a tensor with one element.
        optimizer: its `step` is called after each backward pass.
        scheduler: its `step` is called after each optimizer step.
        scaler: scales the loss for the backward pass, and leaves out steps whose gradients are no numbers.
    """

    def __init__(
        self,
        network: Any,
        loss_fn: Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
        scheduler: Any = None,
        scaler: Any = None,
    ) -> None:
        self.network = network
        self.loss_fn = loss_fn
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scaler = scaler

    def device(self) -> Any:
        """Returns the device of the network's first parameter or buffer; the CPU for a network without any."""
        torch = need("torch")
        for tensors in (self.network.parameters(), self.network.buffers()):
            for tensor in tensors:
                return tensor.device
        return torch.device("cpu")

    def moved(self, value: Any) -> Any:
        """Returns `value` with its tensors and arrays as torch tensors on the network's device."""
        torch = need("torch")
        device = self.device()

        def move(item: Any) -> Any:
            if isinstance(item, torch.Tensor):
                return item.to(device, non_blocking=True)
            if isinstance(item, (np.ndarray, np.generic)):
                item = Tensor(item)
            if isinstance(item, Tensor):
                return to_torch(item.numpy(), item.dtype).to(device)
            if isinstance(item, tuple) and hasattr(item, "_fields"):  # a named tuple
                return type(item)(*(move(v) for v in item))
            if isinstance(item, (tuple, list)):
                return type(item)(move(v) for v in item)
            if isinstance(item, Mapping):
                return {k: move(v) for k, v in item.items()}
            return item

        return move(value)

    def _split(self, batch: Any) -> tuple[tuple[Any, ...], Any]:
        """Returns a batch as `(inputs, label)`; everything but the last part is input."""
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            kind = f"{len(batch)} part(s)" if isinstance(batch, (tuple, list)) else type(batch).__name__
            raise UsageError(f"with a loss_fn each batch must be a pair (data, label); this dataset gives {kind}")
        return tuple(batch[:-1]), batch[-1]

    def _loss(self, batch: Any, run: Callable[..., Any]) -> Any:
        batch = self.moved(batch)
        if self.loss_fn is None:
            if isinstance(batch, Mapping):
                return run(**batch)
            return run(*batch) if isinstance(batch, (tuple, list)) else run(batch)
        inputs, label = self._split(batch)
        return self.loss_fn(run(*inputs), label)

    def train_recorded(self, batch: Any) -> tuple[Any, GraphOutline | None]:
        """Makes one step like `train` and also returns the network's graph, None where it cannot be seen."""
        recorder = GraphRecorder(self.network)
        return self.train(batch, recorder.run), recorder.outline

    def train(self, batch: Any, run: Callable[..., Any] | None = None) -> Any:
        """Makes one step: forward, backward, optimizer, scheduler.

        Args:
            batch: `(data, label)`, or the network's inputs when there is no `loss_fn`.
            run: what to call instead of the network itself.

        Returns:
            The loss before the step, a detached tensor without dimensions on the network's device.

        Raises:
            UsageError: the loss is no tensor with one element.
        """
        torch = need("torch")
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch, run or self.network)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            shape = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            what = "the network (there is no loss_fn)" if self.loss_fn is None else "loss_fn"
            raise UsageError(f"{what} must give one number as loss, not {shape}")
        stepped = self._learn(loss.reshape(()))
        if stepped and self.scheduler is not None:
            self.scheduler.step()
        return loss.detach().reshape(())

    def _learn(self, loss: Any) -> bool:
        """Makes the backward pass and the optimizer's step; False if the scaler left that step out."""
        if self.scaler is None:
            loss.backward()
            self.optimizer.step()
            return True
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        if self.scheduler is None:  # nobody asks, and on an accelerator asking waits for it
            self.scaler.update()
            return True
        before = self.scaler.get_scale()
        self.scaler.update()
        return bool(self.scaler.get_scale() >= before)  # it goes down only when gradients were no numbers

    def evaluate(self, batch: Any) -> tuple[Any, Any, float | None]:
        """Returns `(output, label, loss)` on the host; the loss is None when there is no `loss_fn`."""
        torch = need("torch")
        with torch.no_grad():
            inputs, label = self._split(self.moved(batch))
            output = self.network(*inputs)
            loss = None if self.loss_fn is None else float(self.loss_fn(output, label))
        return to_host(output), to_host(label), loss

    def predict(self, inputs: tuple[Any, ...]) -> Any:
        """Returns what the network gives for `inputs`, without gradients, as torch tensors."""
        torch = need("torch")
        with torch.no_grad():
            return self.network(*self.moved(inputs))
