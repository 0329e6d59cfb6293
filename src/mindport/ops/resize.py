"""Changing the resolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.interpolate import plan
from mindport.ops.samples import const, f32, sample

_X = f32(1, 2, 5, 4)


def _scales(*values: float) -> Any:
    return const(np.asarray(values, np.float32))


def _sizes(*values: int) -> Any:
    return const(np.asarray(values, np.int64))


def _sample(*inputs: Any, **attrs: Any) -> Any:
    return sample(*inputs, **attrs)


card(
    "Resize",
    samples=[
        _sample(_X, None, _scales(1, 1, 2, 3)),
        _sample(_X, None, _scales(1, 1, 2, 3), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        _sample(_X, None, None, _sizes(1, 2, 8, 7), mode="linear"),
        _sample(_X, None, None, _sizes(1, 2, 8, 7), mode="linear", coordinate_transformation_mode="align_corners"),
        _sample(_X, None, None, _sizes(1, 2, 8, 7), mode="linear", coordinate_transformation_mode="asymmetric"),
        _sample(_X, None, None, _sizes(1, 2, 3, 3), mode="linear", antialias=1),
        _sample(_X, None, None, _sizes(8, 7), mode="cubic", axes=[2, 3], cubic_coeff_a=-0.5),
        _sample(_X, None, None, _sizes(1, 2, 8, 7), mode="cubic", exclude_outside=1),
        _sample(
            f32(1, 2, 5), None, _scales(1, 1, 1.6), mode="linear", coordinate_transformation_mode="pytorch_half_pixel"
        ),
    ],
)
card(
    "GridSample",
    samples=[
        sample(f32(1, 2, 5, 4), f32(1, 3, 2, 2, low=-1, high=1), align_corners=1),
        sample(f32(1, 2, 5, 4), f32(1, 3, 2, 2, low=-1.4, high=1.4), padding_mode="border"),
    ],
    notes="Nearest sampling is refused: MindSpore rounds ties another way.",
)


@mindir("Resize")
def lower_resize_mindir(b: Any, n: Any) -> Any:
    """The common bilinear forms have an operator; everything else is an index vector or a matrix per axis."""
    mode, where = n.attr("mode"), n.attr("coordinate_transformation_mode")
    if where == "tf_crop_and_resize":
        raise Unsupported("resizing a cropped region")
    rows = plan(n)
    out = n.x[0]
    if mode == "nearest":
        for row in rows:
            out = b.Gather(out, b.literal(row.indices(where, n.attr("nearest_mode"))), row.axis, 0)
        return out
    plain = n.rank(0) == 4 and all(r.axis > 1 and r.scale == r.out / r.size for r in rows)
    if mode == "linear" and plain and where in ("half_pixel", "align_corners") and not n.attr("antialias"):
        size = {r.axis: r.out for r in rows}
        height, width = (size.get(a, n.dims(0)[a]) for a in (2, 3))
        if height is not None and width is not None:
            aligned = where == "align_corners"
            return b.ResizeBilinearV2(out, (height, width), aligned, not aligned)
    for row in rows:
        matrix = b.const(row.matrix(n).T, n.dtype(0))
        perm = [*(a for a in range(n.rank(0)) if a != row.axis), row.axis]
        turned = b.Transpose(out, tuple(perm)) if perm != sorted(perm) else out
        turned = b.MatMulExt(turned, matrix)
        out = b.Transpose(turned, tuple(int(i) for i in np.argsort(perm))) if perm != sorted(perm) else turned
    return out


def _resized(o: Any, n: Any, mode: str, **attrs: Any) -> Any:
    size = n.ints(1)
    axes = list(range(2, 2 + len(size)))
    return o.Resize(n.x[0], None, None, np.asarray(size, np.int64), mode=mode, axes=axes, **attrs)


def _coordinates(n: Any) -> str:
    if n.literal("align_corners"):
        return "align_corners"
    return "half_pixel" if n.literal("half_pixel_centers") else "asymmetric"


@lifts(MINDSPORE, "ResizeBilinearV2")
def lift_resize_bilinear(o: Any, n: Any) -> Any:
    """(image, size, align_corners, half_pixel_centers)."""
    return _resized(o, n, "linear", coordinate_transformation_mode=_coordinates(n))


@lifts(MINDSPORE, "ResizeBicubic")
def lift_resize_bicubic(o: Any, n: Any) -> Any:
    """TensorFlow's kernel: with half-pixel centres a is -0.5 and taps outside do not count, else a is -0.75."""
    half = bool(n.literal("half_pixel_centers")) and not n.literal("align_corners")
    return _resized(
        o,
        n,
        "cubic",
        coordinate_transformation_mode=_coordinates(n),
        cubic_coeff_a=-0.5 if half else -0.75,
        exclude_outside=int(half),
    )


