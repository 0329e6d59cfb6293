"""Folding: shapes become values, bounded; contradictions are listed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion import fold as module
from mindport.conversion.fold import LIMIT, fold
from mindport.conversion.legalise import constants
from mindport.errors import UnsupportedOps
from oracles import ort
from oracles.primitive import numbers


def folded(text: str) -> ir.Model:
    return fold(constants(ir.from_onnx_text(text)))


def test_chains_of_shape_arithmetic_become_one_value() -> None:
    model = folded("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2, 3, 4] x) => (float[?, ?] y) {
            s = Shape(x)
            i = Constant<value = int64[1] {0}>()
            n = Gather(s, i)
            m = Constant<value = int64[1] {-1}>()
            t = Concat<axis = 0>(n, m)
            y = Reshape(x, t)
        }""")
    assert [n.op_type for n in model.graph] == ["Reshape"]
    assert model.graph.outputs[0].shape == [2, 12]


def test_part_of_a_dynamic_shape_is_known() -> None:
    model = folded("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 3, 4] x) => (int64[2] y, int64[1] z) { y = Shape<start = 1>(x)  w = Shape<end = 2>(x)
            i = Constant<value = int64[1] {1}>()  z = Gather(w, i) }""")
    assert "Shape" in [n.op_type for n in model.graph], "the batch is not known"


def test_what_the_file_says_of_dynamic_shapes_stays() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 3] x, int64[2] s) => (float[6, 7] y) { y = Reshape(x, s) }""")
    assert fold(model).graph.outputs[0].shape == [6, 7]


@pytest.mark.parametrize("shape", ["{100000, 100000}", f"{{{LIMIT + 1}}}"])
def test_a_small_file_cannot_ask_for_a_large_array(shape: str) -> None:
    dims = shape.count(",") + 1
    model = folded(f"""
        <ir_version: 10, opset_import: ["" : 21]>
        g () => (float[?] y) {{
            s = Constant<value = int64[{dims}] {shape}>()
            z = ConstantOfShape(s)
            y = Relu(z)
        }}""")
    assert [n.op_type for n in model.graph] == ["ConstantOfShape", "Relu"]


def test_random_and_unknown_nodes_stay() -> None:
    model = folded("""
        <ir_version: 10, opset_import: ["" : 21, "other" : 1]>
        g () => (float[2] y, float[2] z) {
            c = Constant<value = float[2] {1, 2}>()
            r = RandomUniformLike(c)
            y = Relu(r)
            q = other.Thing(c)
            z = Identity(q)
        }""")
    assert {n.op_type for n in model.graph} >= {"RandomUniformLike", "Thing"}


def test_cast_like_is_a_cast_once_the_type_is_known() -> None:
    model = folded("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float16[2] x, float[2] a) => (float16[2] y) { y = CastLike(a, x) }""")
    (node,) = model.graph
    assert (node.op_type, node.attributes["to"].as_int()) == ("Cast", 10)


def test_contradictions_are_all_listed() -> None:
    with pytest.raises(UnsupportedOps) as caught:
        folded("""
            <ir_version: 10, opset_import: ["" : 21]>
            g (float[2, 3] x, float[4, 5] w, int32[2] i) => (float[2, 5] y, float[2] z) {
                [one] y = MatMul(x, w)
                [two] z = Concat<axis = 9>(x, x)
            }""")
    assert {n for o in caught.value.ops for n in o.nodes} == {"one", "two"}


def test_a_node_that_the_reference_cannot_compute_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "schema_of", lambda *a: None)
    model = folded("""
        <ir_version: 10, opset_import: ["" : 21]>
        g () => (float[2] y) { c = Constant<value = float[2] {1, 2}>()  d = Neg(c)  y = Relu(d) }""")
    assert [n.op_type for n in model.graph] == ["Neg", "Relu"]


@pytest.mark.parametrize("taken", [True, False])
def test_an_if_with_a_known_condition_becomes_its_branch(taken: bool) -> None:
    model = ir.from_onnx_text(f"""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2, 3] x) => (float[2, 3] y) {{
            r = Size(x)
            six = Constant<value = int64 {{{6 if taken else 7}}}>()
            c = Equal(r, six)
            z = If (c) <
                then_branch = a () => (float[2, 3] p) {{ q = Neg(x)  p = Exp(q) }},
                else_branch = b () => (float[2, 3] s) {{ one = Constant<value = float {{1.0}}>()  s = Add(x, one) }}
            >
            y = Relu(z)
        }}""")
    x = numbers(2, 3)
    want = ort.run(model, [x])[0]
    result = fold(constants(model))
    assert "If" not in [n.op_type for n in result.graph]
    np.testing.assert_allclose(ort.run(result, [x])[0], want, rtol=1e-6)


def test_a_branch_that_gives_an_outer_value_or_a_graph_output() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[2, 3] x) => (float[2, 3] y) {
            c = Constant<value = bool {1}>()
            y = If (c) < then_branch = a () => (float[2, 3] p) { p = Identity(x) },
                         else_branch = b () => (float[2, 3] s) { s = Neg(x) } >
        }""")
    x = numbers(2, 3)
    np.testing.assert_array_equal(ort.run(fold(constants(model)), [x])[0], x)
