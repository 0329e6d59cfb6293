"""Metrics by name, as functions and as objects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mindport.errors import UsageError, WrongTypeError
from mindport.train.metrics import NAMES, Loss, metrics_from

OUTPUT = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.4, 0.3, 0.3]], np.float32)
LABEL = np.array([1, 0, 1, 2])


def value(metric: Any, *batches: tuple[Any, Any]) -> float:
    made = metrics_from({"m": metric})["m"]
    for output, label in batches:
        made.update(output, label)
    return made.eval()


@pytest.mark.parametrize(
    ("name", "wanted"), [("accuracy", 0.5), ("acc", 0.5), ("top_1_accuracy", 0.5), ("top_5_accuracy", 1.0)]
)
def test_accuracy(name: str, wanted: float) -> None:
    assert value(name, (OUTPUT, LABEL)) == wanted
    assert value(name, (OUTPUT[:3], LABEL[:3]), (OUTPUT[3:], LABEL[3:])) == wanted  # batches of unequal size
    assert value(name, (OUTPUT, np.eye(3)[LABEL])) == wanted  # one-hot


def test_top_five_looks_at_five() -> None:
    output = np.arange(7.0)[None, ::-1]
    assert [value("top_5_accuracy", (output, np.array([i]))) for i in range(7)] == [1, 1, 1, 1, 1, 0, 0]


def test_errors_of_regression() -> None:
    output, label = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 1.0], [0.0, 5.0]])
    assert value("mae", (output, label)) == pytest.approx((0.5 + 1.5) / 2)
    assert value("mse", (output, label)) == pytest.approx((0.5 + 4.5) / 2)


def test_functions_of_the_batch_and_of_each_sample() -> None:
    assert value(lambda o, _: o.max(1), (OUTPUT, LABEL)) == pytest.approx(OUTPUT.max(1).mean())
    assert value(lambda o, _: float(len(o)), (OUTPUT[:3], LABEL[:3]), (OUTPUT[3:], LABEL[3:])) == (3 * 3 + 1) / 4


def test_the_loss_counts_each_sample_once() -> None:
    loss = Loss()
    loss.update(2.0, LABEL[:3])
    loss.update(4.0, LABEL[3:])
    assert loss.eval() == 2.5
    loss.update(1.0, np.array(3))  # a label without a batch dimension
    loss.clear()
    assert math.isnan(loss.eval())


class Last:
    """MindSpore's three methods."""

    def clear(self) -> None:
        self.seen: Any = None

    def update(self, *inputs: Any) -> None:
        self.seen = inputs[1][-1]

    def eval(self) -> float:
        return float(self.seen)


def test_objects_with_mindspores_methods() -> None:
    assert value(Last(), (OUTPUT, LABEL)) == 2


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, []),
        ("accuracy", ["accuracy"]),
        ({"loss", "accuracy"}, ["accuracy", "loss"]),
        (["mse", "mae"], ["mse", "mae"]),
        ({"top": "top_5_accuracy", "own": len}, ["top", "own"]),
    ],
)
def test_how_metrics_are_given(given: Any, names: list[str]) -> None:
    assert list(metrics_from(given)) == names


@pytest.mark.parametrize(
    ("given", "error"),
    [(["f1"], UsageError), (5, WrongTypeError), ({"a": 5}, WrongTypeError), ([object()], WrongTypeError)],
)
def test_what_is_no_metric(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        metrics_from(given)


def test_accuracy_needs_classes() -> None:
    with pytest.raises(UsageError, match="classes"):
        value("accuracy", (np.ones(3), np.ones(3)))
    assert set(NAMES) >= {"accuracy", "loss", "top_5_accuracy"}
