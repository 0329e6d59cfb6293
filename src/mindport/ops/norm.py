"""Normalisation, in its inference form."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import f32, sample, weight

_BN = (weight(3), weight(3, low=-0.5, high=0.5), weight(3, low=-0.4, high=0.4), weight(3, low=0.5, high=2.0))

card(
    "BatchNormalization",
    samples=[
        sample(f32(2, 3, 5, 4), *_BN),
        sample(f32(2, 3), *_BN, epsilon=1e-2),
        sample(f32(2, 3, 5), *_BN),
        sample(f32(2, 3, 2, 5, 4), *_BN),
    ],
    notes="Inference only: running statistics are used, never updated.",
)
card(
    "LayerNormalization",
    samples=[
        sample(f32(2, 3, 4), weight(4), weight(4, low=-0.5, high=0.5)),
        sample(f32(2, 3, 4), weight(3, 4), weight(3, 4, low=-0.5, high=0.5), axis=1, epsilon=1e-3),
        sample(f32(2, 3, 4), weight(4)),
    ],
)
card(
    "InstanceNormalization",
    samples=[sample(f32(2, 3, 5, 4), weight(3), weight(3, low=-0.5, high=0.5), epsilon=1e-3)],
)
card(
    "GroupNormalization",
    samples=[sample(f32(2, 6, 5, 4), weight(6), weight(6, low=-0.5, high=0.5), num_groups=3, epsilon=1e-3)],
)
card("LRN", samples=[sample(f32(1, 6, 4, 5), size=3, alpha=0.02, beta=0.6, bias=1.5)])


@mindir("BatchNormalization")
def lower_batch_norm_mindir(b: Any, n: Any) -> Any:
    """The kernel wants four axes: N, C, H, W."""
    if n.attr("training_mode"):
        raise Unsupported("batch normalisation in training mode; export the network in evaluation mode")
    rank = n.rank(0)
    x, back = n.x[0], None
    if rank in (2, 3):
        for axis in range(rank, 4):
            x = b.ExpandDims(x, axis)
    elif rank > 4:
        _, channels, *rest = n.dims(0)
        if None in rest or channels is None:
            raise Unsupported("batch normalisation of more than four axes needs all but the batch to be known")
        x, back = b.Reshape(x, (-1, channels, rest[0], int(np.prod(rest[1:])))), (-1, channels, *rest)
    out = b.item(b.BatchNorm(x, *(n.x[i] for i in range(1, 5)), False, float(n.attr("epsilon")), 0.1, "NCHW"), 0)
    if rank in (2, 3):
        return b.Squeeze(out, tuple(range(rank, 4)))
    return out if back is None else b.Reshape(out, back)


@lifts(MINDSPORE, "BatchNorm")
def lift_batch_norm(o: Any, n: Any) -> Any:
    """Only the first of its five results exists at inference."""
    if n.literal("is_training"):
        raise Unsupported("batch normalisation in training mode; export the network in evaluation mode")
    out = o.BatchNormalization(*(n.x[i] for i in range(5)), epsilon=float(n.literal("epsilon")))
    return (out, None, None, None, None)


@mindir("LayerNormalization")
def lower_layer_norm_mindir(b: Any, n: Any) -> Any:
    """LayerNorm gives (y, mean, variance); ONNX wants 1/sqrt(variance + eps) as its third."""
    axis = n.axis()
    shape = n.dims(0)[axis:]
    if None in shape:
        raise Unsupported("layer normalisation over an axis of unknown size")
    dtype = n.dtype(1)
    scale = n.x[1] if n.dims(1) == shape else b.BroadcastTo(n.x[1], shape)
    if not n.has(2):
        bias = b.const(np.zeros(shape), dtype)
    else:
        bias = n.x[2] if n.dims(2) == shape else b.BroadcastTo(n.x[2], shape)
    epsilon = float(n.attr("epsilon"))
    pack = b.LayerNorm(n.x[0], scale, bias, axis, axis, epsilon)
    mean = b.item(pack, 1) if n.wants(1) else None
    inverse = b.Rsqrt(b.Add(b.item(pack, 2), b.const(epsilon, np.float32))) if n.wants(2) else None
    return b.item(pack, 0), mean, inverse


@lifts(MINDSPORE, "LayerNorm", "LayerNormV3")
def lift_layer_norm(o: Any, n: Any) -> Any:
    """begin_norm_axis and begin_params_axis agree in every exported network."""
    axis, params = int(n.literal("begin_norm_axis")), int(n.literal("begin_params_axis"))
    rank = n.rank(0)
    if axis % rank != params % rank:
        raise Unsupported("layer normalisation whose parameters cover other axes than it normalises")
    y, mean, inverse = o.LayerNormalization(
        n.x[0], n.x[1], n.x[2], axis=axis, epsilon=float(n.literal("epsilon")), outputs=3
    )
    one = o.const(1, np.float32)
    epsilon = o.const(n.literal("epsilon"), np.float32)
    return y, mean, o.Sub(o.Div(one, o.Mul(inverse, inverse)), epsilon)


@mindir("GroupNormalization")
def lower_group_norm_mindir(b: Any, n: Any) -> Any:
    """GroupNorm(x, groups, weight, bias, eps)."""
    return b.item(b.GroupNorm(n.x[0], int(n.attr("num_groups")), n.x[1], n.x[2], float(n.attr("epsilon"))), 0)


@mindir("InstanceNormalization")
def lower_instance_norm_mindir(b: Any, n: Any) -> Any:
    """One group per channel; MindSpore's InstanceNorm itself changes state."""
    (channels,) = n.shape(1)
    return b.item(b.GroupNorm(n.x[0], channels, n.x[1], n.x[2], float(n.attr("epsilon"))), 0)


