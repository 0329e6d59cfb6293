"""AIR: shapes, joining, splitting, padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.dtypes import by_ge_attr, named
from mindport.errors import Unsupported
from mindport.ops.air_common import int32, int64, kept, only, typed
from mindport.ops.card import air, lifts


def _reshaped(b: Any, n: Any) -> Any:
    """Reshape to the shape that is known of the output; one dimension may be open."""
    dims = n.out_dims()
    if sum(d is None for d in dims) > 1:
        raise Unsupported("a shape with more than one dimension that is known only at run time")
    return b.Reshape(n.x[0], int64([-1 if d is None else d for d in dims]))


@air("Reshape")
def lower_reshape_air(b: Any, n: Any) -> Any:
    """0 ("as before") is unknown to GE: the resolved shape is written; a computed shape is passed on."""
    try:
        return _reshaped(b, n)
    except Unsupported:
        if n.known(1) is not None and 0 in n.ints(1):
            raise
    return b.Reshape(n.x[0], int64(n.ints(1)) if n.known(1) is not None else n.x[1])


@lifts(GE, "Reshape")
def lift_reshape_air(o: Any, n: Any) -> Any:
    """`axis` and `num_axes` reshape a part of the tensor; that form is not understood."""
    only(n, axis=0, num_axes=-1)
    shape = n.known(1)
    if isinstance(shape, np.ndarray):
        return o.Reshape(n.x[0], shape.astype(np.int64).reshape(-1), allowzero=int(0 in shape) or None)
    return o.Reshape(n.x[0], o.Cast(n.x[1], to=7))


@air("Flatten")
def lower_flatten_air(b: Any, n: Any) -> Any:
    """Always two dimensions."""
    axis = n.attr("axis")
    axis = axis + n.rank(0) if axis < 0 else axis
    if axis == 0 or n.dtype(0).name in ("bool", "float64"):
        return _reshaped(b, n)
    return b.Flatten(n.x[0], axis=axis)


lifts(GE, "Flatten")(lambda o, n: o.Flatten(n.x[0], axis=n.attr("axis")))


@air("Squeeze")
def lower_squeeze_air(b: Any, n: Any) -> Any:
    """The axes are an attribute."""
    rank = n.rank(0)
    axes = n.ints(1) if n.has(1) else [i for i, d in enumerate(n.shape(0)) if d == 1]
    return b.Squeeze(n.x[0], axis=sorted(a % rank for a in axes))


@lifts(GE, "Squeeze")
def lift_squeeze_air(o: Any, n: Any) -> Any:
    """No axes: all of length 1."""
    axes = list(n.attr("axis"))
    return o.Squeeze(n.x[0], int64(axes) if axes else None)


@air("Unsqueeze")
def lower_unsqueeze_air(b: Any, n: Any) -> Any:
    """The axes are an attribute, counted in the result."""
    axes = n.ints(1)
    rank = n.rank(0) + len(axes)
    return b.Unsqueeze(n.x[0], axes=sorted(a % rank for a in axes))


lifts(GE, "Unsqueeze")(lambda o, n: o.Unsqueeze(n.x[0], int64(n.attr("axes"))))
lifts(GE, "ExpandDims")(lambda o, n: o.Unsqueeze(n.x[0], int64(n.ints(1))))


@air("Transpose")
def lower_transpose_air(b: Any, n: Any) -> Any:
    """The permutation is a constant input."""
    perm = n.attr("perm") or range(n.rank(0))[::-1]
    return b.Transpose(n.x[0], int64(perm))


lifts(GE, "Transpose")(lambda o, n: o.Transpose(n.x[0], perm=list(n.ints(1))))
lifts(GE, "TransposeD")(lambda o, n: o.Transpose(n.x[0], perm=list(n.attr("perm"))))


@air("Expand")
def lower_expand_air(b: Any, n: Any) -> Any:
    """ONNX broadcasts in both directions, GE in one: the resulting shape is written."""
    return b.BroadcastTo(n.x[0], int64(n.out_shape()))


lifts(GE, "BroadcastTo", "Expand")(lambda o, n: o.Expand(n.x[0], o.Cast(n.x[1], to=7)))


@air("Tile")
def lower_tile_air(b: Any, n: Any) -> Any:
    """Repeats are a constant, or computed."""
    return b.Tile(n.x[0], n.x[1] if n.known(1) is None else int64(n.ints(1)))


lifts(GE, "Tile")(lambda o, n: o.Tile(n.x[0], o.Cast(n.x[1], to=7)))
lifts(GE, "TileD")(lambda o, n: o.Tile(n.x[0], int64(n.attr("multiples"))))


@air("Shape")
def lower_shape_air(b: Any, n: Any) -> Any:
    """Only where a dimension is known at run time alone; `dtype` is a C++ type number."""
    rank = n.rank(0)
    shape = b.Shape(n.x[0], dtype=named("int64").ge_attr)
    start, end = n.attr("start") or 0, n.attr("end")
    start, end, _ = slice(start, end).indices(rank)
    if (start, end) == (0, rank):
        return shape
    typed(shape, named("int64"), [rank])
    return b.StridedSliceV2(shape, int64([start]), int64([end]), int64([0]), int64([1]), **_MASKS)


air("Size")(lambda b, n: b.Size(n.x[0], dtype=named("int64").ge_attr))


@lifts(GE, "Shape", "Size")
def lift_shape_air(o: Any, n: Any) -> Any:
    """`dtype` is a C++ type number."""
    out = o.call(n.op, n.x[0])
    dtype = by_ge_attr(n.attr("dtype"))
    return out if dtype.name == "int64" else o.Cast(out, to=dtype.onnx)


@air("Concat")
def lower_concat_air(b: Any, n: Any) -> Any:
    """ConcatD; one input stays as it is."""
    if len(n.x) == 1:
        return kept(b, n)
    return b.ConcatD(list(n.x), concat_dim=n.axis(), N=len(n.x))


lifts(GE, "ConcatD")(lambda o, n: o.Concat(*n.x, axis=n.attr("concat_dim")))


@lifts(GE, "ConcatV2")
def lift_concat_v2_air(o: Any, n: Any) -> Any:
    """The axis is the last input."""
    return o.Concat(*n.x[: len(n.x) - 1], axis=n.ints(len(n.x) - 1)[0])


@air("Split")
def lower_split_air(b: Any, n: Any) -> Any:
    """SplitV with the sizes written out."""
    axis, count = n.axis(), len(n.node.outputs)
    sizes = n.ints(1) if n.has(1) else [n.out_dims(k)[axis] for k in range(count)]
    if None in sizes:
        raise Unsupported("Split of an axis whose length is known only at run time")
    parts = b.SplitV(n.x[0], int64(sizes), np.asarray(axis, np.int32), num_split=count, outputs=count)
    for k, part in enumerate(parts):
        typed(part, n.dtype(0), n.out_dims(k))
    return parts


@lifts(GE, "SplitV")
def lift_split_air(o: Any, n: Any) -> Any:
    """Sizes and axis are constants."""
    return o.Split(n.x[0], int64(n.ints(1)), axis=n.ints(2)[0], outputs=len(n.node.outputs))


@lifts(GE, "Split")
def lift_equal_split_air(o: Any, n: Any) -> Any:
    """The axis comes first."""
    return o.Split(n.x[1], axis=n.ints(0)[0], num_outputs=n.attr("num_split"), outputs=len(n.node.outputs))


@lifts(GE, "SplitD")
def lift_split_d_air(o: Any, n: Any) -> Any:
    """The axis is an attribute."""
    return o.Split(n.x[0], axis=n.attr("split_dim"), num_outputs=n.attr("num_split"), outputs=len(n.node.outputs))


_MASKS = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}


@air("Slice")
def lower_slice_air(b: Any, n: Any) -> Any:
    """StridedSliceV2 with bounds inside the tensor; backward slices reverse the axis first."""
    if any(n.has(i) and n.known(i) is None for i in range(1, 5)):
        return _computed_slice(b, n)
    starts, ends = n.ints(1), n.ints(2)
    rank = n.rank(0)
    axes = [a % rank for a in n.ints(3)] if n.has(3) else list(range(len(starts)))
    steps = list(n.ints(4)) if n.has(4) else [1] * len(starts)
    begins, stops, reverse = [], [], []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = n.dims(0)[axis]
        if size is None:
            if step < 0:
                raise Unsupported("a backward Slice of an axis whose length is known only at run time")
            begins.append(start)
            stops.append(end)
            continue
        low, high, _ = slice(start, _open(end, size, step), step).indices(size)
        count = len(range(low, high, step))
        if step < 0:
            reverse.append(axis)
            low = size - 1 - low
        begins.append(low)
        stops.append(low + (count - 1) * abs(step) + 1 if count else low)
    x = n.x[0]
    if reverse:
        x = typed(b.ReverseV2(x, int32(reverse)), n.dtype(0), n.dims(0))
    return b.StridedSliceV2(x, int64(begins), int64(stops), int64(axes), int64([abs(s) for s in steps]), **_MASKS)


def _open(end: int, size: int, step: int) -> int | None:
    """Returns Python's spelling of an end that lies before the first element in a backward slice."""
    return None if step < 0 and end < -size else end