@lifts(MINDSPORE, "ResizeNearestNeighborV2", "ResizeNearestNeighbor")
def lift_resize_nearest(o: Any, n: Any) -> Any:
    """Rounds down without, to the nearest with half-pixel centres or aligned corners."""
    where = _coordinates(n)
    rounding = "floor" if where == "asymmetric" else "round_prefer_ceil"
    return _resized(o, n, "nearest", coordinate_transformation_mode=where, nearest_mode=rounding)


@lifts(MINDSPORE, "ResizeLinear1D")
def lift_resize_linear_1d(o: Any, n: Any) -> Any:
    """coordinate_transformation_mode: 0 align_corners, 2 half_pixel (as met in exported files)."""
    modes = {0: "align_corners", 2: "half_pixel"}
    where = modes.get(int(n.literal(2)))
    if where is None:
        raise Unsupported(f"coordinate transformation number {n.literal(2)}")
    return _resized(o, n, "linear", coordinate_transformation_mode=where)


@lifts(MINDSPORE, "UpsampleTrilinear3D", "UpsampleBilinear2D")
def lift_upsample_linear(o: Any, n: Any) -> Any:
    """(x, output size, scales or None, align_corners)."""
    where = "align_corners" if n.literal("align_corners") else "half_pixel"
    return _upsampled(o, n, "linear", coordinate_transformation_mode=where)


@lifts(MINDSPORE, "UpsampleNearest2D")
def lift_upsample_nearest(o: Any, n: Any) -> Any:
    """(x, output size, scales or None)."""
    return _upsampled(o, n, "nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _upsampled(o: Any, n: Any, mode: str, **attrs: Any) -> Any:
    if n.has(1):
        return _resized(o, n, mode, **attrs)
    scales = np.asarray(n.literal(2), np.float32)
    return o.Resize(n.x[0], None, scales, mode=mode, axes=list(range(2, 2 + len(scales))), **attrs)


_PADDING = {0: "zeros", 1: "border", 2: "reflection"}


@mindir("GridSample")
def lower_grid_sample_mindir(b: Any, n: Any) -> Any:
    """GridSampler2D/3D(x, grid, interpolation, padding, align_corners)."""
    if n.attr("mode") not in ("linear", "bilinear"):
        raise Unsupported(f"grid sampling in mode {n.attr('mode')}: MindSpore has bilinear only that agrees with ONNX")
    op = "GridSampler2D" if n.rank(0) == 4 else "GridSampler3D"
    padding = {v: k for k, v in _PADDING.items()}[n.attr("padding_mode")]
    return b.call(op, n.x[0], n.x[1], 0, padding, bool(n.attr("align_corners")))


@lifts(MINDSPORE, "GridSampler2D", "GridSampler3D")
def lift_grid_sample(o: Any, n: Any) -> Any:
    """interpolation: 0 bilinear, 1 nearest; padding: 0 zeros, 1 border, 2 reflection."""
    mode = "nearest" if n.literal(2) else "linear"
    return o.GridSample(
        n.x[0], n.x[1], mode=mode, padding_mode=_PADDING[int(n.literal(3))], align_corners=int(bool(n.literal(4)))
    )
