"""The outline of a graph: what is counted, and what is not read."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from mindport.conversion.outline import dtype_name, outline, weights_of
from mindport.results import TensorInfo, ValueInfo


@pytest.fixture
def model() -> ir.Model:
    """Two operators, one of them in a branch; a weight listed among the inputs, as old files do; a symbolic dim."""
    weight = helper.make_tensor("w", TensorProto.BFLOAT16, [3, 5], np.zeros(15, np.float32))
    inner = helper.make_tensor("b", TensorProto.FLOAT, [2], [1.0, 2.0])

    def branch(name: str, op: str) -> onnx.GraphProto:
        node = helper.make_node(op, ["b" if op == "Neg" else "x"], [f"{name}_y"], name=name)
        value = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [value], [inner] if op == "Neg" else [])

    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=branch("t", "Neg"), else_branch=branch("e", "Abs")),
        helper.make_node("Abs", ["x"], ["z"]),
        helper.make_node("Odd", ["z", "w"], ["u"], domain="acme"),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3]),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        helper.make_tensor_value_info("w", TensorProto.BFLOAT16, [3, 5]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [weight])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("acme", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, producer_name="hand", producer_version="2")
    return ir.from_proto(proto)


def test_outline(model: ir.Model) -> None:
    info = outline(model)
    assert (info.name, info.producer, info.opsets) == ("net", "hand 2", {"": 20, "acme": 1})
    assert info.inputs == (ValueInfo("x", "float32", ("N", 3)), ValueInfo("c", "bool", ()))
    assert info.outputs == (ValueInfo("y", "float32", None),)
    assert list(info.ops.items()) == [("Abs", 2), ("If", 1), ("Neg", 1), ("acme::Odd", 1)]
    assert (info.nodes, info.weights, info.weights_nbytes) == (5, 2, 38)


def test_weights_of_branches_count(model: ir.Model) -> None:
    assert weights_of(model) == (TensorInfo("w", "bfloat16", (3, 5), 30), TensorInfo("b", "float32", (2,), 8))


def test_types_that_mindport_lacks_keep_onnx_names() -> None:
    assert dtype_name(ir.DataType.STRING) == "string"
    assert dtype_name(ir.DataType.FLOAT) == "float32"
