"""Recurrent layers over a known number of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import f32, sample, weight

card(
    "LSTM",
    samples=[
        sample(f32(4, 2, 3), weight(1, 20, 3), weight(1, 20, 5), outputs=3, hidden_size=5),
        sample(
            f32(4, 2, 3),
            weight(2, 20, 3),
            weight(2, 20, 5),
            weight(2, 40),
            None,
            weight(2, 2, 5),
            weight(2, 2, 5, low=0),
            outputs=3,
            hidden_size=5,
            direction="bidirectional",
        ),
        sample(
            f32(4, 2, 3),
            weight(1, 20, 3),
            weight(1, 20, 5),
            weight(1, 40),
            hidden_size=5,
            direction="reverse",
        ),
    ],
)
card(
    "GRU",
    samples=[
        sample(f32(4, 2, 3), weight(1, 15, 3), weight(1, 15, 5), weight(1, 30), outputs=2, hidden_size=5),
        sample(
            f32(4, 2, 3),
            weight(2, 15, 3),
            weight(2, 15, 5),
            weight(2, 30),
            None,
            weight(2, 2, 5),
            outputs=2,
            hidden_size=5,
            direction="bidirectional",
            linear_before_reset=1,
        ),
    ],
)
card(
    "RNN",
    samples=[
        sample(f32(4, 2, 3), weight(1, 5, 3), weight(1, 5, 5), weight(1, 10), outputs=2, hidden_size=5),
        sample(
            f32(4, 2, 3),
            weight(1, 5, 3),
            weight(1, 5, 5),
            outputs=2,
            hidden_size=5,
            direction="reverse",
            activations=["Relu"],
        ),
    ],
)


class _Layer:
    """One recurrent node: its pieces by direction. x is (T, N, I)."""

    def __init__(self, b: Any, n: Any, gates: int) -> None:
        self.b, self.n, self.gates = b, n, gates
        if n.has(4):
            raise Unsupported("sequences of different lengths")
        if n.attr("clip") is not None:
            raise Unsupported("clipped cell inputs")
        self.steps, self.batch, self.features = n.shape(0)
        if n.attr("layout"):
            self.steps, self.batch = self.batch, self.steps
        self.directions, _, self.hidden = n.shape(2)
        self.dtype = n.dtype(0)
        x = n.x[0]
        self.x = b.Transpose(x, (1, 0, 2)) if n.attr("layout") else x

    def reverse(self, d: int) -> bool:
        """True if direction `d` runs from the last step to the first."""
        return d == 1 or self.n.attr("direction") == "reverse"

    def piece(self, i: int, d: int) -> Any:
        """Returns input `i` (weights, biases, states) of direction `d`, without its first axis; None if absent."""
        if not self.n.has(i):
            return None
        if self.directions == 1:
            return self.b.Squeeze(self.n.x[i], (0,))
        return self.b.Gather(self.n.x[i], self.b.const(d, np.int64), 0, 0)

    def state(self, i: int, d: int) -> Any:
        """Returns the initial state in input `i` of direction `d`, shape (N, H); zeros if absent."""
        if not self.n.has(i):
            return self.b.const(np.zeros((self.batch, self.hidden)), self.dtype)
        if self.n.attr("layout"):
            raise Unsupported("initial states in batch-first layout")
        return self.piece(i, d)

    def order(self, d: int) -> list[int]:
        """Returns the steps of direction `d` in the order of time."""
        return list(range(self.steps))[:: -1 if self.reverse(d) else 1]

    def step(self, x: Any, t: int) -> Any:
        """Returns step `t` of a (T, N, …) value."""
        return self.b.Gather(x, self.b.const(t, np.int64), 0, 0)

    def gate(self, value: Any, k: int) -> Any:
        """Returns gate `k` of a (N, gates · H) value."""
        h = self.hidden
        return self.b.StridedSlice(value, (0, k * h), (0, (k + 1) * h), (1, 1), 1, 1)

    def activations(self, d: int, default: list[str]) -> list[Any]:
        """Returns the activation functions of direction `d` as builder calls."""
        count = len(default)
        names = list(self.n.attr("activations") or default * self.directions)[d * count : (d + 1) * count]
        known = {"sigmoid": self.b.Sigmoid, "tanh": self.b.Tanh, "relu": self.b.ReLU}
        unknown = [name for name in names if name.lower() not in known]
        if unknown:
            raise Unsupported(f"activation {', '.join(unknown)}")
        return [known[name.lower()] for name in names]

    def results(self, ys: list[Any], *states: list[Any]) -> Any:
        """Returns Y (T, D, N, H) and the last states (D, N, H) from what each direction gave."""
        b = self.b
        y = b.Concat([b.ExpandDims(v, 1) for v in ys], 1) if len(ys) > 1 else b.ExpandDims(ys[0], 1)
        ends = [b.Concat([b.ExpandDims(v, 0) for v in s], 0) if len(s) > 1 else b.ExpandDims(s[0], 0) for s in states]
        if self.n.attr("layout"):
            return b.Transpose(y, (2, 0, 1, 3)), *(b.Transpose(e, (1, 0, 2)) for e in ends)
        return y, *ends

    def stacked(self, steps: dict[int, Any]) -> Any:
        """Returns outputs of single steps as one (T, N, H) value in the order of the input."""
        rows = [self.b.ExpandDims(steps[t], 0) for t in range(self.steps)]
        return self.b.Concat(rows, 0) if len(rows) > 1 else rows[0]


@mindir("LSTM")
def lower_lstm_mindir(b: Any, n: Any) -> Any:
    """MindSpore's LSTM kernel per direction; its gates are in the order i, f, c, o, ONNX's in i, o, f, c."""
    if n.has(7) or n.attr("input_forget"):
        raise Unsupported("an LSTM with peepholes or coupled gates")
    layer = _Layer(b, n, 4)
    ys, hs, cs = [], [], []
    for d in range(layer.directions):
        names = list(n.attr("activations") or [])
        if names and [a.lower() for a in names[3 * d : 3 * d + 3]] != ["sigmoid", "tanh", "tanh"]:
            raise Unsupported("an LSTM with other activations than sigmoid and tanh")
        x = b.ReverseV2(layer.x, (0,)) if layer.reverse(d) else layer.x
        h, c = (b.ExpandDims(layer.state(i, d), 0) for i in (5, 6))
        pack = b.LSTM(
            x,
            h,
            c,
            _lstm_weights(layer, d),
            input_size=layer.features,
            hidden_size=layer.hidden,
            num_layers=1,
            has_bias=True,
            bidirectional=False,
            dropout=0.0,
            proj_size=0,
        )
        y = b.item(pack, 0)
        ys.append(b.ReverseV2(y, (0,)) if layer.reverse(d) else y)
        hs.append(b.Squeeze(b.item(pack, 1), (0,)))
        cs.append(b.Squeeze(b.item(pack, 2), (0,)))
    return layer.results(ys, hs, cs)


def _lstm_weights(layer: _Layer, d: int) -> Any:
    """Returns W, R and the sum of both biases, gates reordered, as one (K, 1, 1) tensor."""
    b, h = layer.b, layer.hidden
    order = np.concatenate([np.arange(k * h, (k + 1) * h) for k in (0, 2, 3, 1)])
    index = b.literal(order)
    flat = [b.Reshape(b.Gather(layer.piece(i, d), index, 0, 0), (-1, 1, 1)) for i in (1, 2)]
    if layer.n.has(3):
        both = b.Split(layer.piece(3, d), 0, 2)
        bias = b.Gather(b.Add(b.item(both, 0), b.item(both, 1)), index, 0, 0)
        flat.append(b.Reshape(bias, (-1, 1, 1)))
    else:
        flat.append(b.const(np.zeros((4 * h, 1, 1)), layer.dtype))
    return b.Concat(flat, 0)


@mindir("GRU")
def lower_gru_mindir(b: Any, n: Any) -> Any:
    """Unrolled over time, gates z, r, h."""
    layer = _Layer(b, n, 3)
    ys, hs = [], []
    for d in range(layer.directions):
        sigma, tanh = layer.activations(d, ["Sigmoid", "Tanh"])
        w, r = layer.piece(1, d), layer.piece(2, d)
        wb, rb = _biases(layer, d)
        h, steps = layer.state(5, d), {}
        for t in layer.order(d):
            gates = _with_bias(b, b.MatMul(layer.step(layer.x, t), w, False, True), wb)
            recurrent = _with_bias(b, b.MatMul(h, r, False, True), rb)
            z = sigma(b.Add(layer.gate(gates, 0), layer.gate(recurrent, 0)))
            reset = sigma(b.Add(layer.gate(gates, 1), layer.gate(recurrent, 1)))
            if n.attr("linear_before_reset"):
                inner = b.Mul(reset, layer.gate(recurrent, 2))
            else:
                last = b.StridedSlice(r, (2 * layer.hidden, 0), (3 * layer.hidden, 0), (1, 1), 2, 2)
                inner = b.MatMul(b.Mul(reset, h), last, False, True)
                if rb is not None:
                    inner = b.Add(inner, b.StridedSlice(rb, (2 * layer.hidden,), (3 * layer.hidden,), (1,)))
            new = tanh(b.Add(layer.gate(gates, 2), inner))
            h = b.Add(new, b.Mul(z, b.Sub(h, new)))
            steps[t] = h
        ys.append(layer.stacked(steps))
        hs.append(h)
    return layer.results(ys, hs)


@mindir("RNN")
def lower_rnn_mindir(b: Any, n: Any) -> Any:
    """Unrolled over time."""
    layer = _Layer(b, n, 1)
    ys, hs = [], []
    for d in range(layer.directions):
        (act,) = layer.activations(d, ["Tanh"])
        w, r = layer.piece(1, d), layer.piece(2, d)
        wb, rb = _biases(layer, d)
        h, steps = layer.state(5, d), {}
        for t in layer.order(d):
            h = act(
                b.Add(
                    _with_bias(b, b.MatMul(layer.step(layer.x, t), w, False, True), wb),
                    _with_bias(b, b.MatMul(h, r, False, True), rb),
                )
            )
            steps[t] = h
        ys.append(layer.stacked(steps))
        hs.append(h)
    return layer.results(ys, hs)


def _biases(layer: _Layer, d: int) -> tuple[Any, Any]:
    if not layer.n.has(3):
        return None, None
    both = layer.b.Split(layer.piece(3, d), 0, 2)
    return layer.b.item(both, 0), layer.b.item(both, 1)


def _with_bias(b: Any, value: Any, bias: Any) -> Any:
    return value if bias is None else b.Add(value, bias)


@lifts(MINDSPORE, "LSTM")
def lift_lstm(o: Any, n: Any) -> Any:
    """One layer, one direction: what networks are exported with; weights are W, R and one bias in one tensor."""
    if int(n.attr("num_layers")) != 1 or n.attr("bidirectional") or n.attr("proj_size", 0):
        raise Unsupported("an LSTM of several layers, both directions or with projection in one primitive")
    features, h = int(n.attr("input_size")), int(n.attr("hidden_size"))
    sizes = [4 * h * features, 4 * h * h, *([4 * h] if n.attr("has_bias") else [])]
    flat = o.Reshape(n.x[3], np.asarray([-1], np.int64))
    parts = o.Split(flat, np.asarray(sizes, np.int64), axis=0, outputs=len(sizes))
    order = np.concatenate([np.arange(k * h, (k + 1) * h) for k in (0, 3, 1, 2)])
    w = o.Gather(o.Reshape(parts[0], np.asarray([1, 4 * h, features], np.int64)), order, axis=1)
    r = o.Gather(o.Reshape(parts[1], np.asarray([1, 4 * h, h], np.int64)), order, axis=1)
    bias = None
    if n.attr("has_bias"):
        both = o.Gather(o.Reshape(parts[2], np.asarray([1, 4 * h], np.int64)), order, axis=1)
        bias = o.Concat(both, o.const(np.zeros((1, 4 * h)), n.dtype(0)), axis=1)
    y, hy, cy = o.LSTM(n.x[0], w, r, bias, None, n.x[1], n.x[2], hidden_size=h, outputs=3)
    return o.Squeeze(y, np.asarray([1], np.int64)), hy, cy, None, None
