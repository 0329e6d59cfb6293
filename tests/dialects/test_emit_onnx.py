"""ONNX nodes are checked against their schemas, and know their type and shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.dialects.emit_onnx import HUB_OPSET, OnnxEmit, schema_of
from mindport.errors import Unsupported, UsageError


def x(*shape: int | None, dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
    return ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(dtype))


def test_types_and_shapes_are_inferred_with_constants() -> None:
    o = OnnxEmit(HUB_OPSET)
    y = o.Reshape(x(2, 3, 4), np.asarray([4, -1]))
    assert y.dtype == ir.DataType.FLOAT
    assert y.shape == [4, 6]
    values, indices = o.TopK(y, np.asarray([2]), outputs=2)
    assert values.shape == [4, 2]
    assert indices.dtype == ir.DataType.INT64


def test_an_unknown_dimension_stays_unknown() -> None:
    y = OnnxEmit(HUB_OPSET).Relu(x(None, 3))
    assert y.shape is not None
    assert not isinstance(y.shape[0], int)
    assert y.shape[1] == 3


def test_constants_are_initializers_that_are_no_weights() -> None:
    o = OnnxEmit(HUB_OPSET)
    o.Add(x(2), np.float32(1))
    assert [p.meta["constant"] for p in o.parameters] == [True]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda o: o.Nope(x(2)), "no operator"),
        (lambda o: o.Relu(x(2), slope=1), "no attribute slope"),
        (lambda o: o.Relu(), "takes 1 to 1"),
        (lambda o: o.Concat(x(2)), "axis is missing"),
        (lambda o: o.Add(x(2), 1.0), "o.const"),
    ],
)
def test_wrong_calls_are_refused(call: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call(OnnxEmit(HUB_OPSET))


def test_contradicting_inputs_are_unsupported() -> None:
    with pytest.raises(Unsupported, match="MatMul"):
        OnnxEmit(HUB_OPSET).MatMul(x(2, 3), x(4, 5))


def test_schemas_follow_the_opset() -> None:
    assert schema_of("Gelu", 19) is None
    assert schema_of("Gelu", 20) is not None


def test_operators_defined_by_their_body_alone_are_inferred_too() -> None:
    o = OnnxEmit(HUB_OPSET)
    scale = np.ones(6, np.float32)
    y = o.GroupNormalization(x(2, 6, 4, 5), scale, scale, num_groups=3)
    assert (y.dtype, y.shape) == (ir.DataType.FLOAT, [2, 6, 4, 5])
