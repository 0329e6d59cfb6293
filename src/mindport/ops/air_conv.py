"""AIR: convolutions and pools.

GE writes the padding of a window as pairs for each axis (top, bottom, left, right), ONNX all begins and then all ends;
strides, dilations and kernels have one entry for every axis of the tensor. `data_format` is always written: its default
is NHWC for most operators. One-dimensional windows become two-dimensional ones with a second axis of length 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.errors import Unsupported
from mindport.ops.air_common import int32, int64, only, same, scalar, typed
from mindport.ops.card import air, lifts
from mindport.ops.geometry import Window, window

_FORMATS = {2: "NCHW", 3: "NCDHW"}


def full(values: Any) -> list[int]:
    """Returns one entry for each axis: batch and channel get 1."""
    return [1, 1, *(int(v) for v in values)]


def _kernel(n: Any) -> tuple[int, ...]:
    return n.shape(1)[2:]  # type: ignore[no-any-return]


def _check_rank(rank: int, n: Any) -> None:
    if rank not in (1, 2, 3):
        raise Unsupported(f"{n.op} over {rank} spatial axes; AIR has 1 to 3")


def _widened(b: Any, n: Any, i: int, axis: int) -> Any:
    """Returns input `i` with an axis of length 1 put in at `axis`; a constant is reshaped, not computed."""
    known = n.known(i)
    if known is not None:
        return np.expand_dims(known, axis)
    dims = list(n.dims(i))
    return typed(b.Unsqueeze(n.x[i], axes=[axis]), n.dtype(i), [*dims[:axis], 1, *dims[axis:]])


def _narrowed(b: Any, n: Any, value: Any, axis: int) -> Any:
    """Takes the axis of length 1 out of the result again."""
    dims = list(n.out_dims())
    return b.Squeeze(typed(value, n.out_dtype(), [*dims[:axis], 1, *dims[axis:]]), axis=[axis])


@air("Conv")
def lower_conv_air(b: Any, n: Any) -> Any:
    """Conv2D(x, filter, bias?) or Conv3D; 1-D gets a height of 1."""
    w = window(n, _kernel(n))
    _check_rank(w.rank, n)
    bias = n.x[2] if n.has(2) else None
    group = n.attr("group")
    if w.rank == 1:
        out = b.Conv2D(
            _widened(b, n, 0, 2),
            _widened(b, n, 1, 2),
            bias,
            strides=[1, 1, 1, w.strides[0]],
            pads=[0, 0, *w.pairs()],
            dilations=[1, 1, 1, w.dilations[0]],
            groups=group,
            data_format="NCHW",
        )
        return _narrowed(b, n, out, 2)
    return b.call(
        f"Conv{w.rank}D",
        n.x[0],
        n.x[1],
        bias,
        strides=full(w.strides),
        pads=w.pairs(),
        dilations=full(w.dilations),
        groups=group,
        data_format=_FORMATS[w.rank],
    )


@lifts(GE, "Conv2D", "Conv3D")
def lift_conv_air(o: Any, n: Any) -> Any:
    """Pairs become begins and ends."""
    only(n, offset_x=0)
    if n.has(3):
        raise Unsupported(f"{n.op} with offset_w (quantised)")
    rank = _spatial(n)
    pads = list(n.attr("pads"))
    return o.Conv(
        n.x[0],
        n.x[1],
        n.x[2] if n.has(2) else None,
        strides=list(n.attr("strides"))[2:],
        dilations=list(n.attr("dilations"))[2:],
        pads=pads[0::2] + pads[1::2],
        group=n.attr("groups"),
        kernel_shape=list(n.shape(1)[-rank:]),
    )


def _spatial(n: Any) -> int:
    """Returns the number of spatial axes. Raises Unsupported for channels-last layouts."""
    layout = n.attr("data_format")
    if layout not in ("NCHW", "NCDHW"):
        raise Unsupported(f"{n.op} in layout {layout}; channels-first is understood")
    return len(layout) - 2


@air("ConvTranspose")
def lower_conv_transpose_air(b: Any, n: Any) -> Any:
    """The first input is the shape of the result."""
    kernel = _kernel(n)
    rank = len(kernel)
    _check_rank(rank, n)
    strides, dilations = n.attr("strides") or [1] * rank, n.attr("dilations") or [1] * rank
    extra = n.attr("output_padding") or [0] * rank
    pads = _transposed_pads(n, kernel, strides, dilations, extra)
    size = list(n.out_shape())
    x, weight = (n.x[0], n.x[1]) if rank > 1 else (_widened(b, n, 0, 2), _widened(b, n, 1, 2))
    if rank == 1:
        strides, dilations, extra, pads = [1, *strides], [1, *dilations], [0, *extra], [0, 0, *pads]
        size.insert(2, 1)
    out = b.call(
        f"Conv{max(rank, 2)}DTranspose",
        int64(size),
        x,
        weight,
        n.x[2] if n.has(2) else None,
        strides=full(strides),
        pads=pads,
        dilations=full(dilations),
        groups=n.attr("group"),
        data_format=_FORMATS[max(rank, 2)],
        output_padding=[0, 0, *extra],
    )
    return _narrowed(b, n, out, 2) if rank == 1 else out


def _transposed_pads(n: Any, kernel: Any, strides: Any, dilations: Any, extra: Any) -> list[int]:
    """Returns (before, after) of each axis, also where only the output's shape is given."""
    rank = len(kernel)
    auto = n.attr("auto_pad") or "NOTSET"
    pads = list(n.attr("pads") or [0] * 2 * rank)
    if auto == "NOTSET" and not n.attr("output_shape"):
        return [p for i in range(rank) for p in (pads[i], pads[rank + i])]
    if auto == "VALID":
        return [0] * 2 * rank
    found: list[int] = []
    for i, (size, wanted) in enumerate(zip(n.shape(0)[2:], n.out_shape()[2:], strict=True)):
        total = strides[i] * (size - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - wanted
        if total < 0:
            raise Unsupported("ConvTranspose with an output shape larger than the input gives")
        small, large = total // 2, total - total // 2
        found += [small, large] if auto == "SAME_UPPER" else [large, small]
    return found


@lifts(GE, "Conv2DTranspose", "Conv3DTranspose")
def lift_conv_transpose_air(o: Any, n: Any) -> Any:
    """The given size only repeats what the other arguments say."""
    only(n, offset_x=0)
    if n.has(4):
        raise Unsupported(f"{n.op} with offset_w (quantised)")
    rank = _spatial(n)
    pads = list(n.attr("pads"))
    return o.ConvTranspose(
        n.x[1],
        n.x[2],
        n.x[3] if n.has(3) else None,
        strides=list(n.attr("strides"))[2:],
        dilations=list(n.attr("dilations"))[2:],
        pads=pads[0::2] + pads[1::2],
        output_padding=list(n.attr("output_padding"))[2:],
        group=n.attr("groups"),
        kernel_shape=list(n.shape(2)[-rank:]),
    )


def _pool_window(n: Any) -> tuple[Window, bool]:
    w = window(n, tuple(n.attr("kernel_shape")))
    _check_rank(w.rank, n)
    return w, bool(n.attr("ceil_mode"))


@air("MaxPool")
def lower_max_pool_air(b: Any, n: Any) -> Any:
    """MaxPoolV3 (2-D) or MaxPool3D; 1-D gets a width of 1."""
    w, ceil = _pool_window(n)
    if n.wants(1):
        raise Unsupported("MaxPool with indices")
    if w.rank < 3 and all(d == 1 for d in w.dilations):
        return _flat_pool(b, n, w, "MaxPoolV3", ceil, {})
    missing = 3 - w.rank  # only the 3-D operator has dilations
    x, dims = n.x[0], list(n.dims(0))
    if missing:
        dims[2:2] = [1] * missing
        x = typed(b.Unsqueeze(x, axes=list(range(2, 2 + missing))), n.dtype(0), dims)
    out = b.MaxPool3D(
        x,
        ksize=full([1] * missing + list(w.kernel)),
        strides=full([1] * missing + list(w.strides)),
        padding="CALCULATED",
        pads=[0, 0] * missing + w.pairs(),
        dilation=full([1] * missing + list(w.dilations)),
        ceil_mode=int(ceil),
        data_format="NCDHW",
    )
    if not missing:
        return out
    dims = list(n.out_dims())
    dims[2:2] = [1] * missing
    return b.Squeeze(typed(out, n.dtype(0), dims), axis=list(range(2, 2 + missing)))


@air("AveragePool")
def lower_average_pool_air(b: Any, n: Any) -> Any:
    """AvgPoolV2 (2-D), where `exclusive` is the opposite of count_include_pad, or AvgPool3D."""
    w, ceil = _pool_window(n)
    include = bool(n.attr("count_include_pad"))
    if any(d != 1 for d in w.dilations):
        raise Unsupported("AveragePool with dilations: AIR's AvgPoolV2 has none")
    if w.rank == 3:
        return b.AvgPool3D(
            n.x[0],
            ksize=full(w.kernel),
            strides=full(w.strides),
            pads=w.pairs(),
            ceil_mode=ceil,
            count_include_pad=include,
            divisor_override=0,
            data_format="NCDHW",
        )
    return _flat_pool(b, n, w, "AvgPoolV2", ceil, {"exclusive": not include, "divisor_override": 0})


def _flat_pool(b: Any, n: Any, w: Window, op: str, ceil: bool, more: dict[str, Any], of: Any = None) -> Any:
    """Emits a 2-D pool of input 0, or of the value `of`, which looks like it."""
    x, kernel, strides, pads = n.x[0] if of is None else of, list(w.kernel), list(w.strides), w.pairs()
    if w.rank == 1:
        x = typed(b.Unsqueeze(x, axes=[3]), n.dtype(0), [*n.dims(0), 1])
        kernel, strides, pads = [*kernel, 1], [*strides, 1], [*pads, 0, 0]
    out = b.call(
        op,
        x,
        ksize=full(kernel),
        strides=full(strides),
        padding_mode="CALCULATED",
        pads=pads,
        data_format="NCHW",
        global_pooling=False,
        ceil_mode=ceil,
        **more,
    )
    return _narrowed(b, n, out, 3) if w.rank == 1 else out


@air("LpPool")
def lower_lp_pool_air(b: Any, n: Any) -> Any:
    """The p-th root of summed powers: an average with the divisor 1 is a sum, and padding adds nothing to it."""
    w = window(n, tuple(n.attr("kernel_shape")))
    _check_rank(w.rank, n)
    if any(d != 1 for d in w.dilations) or w.rank == 3:
        raise Unsupported("LpPool with dilations, or over three axes")
    dtype, p = n.dtype(0), n.attr("p")
    powers = same(b.Pow(same(b.Abs(n.x[0]), n), scalar(p, dtype)), n)
    ends = tuple(e + x for e, x in zip(w.ends, w.extra, strict=True))
    total = _flat_pool(
        b, n, replace(w, ends=ends), "AvgPoolV2", False, {"exclusive": False, "divisor_override": 1}, powers
    )
    return b.Pow(typed(total, dtype, n.out_dims()), scalar(1 / p, dtype))


@lifts(GE, "MaxPoolV3")
def lift_max_pool_air(o: Any, n: Any) -> Any:
    """Padding is explicit, or SAME or VALID."""
    if n.attr("global_pooling"):
        return o.GlobalMaxPool(n.x[0])
    return o.MaxPool(n.x[0], **_lifted_window(n, n.attr("padding_mode")), ceil_mode=int(n.attr("ceil_mode")))


@lifts(GE, "AvgPoolV2")
def lift_average_pool_air(o: Any, n: Any) -> Any:
    """As MaxPoolV3, with `exclusive`; a divisor of its own scales the average over all positions."""
    if n.attr("global_pooling"):
        only(n, divisor_override=0)
        return o.GlobalAveragePool(n.x[0])
    divisor, args = n.attr("divisor_override"), _lifted_window(n, n.attr("padding_mode"))
    if not divisor:
        include = int(not n.attr("exclusive"))
        return o.AveragePool(n.x[0], **args, ceil_mode=int(n.attr("ceil_mode")), count_include_pad=include)
    only(n, ceil_mode=False)
    mean = o.AveragePool(n.x[0], **args, count_include_pad=1)
    return o.Mul(mean, o.const(np.prod(args["kernel_shape"]) / divisor, n.dtype(0)))


@lifts(GE, "MaxPool3D")
def lift_max_pool_3d_air(o: Any, n: Any) -> Any:
    """Lists may have 5 or 3 entries."""
    dilations = list(n.attr("dilation"))[-3:]
    args = _lifted_window(n, n.attr("padding"))
    return o.MaxPool(n.x[0], **args, dilations=dilations, ceil_mode=int(n.attr("ceil_mode")))


@lifts(GE, "AvgPool3D")
def lift_average_pool_3d_air(o: Any, n: Any) -> Any:
    """Padding is always explicit."""
    only(n, divisor_override=0)
    return o.AveragePool(
        n.x[0],
        **_lifted_window(n, "CALCULATED"),
        ceil_mode=int(n.attr("ceil_mode")),
        count_include_pad=int(n.attr("count_include_pad")),
    )


def _lifted_window(n: Any, mode: str) -> dict[str, Any]:
    rank = _spatial(n)
    found: dict[str, Any] = {
        "kernel_shape": list(n.attr("ksize"))[-rank:],
        "strides": list(n.attr("strides"))[-rank:],
    }
    if mode in ("SAME", "VALID"):
        return {**found, "auto_pad": "SAME_UPPER" if mode == "SAME" else "VALID"}
    pads = list(n.attr("pads"))
    return {**found, "pads": pads[0::2] + pads[1::2]}


def _global(op: str) -> Any:
    def rule(b: Any, n: Any) -> Any:
        axes = int32(range(2, n.rank(0)))
        return b.call(op, n.x[0], axes, keep_dims=True, noop_with_empty_axes=False)

    return rule


air("GlobalAveragePool")(_global("ReduceMean"))
air("GlobalMaxPool")(_global("ReduceMax"))
lifts(GE, "GlobalAveragePool")(lambda o, n: o.GlobalAveragePool(n.x[0]))


@air("GlobalLpPool")
def lower_global_lp_pool_air(b: Any, n: Any) -> Any:
    """The norm over the spatial axes."""
    return b.LpNormV2(n.x[0], p=float(n.attr("p")), axes=list(range(2, n.rank(0))), keepdim=True, epsilon=0.0)
