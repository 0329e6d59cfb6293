"""Reductions over axes, and running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.dialects.table import MISSING
from mindport.dtypes import named
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import b8, const, f32, i32, sample

_AXES = const([1], np.int64)


def _samples(feed: Any) -> list[Any]:
    return [
        sample(feed(2, 3, 4), _AXES),
        sample(feed(2, 3, 4), const([-1, 0], np.int64), keepdims=0),
        sample(feed(2, 3, 4)),
        sample(feed(2, 3, 4), noop_with_empty_axes=1),
    ]


def _positive(*shape: int) -> Any:
    return f32(*shape, low=0.1)


card("ReduceMean", samples=_samples(f32))
card("ReduceSum", samples=[*_samples(f32), sample(i32(2, 3), _AXES)])
card("ReduceMax", samples=[*_samples(f32), sample(b8(2, 3), _AXES)])
card("ReduceMin", samples=[*_samples(f32), sample(b8(2, 3), _AXES)])
card("ReduceProd", samples=_samples(f32))
card("ReduceL1", samples=_samples(f32))
card("ReduceL2", samples=_samples(f32))
card("ReduceSumSquare", samples=_samples(f32))
card("ReduceLogSum", samples=_samples(_positive))
card("ReduceLogSumExp", samples=_samples(f32))
card("ArgMax", samples=[sample(f32(2, 3, 4), axis=1), sample(f32(2, 3, 4), axis=-1, keepdims=0)])
card("ArgMin", samples=[sample(f32(2, 3, 4), axis=1), sample(f32(2, 3, 4), axis=-1, keepdims=0)])
card(
    "CumSum",
    samples=[
        sample(f32(2, 3, 4), const(1)),
        sample(f32(2, 3, 4), const(-1), exclusive=1),
        sample(f32(2, 3), const(0), reverse=1),
    ],
)


def axes_of(n: Any) -> tuple[int, ...] | None:
    """Returns the axes a Reduce node works on, counted from the front; None when it reduces nothing."""
    if n.node.inputs[0].shape is not None and 0 in n.dims(0):
        raise Unsupported("a reduction of a tensor without elements")
    axes = n.ints(1) if n.has(1) else ()
    if not axes:
        return None if n.attr("noop_with_empty_axes") else tuple(range(n.rank(0)))
    return tuple(a % n.rank(0) for a in axes)


def _reduced(b: Any, n: Any, op: str, before: Any = None, after: Any = None) -> Any:
    axes = axes_of(n)
    x = n.x[0] if before is None else before(n.x[0])
    if axes is not None:
        x = b.call(op, x, axes, bool(n.attr("keepdims")))
    return x if after is None else after(x)


@mindir("ReduceMean", "ReduceSum", "ReduceProd")
def lower_reduce_mindir(b: Any, n: Any) -> Any:
    """Same name, axes as a tuple."""
    return _reduced(b, n, n.op)


@mindir("ReduceMax", "ReduceMin")
def lower_extreme_mindir(b: Any, n: Any) -> Any:
    """Of truth values it is any and all."""
    if n.dtype(0).name == "bool":
        return _reduced(b, n, "ReduceAny" if n.op == "ReduceMax" else "ReduceAll")
    return _reduced(b, n, n.op)


@mindir("ReduceL1")
def lower_reduce_l1_mindir(b: Any, n: Any) -> Any:
    """Sum of magnitudes."""
    return _reduced(b, n, "ReduceSum", before=b.Abs)


@mindir("ReduceL2")
def lower_reduce_l2_mindir(b: Any, n: Any) -> Any:
    """Root of the sum of squares."""
    return _reduced(b, n, "ReduceSum", before=lambda x: b.Mul(x, x), after=b.Sqrt)


@mindir("ReduceSumSquare")
def lower_reduce_sum_square_mindir(b: Any, n: Any) -> Any:
    """Sum of squares."""
    return _reduced(b, n, "ReduceSum", before=lambda x: b.Mul(x, x))


@mindir("ReduceLogSum")
def lower_reduce_log_sum_mindir(b: Any, n: Any) -> Any:
    """Logarithm of the sum."""
    return _reduced(b, n, "ReduceSum", after=b.Log)


@mindir("ReduceLogSumExp")
def lower_reduce_log_sum_exp_mindir(b: Any, n: Any) -> Any:
    """The maximum is taken out first, so that exp cannot overflow."""
    axes = axes_of(n)
    if axes is None:
        return n.x[0]
    top = b.ReduceMax(n.x[0], axes, True)
    total = b.Add(b.Log(b.ReduceSum(b.Exp(b.Sub(n.x[0], top)), axes, True)), top)
    return total if n.attr("keepdims") else b.Squeeze(total, axes)


@lifts(MINDSPORE, "ReduceMean", "ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin")
def lift_reduce(o: Any, n: Any) -> Any:
    """An empty tuple of axes means all of them, as it does in ONNX."""
    return _lifted(o, n, n.op, n.x[0], n.ints(1), bool(n.literal(2)))


def _lifted(o: Any, n: Any, op: str, x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    return o.call(op, x, np.asarray(axes, np.int64) if axes else None, keepdims=int(keep))


@lifts(MINDSPORE, "SumExt", "MeanExt", "ProdExt")
def lift_reduce_ext(o: Any, n: Any) -> Any:
    """(input, axes or None, keepdim, dtype or None); sums of integers are int64 in MindSpore."""
    op = {"SumExt": "ReduceSum", "MeanExt": "ReduceMean", "ProdExt": "ReduceProd"}[n.op]
    dtype = n.type_id(3)
    x, small = n.x[0], n.dtype(0)
    if dtype is None and n.op != "MeanExt" and not small.name.startswith(("float", "bfloat")):
        dtype = named("int64")
    if dtype is not None and dtype is not small:
        x = o.Cast(x, to=dtype.onnx)
    return _lifted(o, n, op, x, n.ints(1), bool(n.literal(2)))


@lifts(MINDSPORE, "ReduceAny", "ReduceAll")
def lift_any_all(o: Any, n: Any) -> Any:
    """Of truth values any is the maximum and all the minimum."""
    op = "ReduceMax" if n.op == "ReduceAny" else "ReduceMin"
    return o.Cast(_lifted(o, n, op, o.Cast(n.x[0], to=2), n.ints(1), bool(n.literal(2))), to=9)


lifts(MINDSPORE, "Max")(lambda o, n: o.ReduceMax(n.x[0], keepdims=0))
lifts(MINDSPORE, "Min")(lambda o, n: o.ReduceMin(n.x[0], keepdims=0))


@lifts(MINDSPORE, "ReduceStd")
def lift_reduce_std(o: Any, n: Any) -> Any:
    """(x, axis, unbiased, keep_dims) → (standard deviation, mean)."""
    axes = n.ints("axis") or tuple(range(n.rank(0)))
    at = np.asarray(axes, np.int64)
    shape = n.shape(0)
    count = int(np.prod([shape[a] for a in axes]))
    mean = o.ReduceMean(n.x[0], at)
    gap = o.Sub(n.x[0], mean)
    divisor = count - 1 if n.literal("unbiased") else count
    total = o.ReduceSum(o.Mul(gap, gap), at)
    std = o.Sqrt(o.Div(total, o.const(divisor, n.dtype(0))))
    if n.literal("keep_dims"):
        return std, mean
    return o.Squeeze(std, at), o.Squeeze(mean, at)


@mindir("ArgMax", "ArgMin")
def lower_arg_mindir(b: Any, n: Any) -> Any:
    """Argmax(x, axis, output type); the last of equal ones is found from the other end."""
    axis = n.axis()
    op = "Argmax" if n.op == "ArgMax" else "Argmin"
    if n.attr("select_last_index"):
        size = n.dims(0)[axis]
        if size is None:
            raise Unsupported("select_last_index over an axis of unknown size")
        found = b.call(op, b.ReverseV2(n.x[0], (axis,)), axis, named("int64"))
        found = b.Sub(b.const(size - 1, np.int64), found)
    else:
        found = b.call(op, n.x[0], axis, named("int64"))
    return b.ExpandDims(found, axis) if n.attr("keepdims") else found


@lifts(MINDSPORE, "Argmax", "Argmin")
def lift_arg(o: Any, n: Any) -> Any:
    """ONNX gives int64, the third argument may ask for int32."""
    found = o.call("ArgMax" if n.op == "Argmax" else "ArgMin", n.x[0], axis=int(n.literal(1)), keepdims=0)
    dtype = n.type_id(2)
    return found if dtype is None or dtype.name == "int64" else o.Cast(found, to=dtype.onnx)


@lifts(MINDSPORE, "ArgMaxWithValue", "ArgMinWithValue")
def lift_arg_with_value(o: Any, n: Any) -> Any:
    """(x, axis, keep_dims) → (index, value)."""
    axis, keep = int(n.literal(1)), int(bool(n.literal(2)))
    which = "Max" if n.op == "ArgMaxWithValue" else "Min"
    index = o.call(f"Arg{which}", n.x[0], axis=axis, keepdims=keep)
    return index, o.call(f"Reduce{which}", n.x[0], np.asarray([axis], np.int64), keepdims=keep)


@mindir("CumSum")
def lower_cum_sum_mindir(b: Any, n: Any) -> Any:
    """CumSum(x, axis, exclusive, reverse)."""
    return b.CumSum(n.x[0], int(n.const(1).reshape(())), bool(n.attr("exclusive")), bool(n.attr("reverse")))


@lifts(MINDSPORE, "CumSum")
def lift_cum_sum(o: Any, n: Any) -> Any:
    """CumSum(x, axis, exclusive, reverse)."""
    axis = o.const(int(np.asarray(n.literal(1)).reshape(())), np.int64)
    return o.CumSum(n.x[0], axis, exclusive=int(bool(n.literal(2))), reverse=int(bool(n.literal(3))))


@lifts(MINDSPORE, "CumsumExt")
def lift_cum_sum_ext(o: Any, n: Any) -> Any:
    """(input, dim, dtype or None)."""
    dtype = n.type_id(2) if n.known(2) is not MISSING else None
    x = n.x[0] if dtype is None else o.Cast(n.x[0], to=dtype.onnx)
    return o.CumSum(x, o.const(int(n.literal(1)), np.int64))


@lifts(MINDSPORE, "CumProd")
def lift_cum_prod(o: Any, n: Any) -> Any:
    """One product per position, since the hub opset has no CumProd; exclusive and reverse do not occur in networks."""
    axis, size = int(n.literal(1)), n.shape(0)[int(n.literal(1))]
    if n.literal(2) or n.literal(3):
        raise Unsupported("an exclusive or reversed running product")
    pieces = o.Split(n.x[0], axis=axis, num_outputs=size, outputs=size) if size > 1 else (n.x[0],)
    out = [pieces[0]]
    for piece in pieces[1:]:
        out.append(o.Mul(out[-1], piece))
    return o.Concat(*out, axis=axis)
