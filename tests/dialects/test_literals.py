"""Literals stay apart, survive cloning, and cannot leak into an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from mindport.dialects.literals import (
    MINDSPORE,
    FunctionRef,
    Monad,
    Num,
    attribute,
    attributes,
    constant_node,
    dims_of,
    has_literal,
    identity,
    literal_of,
    tensor,
)
from mindport.dtypes import named

ALL = [
    None,
    True,
    False,
    1,
    0,
    1.0,
    0.0,
    -0.0,
    float("nan"),
    "1",
    b"1",
    (),
    [],
    (1,),
    [1],
    (1.0,),
    (True,),
    ((1,),),
    named("int64"),
    Num(1, "INT32"),
    Num(1, "UINT8"),
    Monad("UMONAD"),
    Monad("IOMONAD"),
    FunctionRef("f"),
]


def test_no_two_literals_of_different_kinds_are_taken_for_each_other() -> None:
    keys = [identity(v) for v in ALL]
    assert len(set(keys)) == len(ALL)
    assert keys == [identity(v) for v in ALL]


def test_tensors_are_told_apart_by_type_shape_and_content() -> None:
    arrays = [np.zeros(2, np.float32), np.zeros(2, np.int32), np.zeros((2, 1), np.float32), np.ones(2, np.float32)]
    assert len({identity(a) for a in arrays}) == 4
    assert identity(arrays[0]) == identity(tensor(np.zeros(2, np.float32)))


@pytest.mark.parametrize("value", ALL, ids=repr)
def test_a_constant_node_holds_its_literal_through_a_clone(value: object) -> None:
    node = constant_node(MINDSPORE, value, name="c")
    graph = ir.Graph([], node.outputs, nodes=[node], opset_imports={MINDSPORE: 1})
    out = ir.Model(graph, ir_version=10).clone().graph.outputs[0]
    assert has_literal(out)
    assert literal_of(out) is value


def test_a_tensor_literal_has_type_and_shape() -> None:
    out = constant_node(MINDSPORE, np.zeros((2, 3), np.float16)).outputs[0]
    assert out.dtype == ir.DataType.FLOAT16
    assert dims_of(literal_of(out)) == (2, 3)


def test_attributes_come_back_in_order() -> None:
    node = ir.Node(MINDSPORE, "X", [], [attribute("b", (1, 2)), attribute("a", None)])
    assert list(attributes(node).items()) == [("b", (1, 2)), ("a", None)]


def test_a_foreign_graph_is_not_serialized_as_onnx() -> None:
    node = constant_node(MINDSPORE, (1, 2), name="c")
    model = ir.Model(ir.Graph([], node.outputs, nodes=[node], opset_imports={MINDSPORE: 1}), ir_version=10)
    with pytest.raises(Exception, match="serialize"):
        ir.to_proto(model)


def test_an_input_has_no_literal() -> None:
    assert not has_literal(ir.Value(name="x"))
    assert not has_literal(None)
