"""Attribute encodings: singular alone, plural inside a tuple; sizes of tensors are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindport.dialects.literals import Monad, Num, identity, tensor
from mindport.dtypes import named
from mindport.errors import CorruptFile, Unsupported, UnsupportedDType
from mindport.formats.mindir_attrs import content_of, literal_from, message_for, shape_of, tensor_message
from mindport.wire.schema_mindir import ATTRIBUTE, TENSOR
from mindport.wire.spec import Message

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(width=32, allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from([Num(3, "INT32"), Num(2.5, "DOUBLE"), Monad("UMONAD"), Monad("IOMONAD"), named("int64")])
)
LITERALS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3), max_leaves=8
)


@given(LITERALS)
def test_every_literal_comes_back(value: Any) -> None:
    assert identity(literal_from(message_for("value", value))) == identity(value)


def test_fields_are_singular_alone_and_plural_inside() -> None:
    assert message_for("v", 5).i == 5
    assert message_for("v", 5).ints == []
    inner = message_for("v", (5,)).get("values")[0]
    assert inner.ints == [5]
    assert not inner.has("i")


def test_tensors_come_back_with_type_shape_and_content() -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    back = literal_from(message_for("value", tensor(array)))
    np.testing.assert_array_equal(back.numpy(), array)
    empty = literal_from(message_for("value", tensor(np.zeros((0, 2), np.int32))))
    assert isinstance(empty, ir.TensorProtocol), "an empty tensor is no element type"
    assert empty.numpy().shape == (0, 2)


def test_what_is_not_known_stays_the_message() -> None:
    message = ATTRIBUTE.new(name="value", type=37)
    assert literal_from(message) is message
    assert message_for("value", message) is message
    assert isinstance(literal_from(ATTRIBUTE.new(type=19)), Message)


@pytest.mark.parametrize("size", [23, 25, 0])
def test_content_of_the_wrong_size_is_corrupt(size: int) -> None:
    with pytest.raises(CorruptFile, match="needs 24 bytes"):
        content_of(TENSOR.new(dims=[2, 3], name="w"), named("float32"), bytes(size))


def test_hostile_tensors_are_refused() -> None:
    with pytest.raises(CorruptFile, match="impossible shape"):
        shape_of(TENSOR.new(dims=[-1]))
    with pytest.raises(Unsupported, match="compressed"):
        content_of(TENSOR.new(dims=[1], compression_type=1), named("int8"), b"x")
    with pytest.raises(Unsupported, match=r"MindSpore 1\.x"):
        literal_from(ATTRIBUTE.new(ref_attr_name="scalar:value0"))
    with pytest.raises(CorruptFile):
        content_of(TENSOR.new(dims=[1 << 62, 1 << 62]), named("float32"), b"")


def test_what_mindir_cannot_hold_is_refused() -> None:
    with pytest.raises(UnsupportedDType):
        tensor_message("w", ir.Tensor(np.zeros(2, np.uint8), ir.DataType.FLOAT8E5M2, shape=ir.Shape([2])))
    with pytest.raises(Unsupported, match="64 bits"):
        message_for("v", 1 << 70)
    with pytest.raises(Unsupported, match="set"):
        message_for("v", {1})
