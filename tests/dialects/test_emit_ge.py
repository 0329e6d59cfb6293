"""GE nodes: every attribute explicit, inputs by prototype."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.dialects.emit_ge import GeEmit, dynamic_counts
from mindport.dialects.literals import attributes
from mindport.dtypes import named
from mindport.errors import UsageError

X = ir.Value(name="x")


def node_of(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None
    return node


def test_every_attribute_is_written_also_defaults() -> None:
    node = node_of(GeEmit().Conv2D(X, X, None, strides=[1, 1, 2, 3], pads=[0, 1, 2, 3], data_format="NCHW"))
    assert attributes(node) == {
        "strides": [1, 1, 2, 3],
        "pads": [0, 1, 2, 3],
        "dilations": [1, 1, 1, 1],
        "groups": 1,
        "data_format": "NCHW",
        "offset_x": 0,
    }
    assert len(node.inputs) == 2, "unfed optional inputs at the end are left out"


def test_an_unfed_optional_input_in_the_middle_is_none() -> None:
    node = node_of(GeEmit().Conv2D(X, X, None, X, strides=[1] * 4, pads=[0] * 4))
    assert [v is None for v in node.inputs] == [False, False, True, False]


def test_dynamic_inputs_are_counted() -> None:
    b = GeEmit()
    node = node_of(b.ConcatD([X, X, X], concat_dim=1, N=3))
    assert dynamic_counts(node) == {"x": 3}
    node.meta.pop("dynamic")
    assert dynamic_counts(node) == {"x": 3}, "it follows from the prototype too"


def test_dynamic_outputs_and_several_outputs_are_tuples() -> None:
    b = GeEmit()
    assert len(b.SplitD(X, split_dim=0, num_split=3, outputs=3)) == 3
    assert len(b.BatchNorm(X, X, X, X, X, is_training=False)) >= 3


def test_types_and_arrays_are_taken() -> None:
    b = GeEmit()
    node = node_of(b.Cast(X, dst_type=0))
    assert attributes(node) == {"dst_type": 0}
    node = node_of(b.ArgMaxV2(X, np.asarray(1, np.int32), dtype="DT_INT32"))
    assert attributes(node)["dtype"] is named("int32")
    assert node_of(node.inputs[1]).op_type == "Constant"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda b: b.Nope(X), "no operator"),
        (lambda b: b.Relu(), "missing"),
        (lambda b: b.Relu(X, X), "takes 1 input"),
        (lambda b: b.Relu(1.0), "takes a tensor"),
        (lambda b: b.Relu(X, alpha=1), "no attribute alpha"),
        (lambda b: b.Conv2D(X, X, strides=[1] * 4), "'pads' is missing"),
        (lambda b: b.Conv2D(X, X, strides=1, pads=[0] * 4), "ListInt"),
        (lambda b: b.Conv2D(X, X, strides=[1.5] * 4, pads=[0] * 4), "Int, not float"),
        (lambda b: b.Conv2D(X, X, strides=[True] * 4, pads=[0] * 4), "Int, not bool"),
        (lambda b: b.ConcatD(X, concat_dim=0), "list of values"),
        (lambda b: b.SplitD(X, split_dim=0, num_split=3), "dynamic outputs"),
        (lambda b: b.Relu(X, outputs=2), "fixed number"),
    ],
)
def test_wrong_calls_are_refused(call: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call(GeEmit())
