"""Picking and placing elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import const, f32, i64, sample

card(
    "Gather",
    samples=[
        sample(f32(5, 3), const([[0, 4], [2, 2]]), axis=0),
        sample(f32(2, 5, 3), const([1, -1]), axis=1),
        sample(f32(5, 3), i64(4, low=0, high=5)),
        sample(f32(5, 3), const(2), axis=0),
    ],
)
card(
    "GatherElements",
    samples=[
        sample(f32(3, 4), i64(2, 4, low=0, high=3), axis=0),
        sample(f32(3, 4), const([[0, -1], [2, 1], [3, 0]]), axis=1),
    ],
)
card(
    "GatherND",
    samples=[sample(f32(3, 4, 5), const([[0, 1], [2, 3]])), sample(f32(3, 4), const([[0, 1], [2, 3], [1, 0]]))],
)
card(
    "ScatterElements",
    samples=[
        sample(f32(3, 4), const([[0, 2, 1, 0]]), f32(1, 4), axis=0),
        sample(f32(3, 4), const([[1, 0], [2, 3], [0, 0]]), f32(3, 2), axis=1, reduction="add"),
    ],
)
card(
    "ScatterND",
    samples=[
        sample(f32(5, 3), const([[0], [4]]), f32(2, 3)),
        sample(f32(5, 3), const([[0, 1], [4, 2]]), f32(2), reduction="add"),
        sample(f32(5, 3), const([[0], [4]]), f32(2, 3), reduction="max"),
    ],
)
card(
    "OneHot",
    samples=[
        sample(i64(2, 3, low=0, high=4), const(4), const(np.asarray([0, 1], np.float32))),
        sample(i64(5, low=0, high=3), const([3]), const(np.asarray([-1, 2], np.float32)), axis=0),
    ],
)
card(
    "TopK",
    samples=[
        sample(f32(2, 5), const([3]), outputs=2),
        sample(f32(4, 3), const([2]), outputs=2, axis=0),
        sample(f32(2, 5), const([2]), outputs=2, largest=0),
    ],
)
card("Trilu", samples=[sample(f32(3, 4)), sample(f32(3, 4), const(1)), sample(f32(2, 3, 4), const(-1), upper=0)])
card("NonZero", samples=[sample(const(np.asarray([[0, 1, 0], [2, 0, 3]], np.float32)))])


def _from_front(indices: Any, size: Any) -> np.ndarray[Any, Any]:
    """Counts constant indices from the front (negative ones count from the back in ONNX)."""
    array = np.asarray(indices)
    return np.where(array < 0, array + size, array)


def _indices(b: Any, n: Any, i: int, axis: int) -> Any:
    """Returns index input `i`, without negative entries where it is constant and the size is known."""
    known, size = n.known(i), n.dims(0)[axis]
    if known is None or size is None or not (np.asarray(known) < 0).any():
        return n.x[i]
    return b.literal(_from_front(known, size))


@mindir("Gather")
def lower_gather_mindir(b: Any, n: Any) -> Any:
    """Gather(params, indices, axis, batch_dims)."""
    axis = n.axis()
    return b.Gather(n.x[0], _indices(b, n, 1, axis), axis, 0)


@lifts(MINDSPORE, "Gather")
def lift_gather(o: Any, n: Any) -> Any:
    """Gather(params, indices, axis, batch_dims)."""
    if n.literal(3):
        raise Unsupported("Gather with batch dimensions")
    return o.Gather(n.x[0], n.x[1], axis=int(n.literal(2)))


@mindir("GatherElements")
def lower_gather_elements_mindir(b: Any, n: Any) -> Any:
    """GatherD(x, axis, index)."""
    axis = n.axis()
    return b.GatherD(n.x[0], axis, _indices(b, n, 1, axis))


@lifts(MINDSPORE, "GatherD")
def lift_gather_d(o: Any, n: Any) -> Any:
    """GatherD(x, axis, index)."""
    return o.GatherElements(n.x[0], n.x[2], axis=int(n.literal(1)))


@mindir("GatherND")
def lower_gather_nd_mindir(b: Any, n: Any) -> Any:
    """GatherNd raises on negative indices."""
    if n.attr("batch_dims"):
        raise Unsupported("GatherND with batch dimensions")
    return b.GatherNd(n.x[0], _nd_indices(b, n))


def _nd_indices(b: Any, n: Any) -> Any:
    known = n.known(1)
    if known is None:
        return n.x[1]
    depth = known.shape[-1]
    return b.literal(_from_front(known, np.asarray(n.shape(0)[:depth]))) if (known < 0).any() else n.x[1]


lifts(MINDSPORE, "GatherNd")(lambda o, n: o.GatherND(n.x[0], n.x[1]))

_SCATTER = {"none": "Update", "add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}


@mindir("ScatterND")
def lower_scatter_nd_mindir(b: Any, n: Any) -> Any:
    """TensorScatterUpdate and its relatives."""
    return b.call(f"TensorScatter{_SCATTER[n.attr('reduction')]}", n.x[0], _nd_indices(b, n), n.x[2])


def _lift_scatter(reduction: str) -> Any:
    return lambda o, n: o.ScatterND(n.x[0], n.x[1], n.x[2], reduction=reduction)


for _onnx, _ms in _SCATTER.items():
    lifts(MINDSPORE, f"TensorScatter{_ms}")(_lift_scatter(_onnx))


@lifts(MINDSPORE, "ScatterNd")
def lift_scatter_nd(o: Any, n: Any) -> Any:
    """(indices, updates, shape): sums into zeros."""
    zeros = o.Expand(o.const(0, n.dtype(1)), n.tensor(2))
    return o.ScatterND(zeros, n.x[0], n.x[1], reduction="add")


@mindir("ScatterElements")
def lower_scatter_elements_mindir(b: Any, n: Any) -> Any:
    """TensorScatterElements(x, indices, updates, axis, reduce)."""
    reduction, axis = n.attr("reduction"), n.axis()
    if reduction not in ("none", "add"):
        raise Unsupported(f"ScatterElements with reduction {reduction}")
    return b.TensorScatterElements(n.x[0], _indices(b, n, 1, axis), n.x[2], axis, reduction)


@lifts(MINDSPORE, "TensorScatterElements")
def lift_scatter_elements(o: Any, n: Any) -> Any:
    """reduce: 0 none, 1 add."""
    reduction = "add" if n.literal(4) else "none"
    return o.ScatterElements(n.x[0], n.x[1], n.x[2], axis=int(n.literal(3)), reduction=reduction)


@mindir("OneHot")
def lower_one_hot_mindir(b: Any, n: Any) -> Any:
    """OneHot(indices, depth, on, off, axis); -1 means the last axis."""
    off, on = n.const(2)
    depth = int(n.const(1).reshape(()))
    indices = n.x[0]
    if n.dtype(0).name not in ("int32", "int64"):
        indices = b.Cast(indices, _int64())
    indices = b.Select(b.Less(indices, b.const(0, n.dtype(0))), b.Add(indices, b.const(depth, n.dtype(0))), indices)
    axis = n.axis(extra=1)
    axis = -1 if axis == n.rank(0) else axis
    return b.OneHot(indices, depth, b.const(on, n.dtype(2)), b.const(off, n.dtype(2)), axis)


def _int64() -> Any:
    from mindport.dtypes import named

    return named("int64")


@lifts(MINDSPORE, "OneHot")
def lift_one_hot(o: Any, n: Any) -> Any:
    """OneHot(indices, depth, on, off, axis)."""
    one = np.asarray([1], np.int64)
    values = o.Concat(o.Reshape(n.x[3], one), o.Reshape(n.x[2], one), axis=0)
    return o.OneHot(n.x[0], n.tensor(1), values, axis=int(n.literal(4)))


@mindir("TopK")
def lower_top_k_mindir(b: Any, n: Any) -> Any:
    """Works on the last axis, gives the largest, and int32 indices."""
    axis, last = n.axis(), n.rank(0) - 1
    perm = list(range(n.rank(0)))
    perm[axis], perm[last] = perm[last], perm[axis]
    k = int(n.const(1).reshape(()))
    x = n.x[0] if axis == last else b.Transpose(n.x[0], tuple(perm))
    x = x if n.attr("largest") else b.Neg(x)
    pack = b.TopK(x, k, sorted=bool(n.attr("sorted")))
    values, indices = b.item(pack, 0), b.Cast(b.item(pack, 1), _int64())
    values = values if n.attr("largest") else b.Neg(values)
    if axis == last:
        return values, indices
    return b.Transpose(values, tuple(perm)), b.Transpose(indices, tuple(perm))


@lifts(MINDSPORE, "TopK")
def lift_top_k(o: Any, n: Any) -> Any:
    """Indices are int32 in MindSpore."""
    k = np.asarray(n.literal(1), np.int64).reshape(1)
    values, indices = o.TopK(n.x[0], k, sorted=int(bool(n.attr("sorted", True))), outputs=2)
    return values, o.Cast(indices, to=6)


@mindir("Trilu")
def lower_trilu_mindir(b: Any, n: Any) -> Any:
    """Triu(x, diagonal) is a function, Tril a classic primitive."""
    k = int(n.const(1).reshape(())) if n.has(1) else 0
    return b.Triu(n.x[0], k) if n.attr("upper") else b.Tril(n.x[0], diagonal=k)


@lifts(MINDSPORE, "Triu")
def lift_triu(o: Any, n: Any) -> Any:
    """Triu(x, diagonal)."""
    return o.Trilu(n.x[0], o.const(int(n.literal(1)), np.int64), upper=1)


@lifts(MINDSPORE, "Tril")
def lift_tril(o: Any, n: Any) -> Any:
    """Attribute `diagonal`."""
    return o.Trilu(n.x[0], o.const(int(n.attr("diagonal", 0)), np.int64), upper=0)


@lifts(MINDSPORE, "ReverseV2")
def lift_reverse(o: Any, n: Any) -> Any:
    """A slice with step -1 per axis."""
    axes = n.ints(1)
    count = len(axes)
    low = np.full(count, np.iinfo(np.int64).min)
    return o.Slice(n.x[0], np.full(count, -1), low, np.asarray(axes, np.int64), np.full(count, -1))


@mindir("NonZero")
def lower_non_zero_mindir(b: Any, n: Any) -> Any:
    """One row per element found, in ONNX one column."""
    return b.Transpose(b.NonZero(n.x[0]), (1, 0))


lifts(MINDSPORE, "NonZero")(lambda o, n: o.Transpose(o.NonZero(n.x[0]), perm=[1, 0]))
