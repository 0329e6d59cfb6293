"""Lifting finds every problem at once and keeps names."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.lift import dialect_of, lift
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, f32, sample
from oracles.primitive import model, numbers

X = numbers(2, 3)


def test_the_dialect_is_told_by_the_imports() -> None:
    assert dialect_of(model(lambda b, x: b.ReLU(x), X)) == "mindspore"
    assert dialect_of(build("Relu", sample(f32(2)))) == ""


def test_every_problem_is_listed_also_behind_the_first() -> None:
    def make(b, x):  # type: ignore[no-untyped-def]
        bad = b.Angle(x)
        return b.ReLU(b.Conj(bad)), b.Angle(x)

    with pytest.raises(UnsupportedOps) as caught:
        lift(model(make, X))
    found = {o.op: o.nodes for o in caught.value.ops}
    assert found == {"Angle": ("Angle", "Angle_1"), "Conj": ("Conj",)}
    assert caught.value.target == "ONNX"


def test_types_and_shapes_are_inferred() -> None:
    lifted = lift(model(lambda b, x: b.Transpose(b.Cast(x, 42), (1, 0)), X))
    out = lifted.graph.outputs[0]
    assert (out.dtype, out.shape) == (ir.DataType.FLOAT16, [3, 2])


def test_a_literal_result_becomes_an_output() -> None:
    lifted = lift(model(lambda b, x: (b.ReLU(x), b.literal(3)), X))
    constant = lifted.graph.outputs[1].producer()
    assert constant.op_type == "Identity"  # type: ignore[union-attr]
    assert constant.inputs[0].const_value.numpy() == np.int64(3)  # type: ignore[union-attr]


def test_an_input_as_output_gets_a_node_of_its_own() -> None:
    lifted = lift(model(lambda b, x: (x, x), X))
    assert [n.op_type for n in lifted.graph] == ["Identity", "Identity"]
    assert len({v.name for v in lifted.graph.outputs}) == 2
