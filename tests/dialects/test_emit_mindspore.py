"""Calls that MindSpore would answer with a crash are refused here."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.dialects.emit_mindspore import MindSporeEmit, kind_of
from mindport.dialects.literals import attributes, literal_of
from mindport.dtypes import named
from mindport.errors import UnsupportedDType, UsageError


def tensor_value(name: str = "x") -> ir.Value:
    value = ir.Value(name=name)
    value.meta["kind"] = "tensor"
    return value


def literals(value: ir.Value) -> list[Any]:
    node = value.producer()
    assert node is not None
    return [literal_of(v) for v in node.inputs if v is not None and v.producer() is not None]


def test_arguments_are_ordered_and_defaulted_from_the_table() -> None:
    b, x = MindSporeEmit(), tensor_value()
    y = b.BatchNorm(x, x, x, x, x, epsilon=1)
    assert literals(y) == [False, 1.0, 0.1, 0]
    assert all(type(v) is t for v, t in zip(literals(y), (bool, float, float, int), strict=True))
    assert kind_of(y) == "tuple_any"
    assert kind_of(b.item(y, 0)) == "tensor"


def test_words_and_types_become_numbers() -> None:
    b, x = MindSporeEmit(), tensor_value()
    assert literals(b.AvgPool(x, (2, 3), (1, 2), "same", "NCHW")) == [(2, 3), (1, 2), 1, 0]
    assert literals(b.Cast(x, named("float16"))) == [42]


def test_classic_primitives_get_every_attribute() -> None:
    b, x = MindSporeEmit(), tensor_value()
    node = b.MaxPool(x, kernel_size=(1, 1, np.int64(2), 3), strides=(1, 1, 1, 2), pad_mode="VALID").producer()
    assert node is not None
    assert attributes(node) == {
        "kernel_size": (1, 1, 2, 3),
        "strides": (1, 1, 1, 2),
        "pad_mode": "VALID",
        "format": "NCHW",
    }
    assert all(type(v) is int for v in attributes(node)["kernel_size"])


def test_numbers_known_at_run_time_are_taken_out_of_their_tensor() -> None:
    b, x = MindSporeEmit(), tensor_value()
    node = b.Reshape(x, tensor_value("shape")).producer()
    assert node is not None
    assert node.inputs[1].producer().op_type == "TensorToTuple"
    node = b.ExpandDims(x, tensor_value("axis")).producer()
    assert node.inputs[1].producer().op_type == "TensorToScalar"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda b, x: b.Nope(x), "no operator"),
        (lambda b, x: b.ReLU(), "missing"),
        (lambda b, x: b.ReLU(x, x), "by position"),
        (lambda b, x: b.ReLU(x, slope=1), "no argument slope"),
        (lambda b, x: b.Softmax(x, axis=1), "tuple_int, not int"),
        (lambda b, x: b.Softmax(x, axis=(1.5,)), "tuple_int, not tuple_float"),
        (lambda b, x: b.Add(x, 1.0), "takes a tensor|not float"),
        (lambda b, x: b.LogSoftmax(x, True), "int, not bool"),
        (lambda b, x: b.LogSoftmax(x, None), "cannot be None"),
        (lambda b, x: b.AvgPool(x, (1, 1), (1, 1), "diagonal", 0), "diagonal"),
        (lambda b, x: b.Conv2D(x, x), "attribute out_channel"),
        (lambda b, x: b.Transpose(x, b.TensorToScalar(x)), "takes tuple_int"),
        (lambda b, x: b.Custom(x), "how many inputs"),
    ],
)
def test_wrong_calls_are_refused(call: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call(MindSporeEmit(), tensor_value())


def test_a_type_that_mindspore_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedDType):
        MindSporeEmit().Cast(tensor_value(), named("float8_e5m2"))
