"""AIR: changing the resolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.errors import Unsupported
from mindport.ops.air_common import int32, int64, kept, only, typed
from mindport.ops.card import air, lifts
from mindport.ops.interpolate import plan

_LONGEST = 1 << 20  # pixels along one axis; a file may ask for anything

# ONNX coordinate mode -> (align_corners, half_pixel_centers)
_COORDINATES = {"asymmetric": (False, False), "half_pixel": (False, True), "align_corners": (True, False)}


@air("Resize")
def lower_resize_air(b: Any, n: Any) -> Any:
    """The common forms have an operator; everything else is a gather or a matrix product for each axis.

    Where the operator rounds another way than ONNX asks for, the gather says exactly which pixels are meant.
    """
    where = n.attr("coordinate_transformation_mode")
    if where == "tf_crop_and_resize":
        raise Unsupported("resizing a cropped region")
    rows = plan(n)
    if not rows:
        return kept(b, n)
    size = _image_size(n, rows)
    if n.attr("mode") == "nearest":
        indices = [row.indices(where, n.attr("nearest_mode")) for row in rows]
        flags = _nearest_flags(rows, indices)
        if flags is None or size is None:
            return _gathered(b, n, rows, indices)
        align, half = flags
        return b.ResizeNearestNeighborV2(
            n.x[0], int32(size), align_corners=align, half_pixel_centers=half, scales=[0.0, 0.0]
        )
    exact = all(row.scale == row.out / row.size for row in rows)
    known = where in _COORDINATES and not n.attr("antialias") and exact
    if n.attr("mode") == "linear" and size is not None and known and n.dtype(0).name in ("float32", "float16"):
        align, half = _COORDINATES[where]
        return b.ResizeBilinearV2(
            n.x[0],
            int32(size),
            align_corners=align,
            half_pixel_centers=half,
            dtype=n.dtype(0),
            scales=[0.0, 0.0],
        )
    return _multiplied(b, n, rows)


def _image_size(n: Any, rows: Any) -> list[int] | None:
    """Returns (H, W) of the result if only these two axes of 4-D data change, else None."""
    if n.rank(0) != 4 or any(row.axis < 2 for row in rows):
        return None
    changed = {row.axis: row.out for row in rows}
    size = [changed.get(axis, n.dims(0)[axis]) for axis in (2, 3)]
    return None if None in size else [int(s) for s in size]


def _nearest_flags(rows: Any, indices: Any) -> tuple[bool, bool] | None:
    """Returns the flags under which GE's operator takes exactly these pixels, or None."""
    for align, half in ((False, False), (False, True), (True, False)):
        taken = [_nearest(row.size, row.out, align, half) for row in rows]
        if all(np.array_equal(t, np.asarray(i).reshape(-1)) for t, i in zip(taken, indices, strict=True)):
            return align, half
    return None


def _nearest(size: int, out: int, align: bool, half: bool) -> Any:
    scale = np.float32((size - 1) / (out - 1) if align and out > 1 else size / out)
    steps = np.arange(out, dtype=np.float32)
    at = np.floor(steps * scale + np.float32(0.5)) if align else np.floor((steps + (0.5 if half else 0.0)) * scale)
    return np.clip(at.astype(np.int64), 0, size - 1)


def _gathered(b: Any, n: Any, rows: Any, indices: Any) -> Any:
    out, dims = n.x[0], list(n.dims(0))
    for row, index in zip(rows, indices, strict=True):
        dims[row.axis] = row.out
        out = b.GatherV2(
            out,
            int64([int(i) for i in index]),
            np.asarray(row.axis, np.int32),
            batch_dims=0,
            is_preprocessed=False,
            negative_index_support=False,
        )
        out = typed(out, n.dtype(0), dims)
    return out


