"""AIR: recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.errors import Unsupported
from mindport.ops.air_common import int64, only, typed
from mindport.ops.card import air, lifts


def _recurrent(onnx_op: str, extra: str, usual: list[str]) -> None:
    ge_op = f"Common{onnx_op}"

    @air(onnx_op)
    def lower(b: Any, n: Any) -> Any:
        """Same inputs, attributes and order of gates as in ONNX; GE lowers it further itself."""
        if n.attr("layout"):
            raise Unsupported(f"{onnx_op} with the batch first (layout=1)")
        given = [str(a).lower() for a in n.attr("activations") or ()]
        if given not in ([], usual, 2 * usual) or n.attr("clip") is not None:
            raise Unsupported(f"{onnx_op} with activations of its own, or clipping")
        inputs = [n.x[i] if n.has(i) else None for i in range(len(n.x))]
        attrs = {extra: n.attr(extra) or 0, "hidden_size": n.attr("hidden_size"), "direction": n.attr("direction")}
        outs = b.call(ge_op, *inputs, **attrs)
        steps, batch = n.dims(0)[0], n.dims(0)[1]
        ways, hidden = n.dims(2)[0], n.attr("hidden_size")
        typed(outs[0], n.dtype(0), [steps, ways, batch, hidden])
        for state in outs[1:]:
            typed(state, n.dtype(0), [ways, batch, hidden])
        return outs[: len(n.node.outputs)]

    @lifts(GE, ge_op)
    def lift(o: Any, n: Any) -> Any:
        """See above."""
        only(n, activations=(), activation_alpha=(), activation_beta=(), clip=-1.0)
        inputs = [n.x[i] if n.has(i) else None for i in range(len(n.raw))]
        attrs = {extra: n.attr(extra), "hidden_size": n.attr("hidden_size"), "direction": n.attr("direction")}
        return o.call(onnx_op, *inputs, **attrs, outputs=len(n.node.outputs))


_recurrent("LSTM", "input_forget", ["sigmoid", "tanh", "tanh"])
_recurrent("GRU", "linear_before_reset", ["sigmoid", "tanh"])


@air("RNN")
def lower_rnn_air(b: Any, n: Any) -> Any:
    """Unrolled over a known number of steps; the products with the input are made in one."""
    if n.attr("layout") or n.has(4) or n.attr("clip") is not None:
        raise Unsupported("RNN with the batch first, sequences of different lengths, or clipping")
    steps, batch, features = n.shape(0)
    ways, hidden = n.shape(1)[:2]
    dtype = n.dtype(0)
    flat = typed(b.Reshape(n.x[0], int64([steps * batch, features])), dtype, [steps * batch, features])
    states = _initial(b, n)
    outs, lasts = [], []
    for way in range(ways):
        act = _activation(b, n, way)
        parts = _projected(b, n, flat, way)
        h, recurrent = states[way], np.ascontiguousarray(n.const(2)[way])
        rows: list[Any] = [None] * steps
        for t in range(steps)[:: -1 if way or n.attr("direction") == "reverse" else 1]:
            back = typed(b.MatMulV2(h, recurrent, transpose_x1=False, transpose_x2=True), dtype, [batch, hidden])
            h = typed(act(typed(b.Add(parts[t], back), dtype, [batch, hidden])), dtype, [batch, hidden])
            rows[t] = h
        outs.append(typed(b.Pack(rows, axis=0, N=steps), dtype, [steps, batch, hidden]))
        lasts.append(h)
    y = typed(b.Pack(outs, axis=1, N=ways), dtype, [steps, ways, batch, hidden])
    return (y, typed(b.Pack(lasts, axis=0, N=ways), dtype, [ways, batch, hidden]))[: len(n.node.outputs)]


def _activation(b: Any, n: Any, way: int) -> Any:
    names = [str(a).lower() for a in n.attr("activations") or ["tanh"] * (way + 1)]
    known = {"tanh": b.Tanh, "relu": b.Relu, "sigmoid": b.Sigmoid}
    if way >= len(names) or names[way] not in known:
        raise Unsupported(f"RNN with the activations {', '.join(names)}")
    return known[names[way]]


def _projected(b: Any, n: Any, flat: Any, way: int) -> Any:
    """Returns W·x plus both biases for every step."""
    steps, batch, _ = n.shape(0)
    hidden, dtype = n.shape(1)[1], n.dtype(0)
    weight = np.ascontiguousarray(n.const(1)[way])
    out = typed(b.MatMulV2(flat, weight, transpose_x1=False, transpose_x2=True), dtype, [steps * batch, hidden])
    if n.has(3):
        both = n.const(3)[way]
        out = typed(b.Add(out, both[:hidden] + both[hidden:]), dtype, [steps * batch, hidden])
    apart = typed(b.Reshape(out, int64([steps, batch, hidden])), dtype, [steps, batch, hidden])
    return [typed(part, dtype, [batch, hidden]) for part in b.Unpack(apart, num=steps, axis=0, outputs=steps)]


def _initial(b: Any, n: Any) -> list[Any]:
    """Returns the first state of each direction."""
    batch, (ways, hidden), dtype = n.shape(0)[1], n.shape(1)[:2], n.dtype(0)
    if not n.has(5):
        return [np.zeros((batch, hidden), dtype.numpy)] * ways
    known = n.known(5)
    if known is not None:
        return [np.ascontiguousarray(state) for state in known]
    return [typed(state, dtype, [batch, hidden]) for state in b.Unpack(n.x[5], num=ways, axis=0, outputs=ways)]


@lifts(GE, "Unpack")
def lift_unpack_air(o: Any, n: Any) -> Any:
    """A Split whose parts lose the axis."""
    axis, count = n.attr("axis"), n.attr("num")
    parts = o.Split(n.x[0], axis=axis, num_outputs=count, outputs=len(n.node.outputs))
    return [o.Squeeze(part, int64([axis])) for part in parts]


@lifts(GE, "Pack")
def lift_pack_air(o: Any, n: Any) -> Any:
    """A Concat along a new axis."""
    axis = n.attr("axis")
    return o.Concat(*(o.Unsqueeze(x, int64([axis])) for x in n.x), axis=axis)
