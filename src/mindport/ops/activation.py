"""Activations."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import f16, f32, sample, weight

card(
    "Relu",
    mindir="ReLU",
    air="Relu",
    samples=[sample(f32(2, 3)), sample(f16(2, 3))],
    notes="MindSpore's CPU kernel turns NaN into 0.",
)
card("Sigmoid", mindir="Sigmoid", air="Sigmoid", samples=[sample(f32(2, 3))])
card("Tanh", mindir="Tanh", air="Tanh", samples=[sample(f32(2, 3))])
card("Softsign", mindir="Softsign", air="Softsign", samples=[sample(f32(2, 3))])
card("Softplus", mindir="Softplus", air="Softplus", samples=[sample(f32(2, 3))])
card("Mish", mindir="Mish", air="Mish", samples=[sample(f32(2, 3))])
card("HardSwish", mindir="HSwish", air="HardSwish", samples=[sample(f32(2, 3, low=-4, high=4))])
card(
    "Softmax",
    samples=[sample(f32(2, 5)), sample(f32(2, 3, 4), axis=1)],
    notes="MindSpore gives 0, not NaN, for rows of -inf.",
)
card("LogSoftmax", samples=[sample(f32(2, 5)), sample(f32(2, 3, 4), axis=1)])
card("LeakyRelu", samples=[sample(f32(2, 3)), sample(f32(2, 3), alpha=0.2), sample(f32(2, 3), alpha=1.5)])
card("PRelu", samples=[sample(f32(2, 3, 4, 5), weight(3, 1, 1)), sample(f32(2, 3), weight(1))])
card("Elu", samples=[sample(f32(2, 3)), sample(f32(2, 3), alpha=0.5)])
card("Celu", samples=[sample(f32(2, 3)), sample(f32(2, 3), alpha=0.5)])
card("Selu", samples=[sample(f32(2, 3)), sample(f32(2, 3), alpha=1.5, gamma=1.2)])
card("ThresholdedRelu", samples=[sample(f32(2, 3)), sample(f32(2, 3), alpha=0.3)])
card(
    "HardSigmoid", samples=[sample(f32(2, 3, low=-4, high=4)), sample(f32(2, 3, low=-4, high=4), alpha=1 / 6, beta=0.5)]
)
card("Gelu", samples=[sample(f32(2, 3)), sample(f32(2, 3), approximate="tanh")])

_SELU = (1.67326319217681884765625, 1.05070102214813232421875)


@mindir("Softmax")
def lower_softmax_mindir(b: Any, n: Any) -> Any:
    """Softmax(input, axis: tuple)."""
    return b.Softmax(n.x[0], axis=(n.attr("axis"),))


@lifts(MINDSPORE, "Softmax")
def lift_softmax(o: Any, n: Any) -> Any:
    """One axis only: ONNX has no softmax over several."""
    (axis,) = n.ints("axis")
    return o.Softmax(n.x[0], axis=axis)


@mindir("LogSoftmax")
def lower_log_softmax_mindir(b: Any, n: Any) -> Any:
    """LogSoftmax(logits, axis)."""
    return b.LogSoftmax(n.x[0], n.attr("axis"))


@lifts(MINDSPORE, "LogSoftmax")
def lift_log_softmax(o: Any, n: Any) -> Any:
    """LogSoftmax(logits, axis)."""
    return o.LogSoftmax(n.x[0], axis=n.literal(1))


def _where_negative(b: Any, n: Any, negative: Any) -> Any:
    return b.Select(b.Less(n.x[0], b.const(0, n.dtype(0))), negative, n.x[0])


@mindir("LeakyRelu")
def lower_leaky_relu_mindir(b: Any, n: Any) -> Any:
    """MindSpore itself writes max(a·x, x), which is wrong for slopes above 1."""
    return _where_negative(b, n, b.Mul(n.x[0], b.const(n.attr("alpha"), n.dtype(0))))


@mindir("PRelu")
def lower_prelu_mindir(b: Any, n: Any) -> Any:
    """MindSpore's PReLU wants one slope per channel; this takes every shape that broadcasts."""
    return _where_negative(b, n, b.Mul(n.x[0], n.x[1]))


@lifts(MINDSPORE, "PReLU")
def lift_prelu(o: Any, n: Any) -> Any:
    """One slope per channel (axis 1)."""
    slope = n.x[1]
    if n.rank(0) > 2:
        slope = o.Reshape(slope, np.asarray([-1] + [1] * (n.rank(0) - 2)))
    return o.PRelu(n.x[0], slope)


@lifts(MINDSPORE, "LeakyReLUExt")
def lift_leaky_relu(o: Any, n: Any) -> Any:
    """LeakyReLUExt(input, negative_slope)."""
    return o.LeakyRelu(n.x[0], alpha=float(n.literal(1)))


