"""Tuples, loads and tokens vanish on the way to ONNX; dropout in training mode is refused."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.dialects.literals import Monad
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, const, f32, sample
from oracles import ort
from oracles.primitive import model, numbers

X = numbers(2, 3)


def _with_tokens(b, x):  # type: ignore[no-untyped-def]
    token = b.literal(Monad("UMONAD"))
    weight = b.literal(numbers(100))
    loaded = b.Load(weight, token)
    after = b.UpdateState(token, b.MakeTuple(loaded))
    return b.Depend(b.Add(x, b.const(1, np.float32)), after)


def test_tokens_vanish() -> None:
    lifted = to_onnx(model(_with_tokens, X))
    assert [n.op_type for n in lifted.graph] == ["Add"]
    np.testing.assert_array_equal(ort.run(lifted, [X])[0], X + 1)


def test_a_tuple_result_becomes_several_outputs() -> None:
    lifted = to_onnx(model(lambda b, x: b.MakeTuple(x, b.MakeTuple(b.Neg(x), b.Abs(x))), X))
    got = ort.run(lifted, [X])
    assert len(got) == 3
    np.testing.assert_array_equal(got[0], X)
    np.testing.assert_array_equal(got[2], np.abs(X))


def test_identity_needs_no_node() -> None:
    lowered = to_target(build("Identity", sample(f32(2, 3))), "mindspore")
    assert len(lowered.graph) == 0
    assert lowered.graph.outputs[0] is lowered.graph.inputs[0]


def test_dropout_in_training_mode_is_refused() -> None:
    case = sample(f32(2, 3), const(np.float32(0.5)), const(True))
    with pytest.raises(UnsupportedOps, match="training mode"):
        to_target(build("Dropout", case), "mindspore")


def test_a_scalar_from_a_tensor_is_a_0d_tensor() -> None:
    lifted = to_onnx(model(lambda b, x: b.TensorToScalar(b.ReduceSum(x, ())), X))
    assert isinstance(lifted.graph.outputs[0], ir.Value)
    assert ort.run(lifted, [X])[0].shape == ()
