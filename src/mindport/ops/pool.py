"""Pooling, in NCHW throughout."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.dtypes import named
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.conv import explicit_pads, spatial
from mindport.ops.geometry import Window, window
from mindport.ops.samples import f32, sample, u8

card(
    "MaxPool",
    samples=[
        sample(f32(2, 3, 9, 8), kernel_shape=[3, 2], strides=[2, 1]),
        sample(f32(2, 3, 9, 8), kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 2, 1]),
        sample(f32(1, 3, 9, 7), kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1),
        sample(f32(1, 3, 9, 7), kernel_shape=[2, 3], strides=[2, 3], auto_pad="SAME_UPPER"),
        sample(f32(2, 3, 9), kernel_shape=[3], strides=[2], pads=[1, 0]),
        sample(f32(1, 2, 5, 6, 7), kernel_shape=[2, 3, 2], strides=[1, 2, 2], pads=[0, 1, 1, 1, 0, 0]),
        sample(f32(1, 2, 9, 8), kernel_shape=[2, 3], dilations=[2, 1], pads=[0, 1, 1, 0], targets=("MINDIR",)),
        sample(u8(1, 2, 9, 8, high=255), kernel_shape=[2, 3], pads=[0, 1, 1, 0], targets=("MINDIR",)),
    ],
)
card(
    "AveragePool",
    samples=[
        sample(f32(2, 3, 9, 8), kernel_shape=[3, 2], strides=[2, 1]),
        sample(f32(2, 3, 9, 8), kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 2, 1]),
        sample(f32(2, 3, 9, 8), kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 2, 1], count_include_pad=1),
        sample(f32(1, 3, 9, 7), kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1),
        sample(f32(2, 3, 9), kernel_shape=[3], strides=[2], pads=[1, 0]),
        sample(f32(1, 2, 5, 6, 7), kernel_shape=[2, 3, 2], strides=[1, 2, 2]),
    ],
)
card("GlobalAveragePool", samples=[sample(f32(2, 3, 5, 4)), sample(f32(2, 3, 5))])
card("GlobalMaxPool", samples=[sample(f32(2, 3, 5, 4)), sample(f32(2, 3, 5))])


def lowest(dtype: Any) -> Any:
    """Returns what can never win a maximum, as a 0-d array."""
    if np.issubdtype(dtype.numpy, np.integer):
        return np.asarray(np.iinfo(dtype.numpy).min, dtype.numpy)
    return np.asarray(-np.inf, dtype.numpy)


def _padded(b: Any, n: Any, win: Window, value: Any) -> Any:
    if not win.padded:
        return n.x[0]
    return b.PadV3(n.x[0], win.pairs_from_last(), b.literal(value), mode="constant", paddings_contiguous=True)


@mindir("MaxPool")
def lower_max_pool_mindir(b: Any, n: Any) -> Any:
    """Padding is a node of its own, since MindSpore knows neither uneven pads nor ceil_mode."""
    if n.wants(1):
        raise Unsupported("MaxPool with indices")
    kernel = tuple(n.attr("kernel_shape"))
    win, dtype = window(n, kernel), n.dtype(0)
    x = _padded(b, n, win, lowest(dtype))
    if dtype.name in ("int8", "uint8"):  # no kernel; every such number is exact in float32
        return b.Cast(_max_of(b, b.Cast(x, named("float32")), win), dtype)
    return _max_of(b, x, win)


def _max_of(b: Any, x: Any, win: Window) -> Any:
    kernel = win.kernel
    if any(d != 1 for d in win.dilations):
        return _dilated_max(b, x, win)
    if win.rank == 1:
        out = b.MaxPool(
            b.ExpandDims(x, 2), kernel_size=(1, 1, 1, *kernel), strides=(1, 1, 1, *win.strides), pad_mode="VALID"
        )
        return b.Squeeze(out, (2,))
    if win.rank == 2:
        return b.MaxPool(x, kernel_size=(1, 1, *kernel), strides=(1, 1, *win.strides), pad_mode="VALID")
    if win.rank == 3:
        return b.MaxPool3D(x, kernel_size=(1, 1, *kernel), strides=(1, 1, *win.strides), pad_mode="VALID")
    raise Unsupported(f"pooling over {win.rank} spatial axes")


def _dilated_max(b: Any, x: Any, win: Window) -> Any:
    """The maximum over one strided slice per kernel position."""
    lengths = []
    for i, size in enumerate(win.sizes):
        if size is None:
            raise Unsupported("dilated pooling needs the height and width of its input to be known")
        lengths.append((size + win.begins[i] + win.ends[i] + win.extra[i] - win.span(i)) // win.strides[i] + 1)
    out = None
    for tap in np.ndindex(*win.kernel):
        begin = tuple(t * d for t, d in zip(tap, win.dilations, strict=True))
        end = tuple(s + (n - 1) * k + 1 for s, n, k in zip(begin, lengths, win.strides, strict=True))
        piece = b.StridedSlice(x, (0, 0, *begin), (0, 0, *end), (1, 1, *win.strides), 3, 3)
        out = piece if out is None else b.Maximum(out, piece)
    return out


@mindir("AveragePool")
def lower_average_pool_mindir(b: Any, n: Any) -> Any:
    """Pads with zeros, averages, and puts the divisor right with a constant of the geometry."""
    kernel = tuple(n.attr("kernel_shape"))
    win = window(n, kernel)
    if any(d != 1 for d in win.dilations):
        raise Unsupported("dilated average pooling")
    dtype = n.dtype(0)
    x = _padded(b, n, win, np.zeros((), dtype.numpy))
    if win.rank == 1:
        out = b.Squeeze(b.AvgPool(b.ExpandDims(x, 2), (1, *kernel), (1, *win.strides), "VALID", "NCHW"), (2,))
    elif win.rank == 2:
        out = b.AvgPool(x, kernel, win.strides, "VALID", "NCHW")
    elif win.rank == 3:
        out = b.AvgPool3D(x, kernel_size=(1, 1, *kernel), strides=(1, 1, *win.strides), pad_mode="VALID")
    else:
        raise Unsupported(f"pooling over {win.rank} spatial axes")
    include = bool(n.attr("count_include_pad"))
    if not win.padded or (include and not any(win.extra)):
        return out
    factor = np.prod(kernel) / win.counts(include)
    return b.Mul(out, b.const(factor[None, None], dtype))


@mindir("GlobalAveragePool")
def lower_global_average_pool_mindir(b: Any, n: Any) -> Any:
    """The mean over the spatial axes."""
    return b.ReduceMean(n.x[0], tuple(range(2, n.rank(0))), True)


@mindir("GlobalMaxPool")
def lower_global_max_pool_mindir(b: Any, n: Any) -> Any:
    """The maximum over the spatial axes."""
    return b.ReduceMax(n.x[0], tuple(range(2, n.rank(0))), True)


def _pool_attrs(n: Any, kernel: Any, strides: Any, rank: int) -> dict[str, Any]:
    if n.attrs.get("format", n.attrs.get("data_format", "NCHW")) in ("NHWC", "NDHWC"):
        raise Unsupported("pooling in channels-last layout")
    return {"kernel_shape": spatial(kernel, rank), "strides": spatial(strides, rank)}


@lifts(MINDSPORE, "MaxPool", "MaxPool3D")
def lift_max_pool(o: Any, n: Any) -> Any:
    """pad_mode same or valid (3-D: also pad)."""
    rank = 3 if n.op == "MaxPool3D" else 2
    attrs = _pool_attrs(n, n.attr("kernel_size"), n.attr("strides"), rank)
    return o.MaxPool(n.x[0], ceil_mode=int(n.attr("ceil_mode", 0) or 0), **attrs, **explicit_pads(n, rank))


@lifts(MINDSPORE, "AvgPool")
def lift_avg_pool(o: Any, n: Any) -> Any:
    """pad_mode is a number here: 1 same, 2 valid; padding never counts."""
    if n.literal("data_format") == 1:
        raise Unsupported("pooling in channels-last layout")
    attrs = _pool_attrs(n, n.ints("kernel_size"), n.ints("strides"), 2)
    auto = {"auto_pad": "SAME_UPPER"} if n.literal("pad_mode") == 1 else {}
    return o.AveragePool(n.x[0], **attrs, **auto)


@lifts(MINDSPORE, "AvgPool3D")
def lift_avg_pool_3d(o: Any, n: Any) -> Any:
    """count_include_pad and ceil_mode mean what they mean in ONNX; a divisor override does not exist there."""
    if n.attr("divisor_override", 0):
        raise Unsupported("average pooling with a fixed divisor")
    attrs = _pool_attrs(n, n.attr("kernel_size"), n.attr("strides"), 3)
    return o.AveragePool(
        n.x[0],
        ceil_mode=int(bool(n.attr("ceil_mode", 0))),
        count_include_pad=int(bool(n.attr("count_include_pad", True))),
        **attrs,
        **explicit_pads(n, 3),
    )


@lifts(MINDSPORE, "MaxPool3DWithArgmax")
def lift_max_pool_3d_with_argmax(o: Any, n: Any) -> Any:
    """The values only: indices count within one channel plane, in ONNX over the whole tensor."""
    out = o.MaxPool(
        n.x[0],
        kernel_shape=spatial(n.attr("ksize"), 3),
        strides=spatial(n.attr("strides"), 3),
        pads=spatial(n.attr("pads"), 3) * 2,
        dilations=spatial(n.attr("dilation"), 3),
        ceil_mode=int(bool(n.attr("ceil_mode", False))),
    )
    return out, None


@lifts(MINDSPORE, "AdaptiveAvgPool2D")
def lift_adaptive_avg_pool(o: Any, n: Any) -> Any:
    """Exact where the input divides into equal windows, or the output is 1x1."""
    wanted = [int(v) for v in n.attr("output_size")]
    if wanted == [1, 1]:
        return o.GlobalAveragePool(n.x[0]) if n.rank(0) == 4 else o.ReduceMean(n.x[0], np.asarray([-2, -1]))
    shape = n.shape(0)
    sizes = [s if w == -1 else w for w, s in zip(wanted, shape[-2:], strict=True)]
    if n.rank(0) != 4:
        raise Unsupported("adaptive pooling of a 3-D tensor")
    out = n.x[0]
    for axis, (size, want) in enumerate(zip(shape[-2:], sizes, strict=True)):
        out = _adaptive_axis(o, out, axis + 2, size, want)
    return out


def _adaptive_axis(o: Any, x: Any, axis: int, size: int, want: int) -> Any:
    """Averages one axis down with a constant matrix, which holds also where windows overlap."""
    matrix = np.zeros((size, want), np.float32)
    for i in range(want):
        low, high = i * size // want, -(-(i + 1) * size // want)
        matrix[low:high, i] = 1 / (high - low)
    if axis == 3:
        return o.MatMul(x, o.const(matrix))
    turned = o.MatMul(o.Transpose(x, perm=[0, 1, 3, 2]), o.const(matrix))
    return o.Transpose(turned, perm=[0, 1, 3, 2])
