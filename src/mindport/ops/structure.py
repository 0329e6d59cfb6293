"""What holds a MindIR graph together and computes nothing: tuples, weight loads, side-effect tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.literals import MINDSPORE
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.foreign import as_tensor
from mindport.ops.samples import f32, sample

card("Identity", samples=[sample(f32(2, 3))])
card("Dropout", samples=[sample(f32(2, 3)), sample(f32(2, 3), outputs=2)], notes="Inference only: the identity.")


@mindir("Identity")
def lower_identity_mindir(b: Any, n: Any) -> Any:
    """No node: the value itself."""
    return n.x[0]


@mindir("Dropout")
def lower_dropout_mindir(b: Any, n: Any) -> Any:
    """At inference dropout keeps everything; its mask is all True."""
    if n.has(2) and bool(n.const(2)):
        raise Unsupported("dropout in training mode; export the network in evaluation mode")
    if n.wants(1):
        return n.x[0], b.const(np.ones(n.shape(0), np.bool_))
    return n.x[0], None


@lifts(MINDSPORE, "Load", "Depend", "Identity", "Return", "TensorToTuple")
def lift_first(o: Any, n: Any) -> Any:
    """The first input; the others are tokens that order side effects."""
    return n.raw[0]


@lifts(MINDSPORE, "UpdateState")
def lift_update_state(o: Any, n: Any) -> Any:
    """A token. Nodes that change state have no lift, so nothing is lost by dropping it."""
    return None


@lifts(MINDSPORE, "MakeTuple", "make_list", "RealMakeTuple")
def lift_make_tuple(o: Any, n: Any) -> Any:
    """A Python tuple of what the inputs became."""
    return tuple(n.raw)


@lifts(MINDSPORE, "TupleGetItem", "RealTupleGetItem")
def lift_tuple_get_item(o: Any, n: Any) -> Any:
    """An element of a tuple; of a shape (a 1-D tensor on the way to ONNX) a 0-d tensor."""
    pack, index = n.raw[0], int(n.literal(1))
    if isinstance(pack, ir.Value):
        return o.Gather(pack, o.const(index, np.int64), axis=0)
    return pack[index]


@lifts(MINDSPORE, "TensorToScalar")
def lift_tensor_to_scalar(o: Any, n: Any) -> Any:
    """A 0-d tensor."""
    return o.Reshape(n.x[0], np.zeros(0, np.int64))


@lifts(MINDSPORE, "TupleToTensor", "ScalarToTensor")
def lift_to_tensor(o: Any, n: Any) -> Any:
    """A 1-D or 0-d tensor of the requested element type."""
    value = as_tensor(o, n.raw[0])
    dtype = n.type_id(1)
    return value if dtype is None else o.Cast(value, to=dtype.onnx)


def _scalar_rule(op: str) -> Any:
    def rule(o: Any, n: Any) -> Any:
        return o.call(op, as_tensor(o, n.raw[0]), as_tensor(o, n.raw[1]))

    return rule


for _ms, _onnx in {"ScalarAdd": "Add", "ScalarSub": "Sub", "ScalarMul": "Mul"}.items():
    lifts(MINDSPORE, _ms)(_scalar_rule(_onnx))
