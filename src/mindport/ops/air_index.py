"""AIR: gathering, scattering, generated tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.dtypes import by_ge_attr, by_onnx, named
from mindport.errors import Unsupported
from mindport.ops.air_common import int64, only, same, scalar, typed
from mindport.ops.card import air, lifts


def _indices(n: Any, i: int, size: int | None) -> tuple[Any, bool]:
    """Returns index input `i`, counted from the front where it is constant, and whether negative ones may remain."""
    known = n.known(i)
    if known is None or size is None:
        return n.x[i], True
    return np.where(known < 0, known + size, known).astype(known.dtype), False


@air("Gather")
def lower_gather_air(b: Any, n: Any) -> Any:
    """GatherV2; support for negative indices is an attribute that older CANN releases do not know."""
    axis = n.axis()
    indices, negative = _indices(n, 1, n.dims(0)[axis])
    axis_input = np.asarray(axis, np.int32)
    return b.GatherV2(n.x[0], indices, axis_input, batch_dims=0, is_preprocessed=False, negative_index_support=negative)


@lifts(GE, "GatherV2", "Gather")
def lift_gather_air(o: Any, n: Any) -> Any:
    """The axis is a constant input of GatherV2 and 0 for Gather."""
    only(n, batch_dims=0)
    return o.Gather(n.x[0], n.x[1], axis=n.ints(2)[0] if n.op == "GatherV2" else 0)


@air("GatherElements")
def lower_gather_elements_air(b: Any, n: Any) -> Any:
    """`axis` is called `dim`."""
    axis = n.axis()
    return b.GatherElements(n.x[0], _indices(n, 1, n.dims(0)[axis])[0], dim=axis)


lifts(GE, "GatherElements")(lambda o, n: o.GatherElements(n.x[0], n.x[1], axis=n.attr("dim")))


@air("GatherND")
def lower_gather_nd_air(b: Any, n: Any) -> Any:
    """GE has no batch dimensions here."""
    if n.attr("batch_dims"):
        raise Unsupported("GatherND with batch dimensions")
    return b.GatherNd(n.x[0], n.x[1], negative_index_support=True)


lifts(GE, "GatherNd")(lambda o, n: o.GatherND(n.x[0], o.Cast(n.x[1], to=7)))


@air("ScatterElements")
def lower_scatter_elements_air(b: Any, n: Any) -> Any:
    """Same attributes."""
    return b.ScatterElements(n.x[0], n.x[1], n.x[2], axis=n.axis(), reduction=n.attr("reduction"))


@lifts(GE, "ScatterElements")
def lift_scatter_elements_air(o: Any, n: Any) -> Any:
    """Same attributes."""
    return o.ScatterElements(n.x[0], n.x[1], n.x[2], axis=n.attr("axis"), reduction=n.attr("reduction"))


@air("ScatterND")
def lower_scatter_nd_air(b: Any, n: Any) -> Any:
    """The pure form; the Scatter operators of GE change their input in place."""
    op = _SCATTERS.get(n.attr("reduction"))
    if op is None:
        raise Unsupported(f"ScatterND with reduction {n.attr('reduction')}")
    return b.call(op, n.x[0], n.x[1], n.x[2])


_SCATTERS = {
    "none": "TensorScatterUpdate",
    "add": "TensorScatterAdd",
    "max": "TensorScatterMax",
    "min": "TensorScatterMin",
}


@lifts(GE, *_SCATTERS.values())
def lift_tensor_scatter_air(o: Any, n: Any) -> Any:
    """Indices may be int32 in GE."""
    reduction = next(name for name, op in _SCATTERS.items() if op == n.op)
    return o.ScatterND(n.x[0], o.Cast(n.x[1], to=7), n.x[2], reduction=reduction)


@air("OneHot")
def lower_one_hot_air(b: Any, n: Any) -> Any:
    """Depth and the two values are 0-d; indices are wrapped into [0, depth) as ONNX does."""
    dtype = n.dtype(0)
    if dtype.name not in ("int32", "int64", "uint8"):
        raise Unsupported(f"OneHot of {dtype.name} indices")
    (depth,) = n.ints(1)
    off, on = n.const(2)
    values = n.dtype(2)
    indices = n.x[0]
    if dtype.name != "uint8":
        inside = same(b.FloorMod(n.x[0], scalar(depth, dtype)), n)
        # an index outside [-depth, depth) gives a row of off values: it must not be wrapped into the range
        low = typed(b.GreaterEqual(n.x[0], scalar(-depth, dtype)), named("bool"), n.dims(0))
        high = typed(b.Less(n.x[0], scalar(depth, dtype)), named("bool"), n.dims(0))
        valid = typed(b.LogicalAnd(low, high), named("bool"), n.dims(0))
        indices = same(b.SelectV2(valid, inside, scalar(depth, dtype)), n)
    axis = n.attr("axis")
    return b.OneHot(
        indices,
        np.asarray(depth, np.int32),
        scalar(on, values),
        scalar(off, values),
        axis=axis if axis == -1 else axis % (n.rank(0) + 1),
    )


@lifts(GE, "OneHot")
def lift_one_hot_air(o: Any, n: Any) -> Any:
    """ONNX takes [off, on] as one tensor, and wraps negative indices where GE has none."""
    one = int64([1])
    values = o.Concat(o.Reshape(n.x[3], one), o.Reshape(n.x[2], one), axis=0)
    return o.OneHot(n.x[0], o.Reshape(n.x[1], one), values, axis=n.attr("axis"))


air("NonZero")(lambda b, n: b.NonZero(n.x[0], transpose=True, dtype=named("int64")))


@lifts(GE, "NonZero")
def lift_non_zero_air(o: Any, n: Any) -> Any:
    """One row for each axis if transposed, one row for each element found otherwise."""
    found = o.NonZero(n.x[0])
    if not n.attr("transpose"):
        found = o.Transpose(found, perm=[1, 0])
    dtype = n.attr("dtype")
    return found if dtype.name == "int64" else o.Cast(found, to=dtype.onnx)


@air("ConstantOfShape")
def lower_constant_of_shape_air(b: Any, n: Any) -> Any:
    """Fill(dims, value)."""
    value = n.attr("value")
    array = np.zeros((), np.float32) if value is None else value.numpy().reshape(())
    return b.Fill(n.x[0] if n.known(0) is None else int64(n.ints(0)), array)


lifts(GE, "Fill")(lambda o, n: o.Expand(n.x[1], o.Cast(n.x[0], to=7)))


@air("Range")
def lower_range_air(b: Any, n: Any) -> Any:
    """Half open, as in ONNX."""
    return b.Range(n.x[0], n.x[1], n.x[2], is_closed=False)


@lifts(GE, "Range")
def lift_range_air(o: Any, n: Any) -> Any:
    """Half open."""
    only(n, is_closed=False)
    return o.Range(n.x[0], n.x[1], n.x[2])


@air("EyeLike")
def lower_eye_like_air(b: Any, n: Any) -> Any:
    """The shape is an attribute, `dtype` a C++ type number; other diagonals than the main one are a constant."""
    rows, columns = n.shape(0)
    if n.attr("k"):
        return b.Identity(np.eye(rows, columns, k=n.attr("k"), dtype=n.out_dtype().numpy))
    return b.Eye(num_rows=rows, num_columns=columns, batch_shape=[], dtype=n.out_dtype().ge_attr)


@lifts(GE, "Eye")
def lift_eye_air(o: Any, n: Any) -> Any:
    """A constant."""
    rows, columns = n.attr("num_rows"), n.attr("num_columns") or n.attr("num_rows")
    if rows * columns > 1 << 20:
        raise Unsupported(f"Eye of {rows} × {columns}: too large to become a constant")
    eye = np.eye(rows, columns, dtype=by_ge_attr(n.attr("dtype")).numpy)
    return o.const(np.broadcast_to(eye, (*n.attr("batch_shape"), rows, columns)))


@air("Trilu")
def lower_trilu_air(b: Any, n: Any) -> Any:
    """Triu and Tril have the diagonal as an attribute."""
    diagonal = n.ints(1)[0] if n.has(1) else 0
    return (b.Triu if n.attr("upper") else b.Tril)(n.x[0], diagonal=diagonal)


def _trilu(upper: int) -> Any:
    return lambda o, n: o.Trilu(n.x[0], np.asarray(n.attr("diagonal"), np.int64), upper=upper)


lifts(GE, "Triu")(_trilu(1))
lifts(GE, "Tril")(_trilu(0))


@air("ReverseSequence")
def lower_reverse_sequence_air(b: Any, n: Any) -> Any:
    """Axes are called dims."""
    return b.ReverseSequence(n.x[0], n.x[1], seq_dim=n.attr("time_axis"), batch_dim=n.attr("batch_axis"))


@lifts(GE, "ReverseSequence")
def lift_reverse_sequence_air(o: Any, n: Any) -> Any:
    """Axes are called dims."""
    return o.ReverseSequence(n.x[0], o.Cast(n.x[1], to=7), time_axis=n.attr("seq_dim"), batch_axis=n.attr("batch_dim"))


@air("GridSample")
def lower_grid_sample_air(b: Any, n: Any) -> Any:
    """Modes have longer names."""
    if n.rank(0) != 4:
        raise Unsupported(f"GridSample of {n.rank(0)}-D data")
    modes = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
    return b.GridSampler2D(
        n.x[0],
        n.x[1],
        interpolation_mode=modes[n.attr("mode")],
        padding_mode=n.attr("padding_mode"),
        align_corners=bool(n.attr("align_corners")),
    )


@lifts(GE, "GridSampler2D")
def lift_grid_sample_air(o: Any, n: Any) -> Any:
    """See `lower_grid_sample_air`."""
    modes = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
    return o.GridSample(
        n.x[0],
        n.x[1],
        mode=modes[n.attr("interpolation_mode")],
        padding_mode=n.attr("padding_mode"),
        align_corners=int(n.attr("align_corners")),
    )


@air("CastLike")
def lower_cast_like_air(b: Any, n: Any) -> Any:
    """A Cast to a type that is known."""
    return b.Cast(n.x[0], dst_type=by_onnx(n.dtype(1).onnx).ge_attr)


@air("Compress")
def lower_compress_air(b: Any, n: Any) -> Any:
    """Gathers where the condition holds; without an axis from the flattened data."""
    flat = n.attr("axis") is None
    x, axis = n.x[0], 0 if flat else n.axis()
    if flat:
        x = typed(b.Reshape(x, int64([-1])), n.dtype(0), [None if None in n.dims(0) else int(np.prod(n.shape(0)))])
    known = n.known(1)
    if known is not None:
        indices: Any = int64([int(i) for i in np.flatnonzero(known)])
    else:
        found = typed(b.NonZero(n.x[1], transpose=True, dtype=named("int64")), named("int64"), [1, None])
        indices = typed(b.Reshape(found, int64([-1])), named("int64"), [None])
    return b.GatherV2(
        x, indices, np.asarray(axis, np.int32), batch_dims=0, is_preprocessed=False, negative_index_support=False
    )