def _multiplied(b: Any, n: Any, rows: Any) -> Any:
    """One matrix for each axis that changes, applied with that axis last."""
    out, dims, dtype, rank = n.x[0], list(n.dims(0)), n.dtype(0), n.rank(0)
    for row in rows:
        matrix = np.ascontiguousarray(row.matrix(n).T.astype(dtype.numpy))
        perm = [*(a for a in range(rank) if a != row.axis), row.axis]
        turned = perm != sorted(perm)
        if turned:
            out = typed(b.Transpose(out, int64(perm)), dtype, [dims[a] for a in perm])
        dims[row.axis] = row.out
        if rank == 2:
            out = b.MatMulV2(out, matrix, transpose_x1=False, transpose_x2=False)
        else:
            out = b.BatchMatMulV2(out, matrix, adj_x1=False, adj_x2=False)
        typed(out, dtype, [dims[a] for a in perm])
        if turned:
            out = typed(b.Transpose(out, int64([int(i) for i in np.argsort(perm)])), dtype, dims)
    return out


def _mode(n: Any) -> str:
    only(n, scales=(0.0, 0.0))
    if n.attr("align_corners"):
        return "align_corners"
    return "half_pixel" if n.attr("half_pixel_centers") else "asymmetric"


@lifts(GE, "ResizeBilinearV2")
def lift_resize_bilinear_air(o: Any, n: Any) -> Any:
    """The result has the element type that `dtype` names."""
    out = o.Resize(
        n.x[0],
        None,
        None,
        int64(n.ints(1)),
        axes=[2, 3],
        mode="linear",
        coordinate_transformation_mode=_mode(n),
    )
    dtype = n.attr("dtype")
    return out if dtype is n.dtype(0) else o.Cast(out, to=dtype.onnx)


@lifts(GE, "ResizeNearestNeighborV2")
def lift_resize_nearest_air(o: Any, n: Any) -> Any:
    """A gather for each axis: ONNX's rounding modes are not GE's."""
    out = n.x[0]
    shape = n.shape(0)
    for axis, length in zip((2, 3), n.ints(1), strict=True):
        if not 0 < length <= _LONGEST:
            raise Unsupported(f"resizing to {length} pixels")
        index = _nearest(shape[axis], length, n.attr("align_corners"), n.attr("half_pixel_centers"))
        out = o.Gather(out, index, axis=axis)
    only(n, scales=(0.0, 0.0))
    return out


@air("GroupNormalization")
def lower_group_norm_air(b: Any, n: Any) -> Any:
    """Composed: what the native operator's `is_training` means is not documented.

    (x - mean) / sqrt(variance + epsilon) over each group, then the scale and bias of each channel.
    """
    shape, dtype, groups = n.shape(0), n.dtype(0), n.attr("num_groups")
    size = int(np.prod(shape[1:], dtype=np.int64)) // groups
    grouped, flat = [shape[0], groups, size], [shape[0], groups, 1]
    x = typed(b.Reshape(n.x[0], int64(grouped)), dtype, grouped)
    centred = typed(b.Sub(x, _mean(b, x, dtype, flat)), dtype, grouped)
    variance = _mean(b, typed(b.Square(centred), dtype, grouped), dtype, flat)
    deviation = typed(b.Rsqrt(typed(b.Adds(variance, value=n.attr("epsilon")), dtype, flat)), dtype, flat)
    normal = typed(b.Reshape(typed(b.Mul(centred, deviation), dtype, grouped), int64(shape)), dtype, shape)
    channel = [1, shape[1], *[1] * (len(shape) - 2)]
    scaled = typed(b.Mul(normal, _by_channel(b, n, 1, channel)), dtype, shape)
    return typed(b.Add(scaled, _by_channel(b, n, 2, channel)), dtype, shape)  # ONNX infers none


def _mean(b: Any, x: Any, dtype: Any, dims: Any) -> Any:
    return typed(b.ReduceMean(x, int32([2]), keep_dims=True, noop_with_empty_axes=False), dtype, dims)


def _by_channel(b: Any, n: Any, i: int, dims: Any) -> Any:
    known = n.known(i)
    if known is not None:
        return known.reshape(dims)
    return typed(b.Reshape(n.x[i], int64(dims)), n.dtype(i), dims)
