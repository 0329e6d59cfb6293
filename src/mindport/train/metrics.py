"""Metrics of `Model.eval`: a few by name, any object with MindSpore's three methods, any function.

A metric object has `clear()`, `update(output, label)` with NumPy arrays of one batch, and `eval() -> float`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from mindport.errors import UsageError, WrongTypeError

__all__ = ["NAMES", "Metric", "metrics_from"]


class Metric(Protocol):
    """What `Model.eval` asks of a metric object."""

    def clear(self) -> None:
        """Forgets earlier batches."""

    def update(self, *inputs: Any) -> None:
        """Takes in the outputs `(N, ...)` and labels `(N, ...)` of one batch."""

    def eval(self) -> float:
        """Returns the value over all batches."""


class _Mean:
    """The mean of a function of each sample: `(output, label) -> (N,)`."""

    def __init__(self, each: Callable[[Any, Any], Any]) -> None:
        self._each = each
        self.clear()

    def clear(self) -> None:
        self._sum, self._count = 0.0, 0

    def update(self, *inputs: Any) -> None:
        values = np.asarray(self._each(*inputs), dtype=np.float64)
        if values.ndim == 0:  # a function that gives the batch's mean: each sample counts as much
            size = len(inputs[1]) if np.ndim(inputs[1]) else 1
            self._sum, self._count = self._sum + float(values) * size, self._count + size
        else:
            self._sum, self._count = self._sum + float(values.sum()), self._count + values.size

    def eval(self) -> float:
        return self._sum / self._count if self._count else float("nan")


class Loss(_Mean):
    """The mean of `loss_fn` over the samples; `Model.eval` gives it the loss of each batch."""

    def __init__(self) -> None:
        super().__init__(lambda loss, label: loss)


def _hits(best: int) -> Callable[[Any, Any], Any]:
    def each(output: Any, label: Any) -> Any:
        output, label = np.asarray(output), np.asarray(label)
        if output.ndim != 2:
            raise UsageError(f"accuracy needs outputs (N, classes), not {output.shape}")
        if label.ndim == 2 and label.shape == output.shape:  # one-hot labels
            label = label.argmax(1)
        top = np.argsort(-output.astype(np.float64), axis=1, kind="stable")[:, :best]
        return (top == label.reshape(-1, 1)).any(1)

    return each


def _per_sample(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def each(output: Any, label: Any) -> Any:
        difference = np.asarray(output, np.float64) - np.asarray(label, np.float64)
        return function(difference).reshape(len(difference), -1).mean(1)

    return each


NAMES: Mapping[str, Callable[[], Metric]] = {
    "accuracy": lambda: _Mean(_hits(1)),
    "acc": lambda: _Mean(_hits(1)),
    "top_1_accuracy": lambda: _Mean(_hits(1)),
    "top_5_accuracy": lambda: _Mean(_hits(5)),
    "loss": Loss,
    "mae": lambda: _Mean(_per_sample(np.abs)),
    "mse": lambda: _Mean(_per_sample(np.square)),
}


def metrics_from(metrics: Iterable[str] | Mapping[str, Any] | str | None) -> dict[str, Metric]:
    """Returns metric objects by name.

    Args:
        metrics: a name, a set or list of names, or a mapping from any name to a name of `NAMES`, a metric object, or a
            function `(output, label)` that gives one number per sample or the batch's mean.

    Raises:
        UsageError: an unknown name. WrongTypeError: a value of another kind.
    """
    if metrics is None:
        return {}
    if isinstance(metrics, str):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        return {str(name): _metric(value) for name, value in metrics.items()}
    if not isinstance(metrics, Iterable):
        raise WrongTypeError(f"metrics must be names or a mapping, not {type(metrics).__name__}")
    names = sorted(metrics) if isinstance(metrics, (set, frozenset)) else list(metrics)
    return {name: _metric(name) for name in names}


def _metric(value: Any) -> Metric:
    if isinstance(value, str):
        if value not in NAMES:
            raise UsageError(f"unknown metric {value!r}; known: {', '.join(NAMES)}")
        return NAMES[value]()
    if all(callable(getattr(value, method, None)) for method in ("clear", "update", "eval")):
        return value  # type: ignore[no-any-return]
    if callable(value):
        return _Mean(value)
    raise WrongTypeError(f"a metric is a name, a function or an object with clear, update and eval, not {value!r}")