@lifts(MINDSPORE, "InstanceNorm")
def lift_instance_norm(o: Any, n: Any) -> Any:
    """In training it also updates its running statistics; a graph made for inference shows the first result only."""
    return o.InstanceNormalization(n.x[0], n.x[1], n.x[2], epsilon=float(n.attr("epsilon"))), None, None


@lifts(MINDSPORE, "GroupNorm")
def lift_group_norm(o: Any, n: Any) -> Any:
    """Only the first of its three results has a counterpart."""
    out = o.GroupNormalization(
        n.x[0],
        n.tensor("weight"),
        n.tensor("bias"),
        num_groups=int(n.literal("num_groups")),
        epsilon=float(n.literal("eps")),
    )
    return (out, None, None)


@mindir("LRN")
def lower_lrn_mindir(b: Any, n: Any) -> Any:
    """Alpha is per element here, per window in ONNX."""
    size = int(n.attr("size"))
    if size % 2 == 0:
        raise Unsupported("local response normalisation over an even number of channels")
    return b.LRN(
        n.x[0],
        depth_radius=(size - 1) // 2,
        bias=float(n.attr("bias")),
        alpha=float(n.attr("alpha")) / size,
        beta=float(n.attr("beta")),
        norm_region="ACROSS_CHANNELS",
    )


@lifts(MINDSPORE, "LRN")
def lift_lrn(o: Any, n: Any) -> Any:
    """Alpha is per element here, per window in ONNX."""
    size = 2 * int(n.attr("depth_radius")) + 1
    alpha, beta, bias = (float(n.attr(k)) for k in ("alpha", "beta", "bias"))
    return o.LRN(n.x[0], size=size, alpha=alpha * size, beta=beta, bias=bias)


@lifts(MINDSPORE, "RmsNorm")
def lift_rms_norm(o: Any, n: Any) -> Any:
    """(x / sqrt(mean(x²) + eps) · gamma, 1 / sqrt(…)) over the axes that gamma covers."""
    covered = list(range(-len(n.shape(1)), 0))
    mean = o.ReduceMean(o.Mul(n.x[0], n.x[0]), np.asarray(covered, np.int64))
    inverse = o.Reciprocal(o.Sqrt(o.Add(mean, o.const(n.literal(2), n.dtype(0)))))
    return o.Mul(o.Mul(n.x[0], inverse), n.x[1]), inverse