@mindir("Elu")
def lower_elu_mindir(b: Any, n: Any) -> Any:
    """MindSpore's Elu takes alpha 1 only."""
    alpha = n.attr("alpha")
    if alpha == 1.0:
        return b.Elu(n.x[0], 1.0)
    one = b.const(1, n.dtype(0))
    return _where_negative(b, n, b.Mul(b.Sub(b.Exp(n.x[0]), one), b.const(alpha, n.dtype(0))))


@lifts(MINDSPORE, "Elu", "EluExt")
def lift_elu(o: Any, n: Any) -> Any:
    """Elu(x, alpha)."""
    return o.Elu(n.x[0], alpha=float(n.literal(1)))


@mindir("Celu")
def lower_celu_mindir(b: Any, n: Any) -> Any:
    """CeLU(x, alpha)."""
    return b.CeLU(n.x[0], float(n.attr("alpha")))


@lifts(MINDSPORE, "CeLU")
def lift_celu(o: Any, n: Any) -> Any:
    """ONNX has it for float32 only."""
    alpha, number = float(n.literal(1)), n.dtype(0).onnx
    if number == 1:
        return o.Celu(n.x[0], alpha=alpha)
    return o.Cast(o.Celu(o.Cast(n.x[0], to=1), alpha=alpha), to=number)


@mindir("Selu")
def lower_selu_mindir(b: Any, n: Any) -> Any:
    """SeLU has its constants built in."""
    alpha, gamma = n.attr("alpha"), n.attr("gamma")
    if np.allclose((alpha, gamma), _SELU, rtol=1e-6):
        return b.SeLU(n.x[0])
    dtype = n.dtype(0)
    negative = b.Mul(b.Sub(b.Exp(n.x[0]), b.const(1, dtype)), b.const(alpha, dtype))
    return b.Mul(_where_negative(b, n, negative), b.const(gamma, dtype))


@lifts(MINDSPORE, "SeLU", "SeLUExt")
def lift_selu(o: Any, n: Any) -> Any:
    """Constants as in ONNX's default."""
    return o.Selu(n.x[0], alpha=_SELU[0], gamma=_SELU[1])


@mindir("ThresholdedRelu")
def lower_thresholded_relu_mindir(b: Any, n: Any) -> Any:
    """Keeps x where x > alpha, else 0."""
    zero = b.const(0, n.dtype(0))
    return b.Select(b.Greater(n.x[0], b.const(n.attr("alpha"), n.dtype(0))), n.x[0], zero)


@mindir("HardSigmoid")
def lower_hard_sigmoid_mindir(b: Any, n: Any) -> Any:
    """HSigmoid has the constants 1/6 and 1/2 built in."""
    alpha, beta = n.attr("alpha"), n.attr("beta")
    if np.isclose(alpha, 1 / 6, rtol=1e-6) and beta == 0.5:
        return b.HSigmoid(n.x[0])
    dtype = n.dtype(0)
    line = b.Add(b.Mul(n.x[0], b.const(alpha, dtype)), b.const(beta, dtype))
    return b.Minimum(b.Maximum(line, b.const(0, dtype)), b.const(1, dtype))


lifts(MINDSPORE, "HSigmoid")(lambda o, n: o.HardSigmoid(n.x[0], alpha=1 / 6, beta=0.5))


@mindir("Gelu")
def lower_gelu_mindir(b: Any, n: Any) -> Any:
    """GeLU is the tanh form; the exact one is composed with Erf."""
    if n.attr("approximate") == "tanh":
        return b.GeLU(n.x[0])
    dtype = n.dtype(0)
    inner = b.Add(b.Erf(b.Mul(n.x[0], b.const(1 / sqrt(2), dtype))), b.const(1, dtype))
    return b.Mul(b.Mul(n.x[0], b.const(0.5, dtype)), inner)


lifts(MINDSPORE, "GeLU")(lambda o, n: o.Gelu(n.x[0], approximate="tanh"))


@lifts(MINDSPORE, "GeluExt")
def lift_gelu_ext(o: Any, n: Any) -> Any:
    """approximate: 0 none, 1 tanh."""
    return o.Gelu(n.x[0], approximate="tanh" if n.literal(1) else "none")


lifts(MINDSPORE, "SiLU")(lambda o, n: o.Mul(n.x[0], o.Sigmoid(n.x[0])))
lifts(MINDSPORE, "ReLU6")(lambda o, n: o.Clip(n.x[0], o.const(0, n.dtype(0)), o.const(6, n.dtype(0))))


@lifts(MINDSPORE, "HShrink")
def lift_hshrink(o: Any, n: Any) -> Any:
    """0 inside [-lambd, lambd]."""
    return o.Shrink(n.x[0], bias=0.0, lambd=float(n.literal(1)))


@lifts(MINDSPORE, "SoftShrink")
def lift_softshrink(o: Any, n: Any) -> Any:
    """Moves values towards 0 by lambd."""
    lambd = float(n.literal(1))
    return o.Shrink(n.x[0], bias=lambd, lambd=lambd)
