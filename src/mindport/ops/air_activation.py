"""AIR: activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.errors import Unsupported
from mindport.ops.air_common import only, same, scalar
from mindport.ops.card import air, lifts

_SELU = (1.67326319217681884765625, 1.05070102214813232421875)  # built into GE's operator


@air("Softmax")
def lower_softmax_air(b: Any, n: Any) -> Any:
    """A list of axes, of which ONNX uses one."""
    return b.SoftmaxV2(n.x[0], axes=[n.attr("axis")], half_to_float=False)


@lifts(GE, "SoftmaxV2")
def lift_softmax_air(o: Any, n: Any) -> Any:
    """One axis only."""
    only(n, half_to_float=False)
    return o.Softmax(n.x[0], axis=_single(n))


@air("LogSoftmax")
def lower_log_softmax_air(b: Any, n: Any) -> Any:
    """Input `logits`, output `logsoftmax`."""
    return b.LogSoftmaxV2(n.x[0], axes=[n.attr("axis")])


lifts(GE, "LogSoftmaxV2")(lambda o, n: o.LogSoftmax(n.x[0], axis=_single(n)))


def _single(n: Any) -> int:
    axes = list(n.attr("axes"))
    if len(axes) != 1:
        raise Unsupported(f"{n.op} over {len(axes)} axes; ONNX has one")
    return int(axes[0])


air("Hardmax")(lambda b, n: b.HardMax(n.x[0], axis=n.attr("axis")))
lifts(GE, "HardMax")(lambda o, n: o.Hardmax(n.x[0], axis=n.attr("axis")))

air("LeakyRelu")(lambda b, n: b.LeakyRelu(n.x[0], negative_slope=n.attr("alpha")))
lifts(GE, "LeakyRelu")(lambda o, n: o.LeakyRelu(n.x[0], alpha=n.attr("negative_slope")))


@air("PRelu")
def lower_prelu_air(b: Any, n: Any) -> Any:
    """GE takes one slope for each channel (axis 1), or a single one; every other shape is composed."""
    slope = n.known(1)
    per_channel = n.rank(0) >= 2 and n.dims(0)[1]
    if slope is not None and (slope.size == 1 or (slope.size == per_channel and _channel_shaped(slope, n.rank(0)))):
        return b.PRelu(n.x[0], np.ascontiguousarray(slope.reshape(-1)))
    zero = scalar(0, n.dtype(0))
    positive = same(b.Maximum(n.x[0], zero), n)
    negative = same(b.Minimum(n.x[0], zero), n)
    return b.Add(positive, same(b.Mul(negative, n.x[1]), n))


def _channel_shaped(slope: np.ndarray[Any, Any], rank: int) -> bool:
    """True for [C, 1, …, 1] against [N, C, …] (leading dimensions of 1 may be there too)."""
    shape = [1] * (rank - slope.ndim) + list(slope.shape)
    return slope.ndim <= rank and all(d == 1 for i, d in enumerate(shape) if i != 1)


@lifts(GE, "PRelu")
def lift_prelu_air(o: Any, n: Any) -> Any:
    """One slope for each channel, or one for all."""
    slope = n.x[1]
    if n.rank(0) > 2:
        slope = o.Reshape(slope, np.asarray([-1] + [1] * (n.rank(0) - 2)))
    return o.PRelu(n.x[0], slope)


air("Elu")(lambda b, n: b.Elu(n.x[0], alpha=n.attr("alpha"), scale=1.0, input_scale=1.0))


@lifts(GE, "Elu")
def lift_elu_air(o: Any, n: Any) -> Any:
    """Scaled forms have no counterpart."""
    only(n, scale=1.0, input_scale=1.0)
    return o.Elu(n.x[0], alpha=n.attr("alpha"))


air("Celu")(lambda b, n: b.CeluV2(n.x[0], alpha=n.attr("alpha")))
lifts(GE, "CeluV2")(lambda o, n: o.Celu(n.x[0], alpha=n.attr("alpha")))


@air("Selu")
def lower_selu_air(b: Any, n: Any) -> Any:
    """GE's Selu has its constants built in; others are a scaled Elu."""
    alpha, gamma = n.attr("alpha"), n.attr("gamma")
    if np.allclose((alpha, gamma), _SELU, rtol=1e-6):
        return b.Selu(n.x[0])
    inner = same(b.Elu(n.x[0], alpha=alpha, scale=1.0, input_scale=1.0), n)
    return b.Mul(inner, scalar(gamma, n.dtype(0)))


lifts(GE, "Selu")(lambda o, n: o.Selu(n.x[0], alpha=_SELU[0], gamma=_SELU[1]))


@air("ThresholdedRelu")
def lower_thresholded_relu_air(b: Any, n: Any) -> Any:
    """Threshold gives 1 above the threshold and 0 elsewhere."""
    return b.Mul(n.x[0], same(b.Threshold(n.x[0], threshold=n.attr("alpha")), n))


@lifts(GE, "Threshold")
def lift_threshold_air(o: Any, n: Any) -> Any:
    """1 above the threshold, else 0."""
    above = o.Greater(n.x[0], o.const(n.attr("threshold"), n.dtype(0)))
    return o.Cast(above, to=n.dtype(0).onnx)


air("HardSigmoid")(lambda b, n: b.HardSigmoid(n.x[0], alpha=n.attr("alpha"), beta=n.attr("beta")))
lifts(GE, "HardSigmoid")(lambda o, n: o.HardSigmoid(n.x[0], alpha=n.attr("alpha"), beta=n.attr("beta")))

air("Shrink")(lambda b, n: b.Shrink(n.x[0], lambd=n.attr("lambd"), bias=n.attr("bias")))
lifts(GE, "Shrink")(lambda o, n: o.Shrink(n.x[0], lambd=n.attr("lambd"), bias=n.attr("bias")))


@air("Gelu")
def lower_gelu_air(b: Any, n: Any) -> Any:
    """GeluV2 says which of the two forms is meant; the older Gelu does not."""
    return b.GeluV2(n.x[0], approximate=n.attr("approximate"))


lifts(GE, "GeluV2")(lambda o, n: o.Gelu(n.x[0], approximate=n.attr("approximate")))


@lifts(GE, "Swish")
def lift_swish_air(o: Any, n: Any) -> Any:
    """The product of x and sigmoid(scale · x)."""
    scale = n.attr("scale")
    inner = n.x[0] if scale == 1.0 else o.Mul(n.x[0], o.const(scale, n.dtype(0)))
    return o.Mul(n.x[0], o.Sigmoid(inner))


lifts(GE, "Relu6")(lambda o, n: o.Clip(n.x[0], o.const(0, n.dtype(0)), o.const(6, n.dtype(0))))


@lifts(GE, "SoftplusV2")
def lift_softplus_v2_air(o: Any, n: Any) -> Any:
    """The threshold only saves time: far above it both forms agree to the last bit of float32."""
    only(n, beta=1.0, threshold=20.0)
    return o.Softplus(n.x[0])