def _computed_slice(b: Any, n: Any) -> Any:
    """Bounds known at run time only; the direction has to be known."""
    if n.has(4) and (n.known(4) is None or any(s < 0 for s in n.ints(4))):
        raise Unsupported("Slice whose step is computed or negative, with bounds that are computed")
    axes = n.ints(3) if n.has(3) else range(n.shape(1)[0])
    steps = n.ints(4) if n.has(4) else [1] * len(axes)
    ends = [n.x[i] if n.known(i) is None else int64(n.ints(i)) for i in (1, 2)]
    return b.StridedSliceV2(n.x[0], *ends, int64([a % n.rank(0) for a in axes]), int64(steps), **_MASKS)


@lifts(GE, "StridedSliceV2")
def lift_strided_slice_air(o: Any, n: Any) -> Any:
    """Masks are not used by converters."""
    only(n, **_MASKS)
    wide = [o.Cast(n.x[i], to=7) if n.has(i) else None for i in range(1, 5)]
    return o.Slice(n.x[0], *wide)


@lifts(GE, "ReverseV2")
def lift_reverse_air(o: Any, n: Any) -> Any:
    """A slice with step -1."""
    axes = n.ints(1)
    count = len(axes)
    low = np.iinfo(np.int64).min
    return o.Slice(n.x[0], int64([-1] * count), int64([low] * count), int64(axes), int64([-1] * count))


