"""Convolutions, in NCHW throughout."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.geometry import window
from mindport.ops.samples import f16, f32, sample, weight
from mindport.ops.shape import sizes

card(
    "Conv",
    samples=[
        sample(f32(2, 3, 9, 8), weight(4, 3, 3, 2), weight(4), kernel_shape=[3, 2], pads=[1, 0, 2, 3], strides=[1, 2]),
        sample(f32(1, 4, 7, 9), weight(6, 2, 3, 2), kernel_shape=[3, 2], group=2, dilations=[2, 1], pads=[0, 1, 2, 0]),
        sample(f32(1, 3, 8, 7), weight(4, 3, 3, 2), auto_pad="SAME_UPPER", strides=[2, 3]),
        sample(f32(1, 3, 8, 7), weight(4, 3, 2, 3), auto_pad="SAME_LOWER", strides=[2, 1]),
        sample(f32(2, 3, 9), weight(4, 3, 4), weight(4), kernel_shape=[4], pads=[1, 2], strides=[2]),
        sample(f16(1, 2, 5, 4), weight(3, 2, 2, 3, dtype=np.float16), kernel_shape=[2, 3], pads=[1, 0, 0, 2]),
        sample(
            f32(1, 2, 5, 6, 7),
            weight(4, 2, 2, 3, 1),
            weight(4),
            kernel_shape=[2, 3, 1],
            pads=[1, 0, 2, 0, 1, 0],
            strides=[1, 2, 1],
        ),
    ],
)
card(
    "ConvTranspose",
    samples=[
        sample(f32(2, 3, 5, 4), weight(3, 4, 3, 2), weight(4), kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 0, 1]),
        sample(
            f32(1, 4, 5, 4), weight(4, 3, 2, 3), kernel_shape=[2, 3], strides=[2, 1], group=2, output_padding=[1, 0]
        ),
        sample(f32(1, 3, 7), weight(3, 2, 4), kernel_shape=[4], strides=[3], pads=[1, 2]),
    ],
)


def _conv_attrs(kernel: tuple[int, ...], win: Any, group: int, channels: int) -> dict[str, Any]:
    return {
        "out_channel": channels,
        "kernel_size": kernel,
        "mode": 1,
        "pad_mode": "pad",
        "pad": tuple(win.pairs()),
        "pad_list": tuple(win.pairs()),
        "stride": (1, 1, *win.strides),
        "dilation": (1, 1, *win.dilations),
        "group": group,
        "groups": group,
    }


@mindir("Conv")
def lower_conv_mindir(b: Any, n: Any) -> Any:
    """2-D as Conv2D + BiasAdd; 1-D with a height of one; 3-D as Conv3D."""
    channels, _, *kernel = n.shape(1)
    rank = len(kernel)
    win, group = window(n, tuple(kernel)), n.attr("group")
    if rank == 2:
        out = b.Conv2D(n.x[0], n.x[1], **_conv_attrs(tuple(kernel), win, group, channels))
        return b.BiasAdd(out, n.x[2], "NCHW") if n.has(2) else out
    if rank == 1:
        attrs = _conv_attrs((1, *kernel), win, group, channels)
        pads = (0, 0, *win.pairs())
        attrs.update(pad=pads, pad_list=pads, stride=(1, 1, 1, *win.strides), dilation=(1, 1, 1, *win.dilations))
        out = b.Conv2D(b.ExpandDims(n.x[0], 2), b.ExpandDims(n.x[1], 2), **attrs)
        out = b.BiasAdd(out, n.x[2], "NCHW") if n.has(2) else out
        return b.Squeeze(out, (2,))
    if rank == 3:
        attrs = _conv_attrs(tuple(kernel), win, group, channels)
        attrs.update(strides=attrs["stride"], dilations=attrs["dilation"])
        attrs.update(stride=win.strides, dilation=win.dilations)
        out = b.Conv3D(n.x[0], n.x[1], **attrs)
        return b.BiasAdd(out, n.x[2], "NCDHW") if n.has(2) else out
    raise Unsupported(f"convolution over {rank} spatial axes")


@mindir("ConvTranspose")
def lower_conv_transpose_mindir(b: Any, n: Any) -> Any:
    """Conv2DTranspose is the gradient of a convolution: it wants the output's size, and its `out_channel` is x's."""
    kernel = n.shape(1)[2:]
    if len(kernel) > 2:
        raise Unsupported("3-D transposed convolution")
    group = n.attr("group")
    strides = tuple(n.attr("strides") or [1] * len(kernel))
    dilations = tuple(n.attr("dilations") or [1] * len(kernel))
    out_shape = n.out_dims()
    if None in out_shape[1:]:
        n.out_shape()  # says what is missing; only the batch may be unknown
    pairs = _transpose_pads(n, kernel, strides, dilations, out_shape[2:])
    batch = ("dim", 0) if out_shape[0] is None else out_shape[0]
    x, w, wanted = n.x[0], n.x[1], [batch, *out_shape[1:]]
    if len(kernel) == 1:
        x, w, wanted = b.ExpandDims(x, 2), b.ExpandDims(w, 2), [*wanted[:2], 1, wanted[2]]
        kernel, strides, dilations, pairs = [1, *kernel], (1, *strides), (1, *dilations), (0, 0, *pairs)
    out = b.Conv2DTranspose(
        x,
        w,
        sizes(b, n.x[0], wanted),
        out_channel=n.shape(1)[0],
        kernel_size=tuple(kernel),
        pad_mode="pad",
        pad=pairs,
        pad_list=pairs,
        mode=1,
        stride=(1, 1, *strides),
        dilation=(1, 1, *dilations),
        group=group,
        groups=group,
    )
    out = b.BiasAdd(out, n.x[2], "NCHW") if n.has(2) else out
    return b.Squeeze(out, (2,)) if len(n.shape(1)) == 3 else out


def _transpose_pads(n: Any, kernel: Any, strides: Any, dilations: Any, out: Any) -> tuple[int, ...]:
    """Returns (before, after) of each axis; with auto_pad they follow from the output's size."""
    rank = len(kernel)
    extra = n.attr("output_padding") or [0] * rank
    auto = n.attr("auto_pad")
    if auto in ("NOTSET", "VALID") and not n.attr("output_shape"):
        pads = n.attr("pads") or [0] * 2 * rank
        return tuple(p for i in range(rank) for p in (pads[i], pads[i + rank]))
    pairs: list[int] = []
    for i, size in enumerate(n.dims(0)[2:]):
        if size is None:
            raise Unsupported("auto_pad of a transposed convolution over an unknown height or width")
        total = max((size - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - out[i], 0)
        small, large = total // 2, total - total // 2
        # ONNX puts the odd one before for SAME_UPPER here, the other way round than in Conv
        pairs += (small, large) if auto == "SAME_UPPER" else (large, small)
    return tuple(pairs)


def spatial(value: Any, rank: int) -> list[int]:
    """Returns a size attribute (one number, one per spatial axis, or with batch and channel in front) per axis."""
    if isinstance(value, int):
        return [value] * rank
    return [int(v) for v in value][-rank:]


def explicit_pads(n: Any, rank: int) -> dict[str, Any]:
    """Returns ONNX's `pads` or `auto_pad` for a MindSpore node with attributes pad_mode, pad, pad_list."""
    mode = str(n.attr("pad_mode", "valid")).lower()
    if mode in ("same", "1"):
        return {"auto_pad": "SAME_UPPER"}
    if mode in ("valid", "2"):
        return {}
    pad = n.attr("pad_list", None) or n.attr("pad", 0)
    flat = [pad] * 2 * rank if isinstance(pad, int) else [int(p) for p in pad]
    return {"pads": flat[0::2] + flat[1::2]}


@lifts(MINDSPORE, "Conv2D", "Conv3D")
def lift_conv(o: Any, n: Any) -> Any:
    """The weight's own shape gives the kernel."""
    rank = 2 if n.op == "Conv2D" else 3
    if n.attr("format", n.attr("data_format", "NCHW")) in ("NHWC", "NDHWC"):
        raise Unsupported("convolution in channels-last layout")
    strides = n.attr("strides", n.attr("stride", 1))
    dilations = n.attr("dilations", n.attr("dilation", 1))
    return o.Conv(
        n.x[0],
        n.x[1],
        kernel_shape=spatial(n.attr("kernel_size"), rank),
        strides=spatial(strides, rank),
        dilations=spatial(dilations, rank),
        group=int(n.attr("group", n.attr("groups", 1))),
        **explicit_pads(n, rank),
    )


@lifts(MINDSPORE, "BiasAdd")
def lift_bias_add(o: Any, n: Any) -> Any:
    """A bias per channel (axis 1); right behind a convolution it is the convolution's own."""
    rank = n.rank(0)
    before = n.x[0].producer()
    if before is not None and before.op_type in ("Conv", "ConvTranspose") and len(before.inputs) == 2:
        attrs = {name: attr.value for name, attr in before.attributes.items()}
        return o.call(before.op_type, *before.inputs, n.x[1], **attrs)
    return o.Add(n.x[0], n.x[1] if rank == 2 else o.Reshape(n.x[1], np.asarray([-1] + [1] * (rank - 2))))


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise Unsupported("transposed convolution whose output height or width is known only at run time")
    return value


@lifts(MINDSPORE, "Conv2DTranspose", "Conv2DBackpropInput")
def lift_conv_transpose(o: Any, n: Any) -> Any:
    """The requested output size tells the output padding."""
    kernel, strides = spatial(n.attr("kernel_size"), 2), spatial(n.attr("stride", 1), 2)
    dilations = spatial(n.attr("dilation", 1), 2)
    pads = explicit_pads(n, 2)
    out, size = [_number(v) for v in n.raw[2][2:]], n.dims(0)[2:]
    if "auto_pad" in pads:
        pads = {}
    given = pads.get("pads", [0] * 4)
    extra = []
    for i in range(2):
        if size[i] is None:
            raise Unsupported("transposed convolution over an unknown height or width")
        reached = (size[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - given[i] - given[i + 2]
        extra.append(out[i] - reached)
    return o.ConvTranspose(
        n.x[0],
        n.x[1],
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=int(n.attr("group", 1)),
        output_padding=extra if any(extra) else None,
        **pads,
    )


@lifts(MINDSPORE, "Im2Col")
def lift_im2col(o: Any, n: Any) -> Any:
    """(N, C, H, W) -> (N, C, kernel positions, windows): a convolution that copies one element each."""
    kernel = spatial(n.attr("ksizes"), 2)
    _, channels, *_ = n.shape(0)
    taps = int(np.prod(kernel))
    copies = np.tile(np.eye(taps, dtype=np.float32).reshape(taps, 1, *kernel), (channels, 1, 1, 1))
    pads = spatial(n.attr("pads"), 2)
    out = o.Conv(
        n.x[0],
        o.const(copies, n.dtype(0)),
        kernel_shape=kernel,
        strides=spatial(n.attr("strides"), 2),
        dilations=spatial(n.attr("dilations"), 2),
        pads=pads + pads,
        group=channels,
    )
    return o.Reshape(out, np.asarray([0, channels, taps, -1], np.int64))
