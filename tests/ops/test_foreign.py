"""What a lift rule sees of a foreign node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.dialects.emit_mindspore import MindSporeEmit
from mindport.dialects.emit_onnx import OnnxEmit
from mindport.dialects.literals import Monad, has_literal, literal_of
from mindport.dialects.table import MISSING, OpTable
from mindport.errors import Unsupported
from mindport.ops.foreign import ForeignView, as_tensor

ONNX = OnnxEmit(21)


def x(*shape: int | None) -> ir.Value:
    value = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    value.meta["kind"] = "tensor"
    return value


def view(out: ir.Value) -> ForeignView:
    node = out.producer()
    assert node is not None
    row = OpTable.load("mindspore").find(node.op_type)
    return ForeignView(node, lambda v: literal_of(v) if has_literal(v) else v, OnnxEmit(21), row)


def test_arguments_by_position_and_name() -> None:
    n = view(MindSporeEmit().ReduceSum(x(2, 3), (0, -1), True))
    assert n.literal("axis") == (0, -1)
    assert n.ints(1) == (0, -1)
    assert n.literal("keep_dims") is True
    assert n.known(0) is MISSING
    assert (n.shape(0), n.rank(0), n.dtype(0).name) == ((2, 3), 2, "float32")
    assert n.has(0)
    assert not n.has(9)


def test_none_is_absent_and_types_have_names() -> None:
    n = view(MindSporeEmit().SumExt(x(2, 3), None, False, None))
    assert not n.has(1)
    assert n.ints(1) == ()
    assert n.type_id(3) is None
    n = view(MindSporeEmit().Cast(x(2), 42))
    assert n.type_id("dtype").name == "float16"  # type: ignore[union-attr]


def test_attributes_of_classic_primitives() -> None:
    n = view(MindSporeEmit().Tril(x(2, 3), diagonal=2))
    assert n.attr("diagonal") == 2
    assert n.attr("other", None) is None
    with pytest.raises(Unsupported, match="other"):
        n.attr("other")


def test_what_is_known_at_run_time_only_is_unsupported() -> None:
    n = view(MindSporeEmit().Reshape(x(None, 3), x(2)))
    with pytest.raises(Unsupported, match="run time"):
        n.literal("shape")
    with pytest.raises(Unsupported, match="run time"):
        n.shape(0)
    with pytest.raises(Unsupported, match="elements are not known"):
        n.items(0)


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (2, np.int64, ()),
        (2.0, np.float32, ()),
        (True, np.bool_, ()),
        ((1, 2), np.int64, (2,)),
        ((1.0, 2), np.float32, (2,)),
    ],
)
def test_numbers_become_tensors(value: Any, dtype: type, shape: tuple[int, ...]) -> None:
    content = as_tensor(ONNX, value).const_value
    assert content is not None
    assert (content.numpy().dtype, content.numpy().shape) == (dtype, shape)


def test_a_number_takes_the_type_of_the_tensor_it_meets() -> None:
    half = ir.Value(name="h", type=ir.TensorType(ir.DataType.FLOAT16))
    assert as_tensor(ONNX, 2, half).dtype == ir.DataType.FLOAT16


def test_a_tuple_of_run_time_numbers_is_concatenated() -> None:
    scalar = ir.Value(name="s", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT64))
    made = as_tensor(OnnxEmit(21), (scalar, 4))
    assert made.producer().op_type == "Concat"  # type: ignore[union-attr]
    assert made.shape == [2]


def test_a_token_is_no_tensor() -> None:
    with pytest.raises(Unsupported, match="Monad"):
        as_tensor(ONNX, Monad("UMONAD"))