@air("Pad")
def lower_pad_air(b: Any, n: Any) -> Any:
    """PadV3; `paddings_contiguous` false means ONNX's order, all begins and then all ends."""
    mode = n.attr("mode")
    if mode not in ("constant", "reflect", "edge"):
        raise Unsupported(f"Pad in mode {mode}; AIR has constant, reflect and edge")
    given = n.ints(1)
    rank = n.rank(0)
    axes = [a % rank for a in n.ints(3)] if n.has(3) else list(range(rank))
    paddings = np.zeros(2 * rank, np.int64)
    for i, axis in enumerate(axes):
        paddings[axis], paddings[rank + axis] = given[i], given[len(axes) + i]
    x = n.x[0]
    if (paddings < 0).any():
        x, paddings = _cut(b, n, paddings)
    value = None
    if mode == "constant":
        known = n.known(2) if n.has(2) else np.zeros((), n.dtype(0).numpy)
        value = n.x[2] if known is None else known.reshape(1)
    return b.PadV3(x, paddings, value, mode=mode, paddings_contiguous=False)


def _cut(b: Any, n: Any, paddings: Any) -> tuple[Any, Any]:
    """Takes away what negative paddings remove; returns the rest and the paddings that remain."""
    rank, shape = n.rank(0), n.shape(0)
    begins = [max(-int(p), 0) for p in paddings[:rank]]
    ends = [size - max(-int(p), 0) for size, p in zip(shape, paddings[rank:], strict=True)]
    part = b.StridedSliceV2(n.x[0], int64(begins), int64(ends), int64(range(rank)), int64([1] * rank), **_MASKS)
    typed(part, n.dtype(0), [e - s for s, e in zip(begins, ends, strict=True)])
    return part, np.maximum(paddings, 0)


@lifts(GE, "PadV3")
def lift_pad_air(o: Any, n: Any) -> Any:
    """Contiguous paddings are pairs for each axis."""
    paddings = np.asarray(n.ints(1), np.int64)
    if n.attr("paddings_contiguous"):
        paddings = np.concatenate([paddings[0::2], paddings[1::2]])
    value = o.Reshape(n.x[2], int64([])) if n.has(2) else None
    return o.Pad(n.x[0], paddings, value, mode=n.attr("mode"))


air("DepthToSpace")(
    lambda b, n: b.DepthToSpace(n.x[0], block_size=n.attr("blocksize"), mode=n.attr("mode"), data_format="NCHW")
)


@air("SpaceToDepth")
def lower_space_to_depth_air(b: Any, n: Any) -> Any:
    """Newer ONNX has two orders of the new channels; AIR has the first."""
    if n.attr("mode", "DCR") not in (None, "DCR"):
        raise Unsupported(f"SpaceToDepth in mode {n.attr('mode')}")
    return b.SpaceToDepth(n.x[0], block_size=n.attr("blocksize"), data_format="NCHW")


@lifts(GE, "DepthToSpace")
def lift_depth_to_space_air(o: Any, n: Any) -> Any:
    """Channels first."""
    only(n, data_format="NCHW")
    return o.DepthToSpace(n.x[0], blocksize=n.attr("block_size"), mode=n.attr("mode"))


@lifts(GE, "SpaceToDepth")
def lift_space_to_depth_air(o: Any, n: Any) -> Any:
    """Channels first."""
    only(n, data_format="NCHW")
    return o.SpaceToDepth(n.x[0], blocksize=n.attr("block_size"))
