"""ONNX → ONNX steps: each keeps what the graph computes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.legalise import (
    bodies,
    constants,
    drop_unused,
    drop_zero_bias,
    forget_source,
    hub_opset,
    inline,
    plain_initializers,
)
from mindport.conversion.lower import opset_of
from mindport.conversion.pipeline import to_hub
from mindport.dialects.emit_onnx import HUB_OPSET
from mindport.errors import Unsupported
from mindport.ops.samples import build, f32, sample, weight
from oracles import ort
from oracles.primitive import numbers

X = numbers(2, 3)


def graph(text: str) -> ir.Model:
    return ir.from_onnx_text(text)


def test_functions_are_inlined() -> None:
    model = graph("""
        <ir_version: 10, opset_import: ["" : 21, "own" : 1]>
        g (float[2, 3] x) => (float[2, 3] y) { y = own.twice(x) }
        <domain: "own", opset_import: ["" : 21]>
        twice (a) => (b) { b = Add(a, a) }""")
    inlined = inline(model)
    assert [n.op_type for n in inlined.graph] == ["Add"]
    np.testing.assert_array_equal(ort.run(inlined, [X])[0], 2 * X)


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_older_opsets_are_raised_with_their_meaning(opset: int) -> None:
    """Softmax up to opset 12 works on a matrix; its default axis is 1."""
    model = build("Softmax", sample(f32(2, 3, 4)), opset)
    model.graph.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    model.graph.outputs[0].shape = ir.Shape([2, 3, 4])
    x = numbers(2, 3, 4)
    raised = hub_opset(model.clone())
    assert opset_of(raised) == HUB_OPSET
    np.testing.assert_allclose(ort.run(raised, [x])[0], ort.run(model, [x])[0], rtol=1e-6)


def test_weights_do_not_pass_through_the_version_converter() -> None:
    model = build("MatMul", sample(f32(2, 64), weight(64, 65)), 13)
    model.graph.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    content = model.graph.initializers["c1"].const_value
    raised = hub_opset(model)
    assert raised.graph.initializers["c1"].const_value is content
    assert [v.name for v in raised.graph.inputs] == ["x0"]


def test_newer_opsets_stay_and_unknown_ones_are_refused() -> None:
    assert opset_of(hub_opset(build("Relu", sample(f32(2)), HUB_OPSET + 1))) == HUB_OPSET + 1
    with pytest.raises(Unsupported, match="opset 999"):
        hub_opset(build("Relu", sample(f32(2)), 999))
    with pytest.raises(Unsupported, match="imports no ONNX"):
        hub_opset(ir.Model(ir.Graph([], [], nodes=[]), ir_version=10))


def test_initializers_leave_the_inputs() -> None:
    model = build("Add", sample(f32(2, 3), weight(3)))
    model.graph.inputs.append(model.graph.initializers["c1"])
    assert [v.name for v in plain_initializers(model).graph.inputs] == ["x0"]


def test_constants_are_marked_and_weights_are_not() -> None:
    model = graph("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2, 3] x) => (float[2, 3] y) <float[1] w = {2}> {
            c = Constant<value = float[1] {3}>()  a = Mul(x, w)  y = Add(a, c) }""")
    found = constants(model).graph.initializers
    assert {k: bool(v.meta.get("constant")) for k, v in found.items()} == {"w": False, "c": True}


def test_a_zero_bias_of_the_exporter_goes_and_one_of_the_network_stays() -> None:
    for made_by_exporter in (True, False):
        model = build("Conv", sample(f32(1, 3, 5, 4), weight(4, 3, 3, 2), weight(4)))
        bias = model.graph.initializers["c2"]
        bias.const_value = ir.Tensor(np.zeros(4, np.float32))
        bias.meta["constant"] = made_by_exporter
        (node,) = drop_zero_bias(model).graph
        assert len(node.inputs) == (2 if made_by_exporter else 3)


def test_operators_without_a_card_become_their_body() -> None:
    model = build("MeanVarianceNormalization", sample(f32(2, 3, 5, 4)))
    x = numbers(2, 3, 5, 4)
    want = ort.run(model, [x])[0]
    replaced = bodies(to_hub(model), "mindspore")
    assert "MeanVarianceNormalization" not in [n.op_type for n in replaced.graph]
    np.testing.assert_allclose(ort.run(replaced, [x])[0], want, rtol=1e-4, atol=1e-5)


def test_bodies_that_depend_on_types_are_used_too() -> None:
    """Its body is made for the given inputs; attributes left out take the schema's default."""
    model = build("SoftmaxCrossEntropyLoss", sample(f32(3, 5), weight(3, low=0, high=5, dtype=np.int64)))
    replaced = bodies(to_hub(model), "mindspore")
    kinds = {n.op_type for n in replaced.graph}
    assert kinds.isdisjoint({"SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"}), "also a body inside a body"
    x = numbers(3, 5)
    np.testing.assert_allclose(ort.run(replaced, [x])[0], ort.run(model, [x])[0], rtol=1e-5)


def test_unused_nodes_and_weights_go() -> None:
    model = graph("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2, 3] x) => (float[2, 3] y) <float[1] w = {2}> { a = Mul(x, w)  y = Relu(x) }""")
    cleaned = drop_unused(model)
    assert [n.op_type for n in cleaned.graph] == ["Relu"]
    assert not cleaned.graph.initializers


def test_remarks_of_the_exporter_go() -> None:
    model = build("Relu", sample(f32(2)))
    (node,) = model.graph
    node.metadata_props["pkg.torch.onnx.stack_trace"] = "/home/me/secret.py"
    node.outputs[0].metadata_props["a"] = model.metadata_props["a"] = model.graph.metadata_props["a"] = "secret"
    model.graph.inputs[0].metadata_props["a"] = "secret"
    assert b"secret" not in ir.to_proto(forget_source(model)).SerializeToString()
