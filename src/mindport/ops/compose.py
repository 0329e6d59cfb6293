"""Operators that are a few others: no primitive of their own is needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.dtypes import named
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import const, f32, i64, sample, u8

card("Hardmax", samples=[sample(f32(2, 5)), sample(f32(2, 3, 4), axis=1)])
card("Shrink", samples=[sample(f32(2, 3), lambd=0.5), sample(f32(2, 3), lambd=0.7, bias=0.3)])
card("LpNormalization", samples=[sample(f32(2, 3), p=1), sample(f32(2, 3, 4), axis=1)])
card(
    "Einsum",
    samples=[
        sample(f32(2, 3), f32(3, 4), equation="ij,jk->ik"),
        sample(f32(5, 2, 3), f32(5, 4, 3), equation="bij,bkj->bik"),
        sample(f32(2, 3), f32(3), equation="ij,j"),
        sample(f32(2, 3, 4), equation="ijk->kj"),
    ],
)
card("ConstantOfShape", samples=[sample(i64(2, low=2, high=4))], notes="No zero-size results.")
card("Range", samples=[sample(i64(low=0, high=1), i64(low=5, high=9), const(2))])
card(
    "ReverseSequence",
    samples=[
        sample(f32(4, 3, 2), const([1, 4, 2])),
        sample(f32(3, 4), const([1, 4, 2]), batch_axis=0, time_axis=1),
    ],
)
card(
    "Compress",
    samples=[
        sample(f32(3, 4), const([True, False, True]), axis=0),
        sample(f32(2, 3), const([True, False, True, True])),
    ],
)
card(
    "BitShift",
    samples=[
        sample(u8(2, 3, high=30), u8(3, high=3), direction="LEFT"),
        sample(u8(2, 3, high=255), u8(3, high=3), direction="RIGHT"),
    ],
    notes="Shifts by the width or more differ.",
)
card("LpPool", samples=[sample(f32(1, 2, 6, 5, low=0.1), kernel_shape=[3, 2], strides=[1, 2], p=2)])
card("EyeLike", samples=[sample(f32(3, 4)), sample(f32(3, 4), k=1)])
card("GlobalLpPool", samples=[sample(f32(1, 2, 3, 4), p=2)])


@mindir("Hardmax")
def lower_hardmax_mindir(b: Any, n: Any) -> Any:
    """One at the first maximum."""
    axis = n.axis()
    size = n.dims(0)[axis]
    if size is None:
        raise Unsupported("Hardmax over an axis of unknown size")
    dtype = n.dtype(0)
    found = b.Argmax(n.x[0], axis, named("int64"))
    place = -1 if axis == n.rank(0) - 1 else axis
    return b.OneHot(found, size, b.const(1, dtype), b.const(0, dtype), place)


@mindir("Shrink")
def lower_shrink_mindir(b: Any, n: Any) -> Any:
    """Towards 0 by `bias` outside ±lambd, 0 inside."""
    dtype = n.dtype(0)
    lambd, bias = float(n.attr("lambd")), float(n.attr("bias"))
    zero = b.const(0, dtype)
    up = b.Select(b.Greater(n.x[0], b.const(lambd, dtype)), b.Sub(n.x[0], b.const(bias, dtype)), zero)
    return b.Select(b.Less(n.x[0], b.const(-lambd, dtype)), b.Add(n.x[0], b.const(bias, dtype)), up)


@mindir("LpNormalization")
def lower_lp_normalization_mindir(b: Any, n: Any) -> Any:
    """X over its norm; 0 where the norm is 0."""
    axes = (n.axis(),)
    if n.attr("p") == 1:
        norm = b.ReduceSum(b.Abs(n.x[0]), axes, True)
    else:
        norm = b.Sqrt(b.ReduceSum(b.Mul(n.x[0], n.x[0]), axes, True))
    zero = b.const(0, n.dtype(0))
    safe = b.Select(b.Equal(norm, zero), b.const(1, n.dtype(0)), norm)
    return b.Div(n.x[0], safe)


@mindir("Einsum")
def lower_einsum_mindir(b: Any, n: Any) -> Any:
    """Labels aligned by Transpose and axes of size one, then a product and a sum."""
    equation = str(n.attr("equation")).replace(" ", "")
    if "." in equation:
        raise Unsupported("an equation with an ellipsis")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if any(len(set(t)) < len(t) for t in terms):
        raise Unsupported("an equation with a diagonal")
    if not arrow:
        result = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    if len(terms) == 2 and (product := _as_matmul(b, n, terms, result)) is not None:
        return product
    summed = sorted(set(left) - {","} - set(result))
    labels = result + "".join(summed)
    aligned = [_aligned(b, n.x[i], term, labels) for i, term in enumerate(terms)]
    out = aligned[0]
    for other in aligned[1:]:
        out = b.Mul(out, other)
    axes = tuple(range(len(result), len(labels)))
    return b.ReduceSum(out, axes, False) if axes else out


def _as_matmul(b: Any, n: Any, terms: list[str], result: str) -> Any:
    """Returns a matrix product where the equation is one (batch labels first, one label summed), else None."""
    x, y = terms
    batch = [c for c in x if c in y and c in result]
    inner = [c for c in x if c in y and c not in result]
    rows = [c for c in x if c not in y]
    columns = [c for c in y if c not in x]
    if len(inner) != 1 or len(rows) != 1 or len(columns) != 1 or list(result) != batch + rows + columns:
        return None
    a = _turned(b, n.x[0], x, batch + rows + inner)
    c = _turned(b, n.x[1], y, batch + inner + columns)
    return b.MatMulExt(a, c)


def _turned(b: Any, value: Any, have: str, want: list[str]) -> Any:
    perm = tuple(have.index(c) for c in want)
    return value if perm == tuple(range(len(perm))) else b.Transpose(value, perm)


def _aligned(b: Any, value: Any, term: str, labels: str) -> Any:
    value = _turned(b, value, term, [c for c in labels if c in term])
    for axis, label in enumerate(labels):
        if label not in term:
            value = b.ExpandDims(value, axis)
    return value


@mindir("ConstantOfShape")
def lower_constant_of_shape_mindir(b: Any, n: Any) -> Any:
    """One element, broadcast."""
    value = n.attr("value")
    content = np.zeros((), np.float32) if value is None else value.numpy().reshape(())
    return b.BroadcastTo(b.literal(content), n.x[0] if n.known(0) is None else n.ints(0))


@mindir("Range")
def lower_range_mindir(b: Any, n: Any) -> Any:
    """Start, end and step as scalars."""
    if n.dtype(0).name not in ("int32", "int64", "float32", "float64"):
        raise Unsupported(f"a range of {n.dtype(0).name}")
    return b.Range(*(b.TensorToScalar(n.x[i]) for i in range(3)), 1000000)


@lifts(MINDSPORE, "Range")
def lift_range(o: Any, n: Any) -> Any:
    """(start, end, step, longest)."""
    return o.Range(n.tensor(0), n.tensor(1), n.tensor(2))


@mindir("ReverseSequence")
def lower_reverse_sequence_mindir(b: Any, n: Any) -> Any:
    """Attributes seq_dim and batch_dim."""
    return b.ReverseSequence(n.x[0], n.x[1], seq_dim=int(n.attr("time_axis")), batch_dim=int(n.attr("batch_axis")))


@lifts(MINDSPORE, "ReverseSequence")
def lift_reverse_sequence(o: Any, n: Any) -> Any:
    """ONNX knows axes 0 and 1 only; lengths are int64."""
    return o.ReverseSequence(
        n.x[0], o.Cast(n.x[1], to=7), time_axis=int(n.attr("seq_dim")), batch_axis=int(n.attr("batch_dim", 0))
    )


@mindir("Compress")
def lower_compress_mindir(b: Any, n: Any) -> Any:
    """Gathers where the condition holds."""
    index = b.Reshape(b.NonZero(n.x[1]), (-1,))
    if n.attr("axis") is None:
        return b.Gather(b.Reshape(n.x[0], (-1,)), index, 0, 0)
    return b.Gather(n.x[0], index, n.axis(), 0)


@mindir("BitShift")
def lower_bit_shift_mindir(b: Any, n: Any) -> Any:
    """LeftShift and RightShift."""
    return (b.LeftShift if n.attr("direction") == "LEFT" else b.RightShift)(n.x[0], n.x[1])


@lifts(MINDSPORE, "LeftShift", "RightShift")
def lift_shift(o: Any, n: Any) -> Any:
    """ONNX shifts unsigned integers only; signed ones are multiplied, or divided downwards, by a power of two."""
    if n.dtype(0).name.startswith("u"):
        return o.BitShift(n.x[0], n.x[1], direction="LEFT" if n.op == "LeftShift" else "RIGHT")
    number = n.dtype(0).onnx
    factor = o.Cast(o.Pow(o.const(2.0, np.float64), o.Cast(n.x[1], to=11)), to=number)
    if n.op == "LeftShift":
        return o.Mul(n.x[0], factor)
    return o.Div(o.Sub(n.x[0], o.Mod(n.x[0], factor)), factor)


@mindir("LpPool")
def lower_lp_pool_mindir(b: Any, n: Any) -> Any:
    """The p-th root of the average of powers, times the window's size."""
    from mindport.ops.geometry import window

    kernel = tuple(n.attr("kernel_shape"))
    win = window(n, kernel)
    if win.rank != 2 or win.padded or any(d != 1 for d in win.dilations):
        raise Unsupported("an Lp pool with padding, dilation or other than two spatial axes")
    p, dtype = float(n.attr("p")), n.dtype(0)
    mean = b.AvgPool(b.Pow(b.Abs(n.x[0]), b.const(p, dtype)), kernel, win.strides, "VALID", "NCHW")
    return b.Pow(b.Mul(mean, b.const(float(np.prod(kernel)), dtype)), b.const(1 / p, dtype))


@mindir("GlobalLpPool")
def lower_global_lp_pool_mindir(b: Any, n: Any) -> Any:
    """The p-norm over the spatial axes."""
    p, dtype = float(n.attr("p")), n.dtype(0)
    total = b.ReduceSum(b.Pow(b.Abs(n.x[0]), b.const(p, dtype)), tuple(range(2, n.rank(0))), True)
    return b.Pow(total, b.const(1 / p, dtype))


@mindir("EyeLike")
def lower_eye_like_mindir(b: Any, n: Any) -> Any:
    """A constant."""
    rows, columns = n.shape(0)
    return b.const(np.eye(rows, columns, k=int(n.attr("k"))), n.out_dtype())
