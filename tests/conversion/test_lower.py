"""Lowering finds every problem at once, keeps names, and leaves its source alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.lower import lower, opset_of
from mindport.conversion.pipeline import to_target
from mindport.errors import UnsupportedOps

TWO_PROBLEMS = """
<ir_version: 10, opset_import: ["" : 21]>
g (float[2, 3] x) => (float[2, 3] y) {
    a = Relu(x)
    [first] b = MelWeightMatrix(a, a, a, a, a)
    [second] c = MelWeightMatrix(b, b, b, b, b)
    [third] d, e = MaxPool<kernel_shape = [2]>(a)
    y = Add(c, d)
}"""


def test_every_problem_is_listed_with_its_nodes() -> None:
    model = ir.from_onnx_text(TWO_PROBLEMS)
    with pytest.raises(UnsupportedOps) as caught:
        lower(model, "mindspore")
    assert caught.value.target == "MINDIR"
    found = {o.op: o for o in caught.value.ops}
    assert found["MelWeightMatrix"].nodes == ("first", "second")
    assert set(found) == {"MelWeightMatrix", "MaxPool"}


def test_names_of_inputs_weights_and_outputs_are_kept() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2, 3] image) => (float[2, 3] scores)
        <float[3] w = {1, 2, 3}, float[3] unused = {1, 2, 3}> {
            a = Mul(image, w)
            scores = Relu(a)
        }""")
    before = ir.to_onnx_text(model)
    lowered = lower(model, "mindspore")
    assert [v.name for v in lowered.graph.inputs] == ["image"]
    assert [v.name for v in lowered.graph.outputs] == ["scores"]
    assert list(lowered.graph.initializers) == ["w"]
    assert lowered.graph.outputs[0].shape == [2, 3]
    assert ir.to_onnx_text(model) == before
    ours, theirs = (m.graph.initializers["w"].const_value for m in (lowered, model))
    assert ours is theirs, "weights are shared, not copied"


def test_an_output_may_be_an_input_or_occur_twice() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2] x) => (float[2] y, float[2] z) { y = Identity(x)  z = Relu(x) }""")
    lowered = lower(model, "mindspore")
    assert lowered.graph.outputs[0] is lowered.graph.inputs[0]
    assert lowered.graph.outputs[1].name == "z"


def test_values_of_enclosing_graphs_and_foreign_domains_are_problems() -> None:
    node = ir.Node("com.example", "Fancy", [ir.Value(name="x")], num_outputs=1, name="n")
    node.outputs[0].name = "y"
    graph = ir.Graph([], node.outputs, nodes=[node], opset_imports={"": 21, "com.example": 1})
    with pytest.raises(UnsupportedOps, match=r"com\.example\.Fancy"):
        lower(ir.Model(graph, ir_version=10), "mindspore")
    node = ir.node("Relu", [ir.Value(name="outer")], name="n")
    graph = ir.Graph([], node.outputs, nodes=[node], opset_imports={"": 21})
    with pytest.raises(UnsupportedOps, match="enclosing graph"):
        lower(ir.Model(graph, ir_version=10), "mindspore")


def test_a_small_constant_is_no_weight_but_a_small_weight_is() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2] x) => (float[2] y) <float[1] w = {2}> {
            c = Constant<value = float[1] {3}>()
            a = Mul(x, w)
            y = Add(a, c)
        }""")
    lowered = to_target(model, "mindspore")
    assert list(lowered.graph.initializers) == ["w"]
    assert np.asarray(lowered.graph.initializers["w"].const_value.numpy()).tolist() == [2.0]
    assert opset_of(lowered) == 0


def test_an_output_without_a_name_is_left_out() -> None:
    """ONNX writes an optional output that is not wanted as an empty name."""
    from mindport.conversion.pipeline import to_onnx
    from mindport.formats import mindir
    from mindport.ops.samples import build, f32, sample, weight
    from oracles import ort
    from oracles.primitive import numbers

    model = build("GRU", sample(f32(4, 2, 3), weight(1, 15, 3), weight(1, 15, 5), outputs=2, hidden_size=5))
    (node,) = model.graph
    model.graph.outputs.pop(0)
    node.outputs[0].name = ""
    lifted = to_onnx(mindir.loads(b"".join(mindir.write(to_target(model, "mindspore")))))
    x = numbers(4, 2, 3)
    np.testing.assert_allclose(ort.run(lifted, [x])[0], ort.run(model, [x])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("domain", ["mindspore", "ge"])
def test_operands_that_do_not_fit_their_operator_are_a_listed_problem(domain: str) -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] y)
        <float[3] w = {1, 2, 3}> { [odd] y = Conv(x, w) }""")
    with pytest.raises(UnsupportedOps) as caught:
        lower(model, domain)
    assert [(o.op, o.nodes) for o in caught.value.ops] == [("Conv", ("odd",))]
