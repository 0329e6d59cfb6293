"""AIR: reductions, arg-reductions, sorting, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.dtypes import by_onnx, named
from mindport.errors import Unsupported
from mindport.ops.air_common import int32, kept, same, typed
from mindport.ops.air_elementwise import cast
from mindport.ops.card import air, lifts


def _axes(n: Any) -> Any:
    """Returns the axes as a constant (all of them where ONNX names none), or the value that computes them."""
    if n.has(1) and n.known(1) is None:
        return n.x[1]
    axes = n.ints(1) if n.has(1) else ()
    rank = n.rank(0)
    return int32([a % rank for a in axes] if axes else range(rank))


def _nothing_to_do(n: Any) -> bool:
    return bool(n.attr("noop_with_empty_axes")) and (not n.has(1) or (n.known(1) is not None and not n.ints(1)))


def _reduce(onnx_op: str) -> None:
    """`noop_with_empty_axes` is written, because its default differs; constant axes are never empty."""

    @air(onnx_op)
    def lower(b: Any, n: Any) -> Any:
        if _nothing_to_do(n):
            return kept(b, n)
        keep = bool(n.attr("keepdims"))
        if n.dtype(0).name == "bool":  # the largest of truth values is any of them, the smallest all of them
            return b.call(_OF_BOOL[onnx_op], n.x[0], _axes(n), keep_dims=keep)
        computed = n.has(1) and n.known(1) is None
        noop = computed and bool(n.attr("noop_with_empty_axes"))
        return b.call(onnx_op, n.x[0], _axes(n), keep_dims=keep, noop_with_empty_axes=noop)

    @lifts(GE, onnx_op)
    def lift(o: Any, n: Any) -> Any:
        axes, noop = _lifted_axes(n)
        return o.call(onnx_op, n.x[0], axes, keepdims=int(n.attr("keep_dims")), noop_with_empty_axes=noop)

    @lifts(GE, f"{onnx_op}D")
    def lift_with_attribute(o: Any, n: Any) -> Any:
        axes = np.asarray(n.attr("axes"), np.int64)
        return o.call(onnx_op, n.x[0], axes, keepdims=int(n.attr("keep_dims")), noop_with_empty_axes=0)


def _lifted_axes(n: Any) -> tuple[Any, int]:
    axes = np.asarray(n.literal(1), np.int64).reshape(-1)
    return axes, int(n.attr("noop_with_empty_axes", True)) if not axes.size else 0


_OF_BOOL = {"ReduceMax": "ReduceAny", "ReduceMin": "ReduceAll"}


@lifts(GE, "ReduceAny", "ReduceAll")
def lift_reduce_bool_air(o: Any, n: Any) -> Any:
    """ONNX has them as maximum and minimum of truth values."""
    axes = np.asarray(n.literal(1), np.int64).reshape(-1)
    op = "ReduceMax" if n.op == "ReduceAny" else "ReduceMin"
    return o.call(op, n.x[0], axes, keepdims=int(n.attr("keep_dims")))


for _op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"):
    _reduce(_op)


def _norm(onnx_op: str, p: float) -> None:
    @air(onnx_op)
    def lower(b: Any, n: Any) -> Any:
        if _nothing_to_do(n):
            return b.Abs(n.x[0])  # the norm of single elements
        axes = [int(a) for a in np.asarray(_static(n)).reshape(-1)]
        return b.LpNormV2(n.x[0], p=p, axes=axes, keepdim=bool(n.attr("keepdims")), epsilon=0.0)


def _static(n: Any) -> Any:
    axes = _axes(n)
    if not isinstance(axes, np.ndarray):
        raise Unsupported("axes that are computed at run time")
    return axes


_norm("ReduceL1", 1.0)
_norm("ReduceL2", 2.0)


@lifts(GE, "LpNormV2")
def lift_lp_norm_air(o: Any, n: Any) -> Any:
    """1 and 2 only; epsilon is a floor under the result."""
    p = n.attr("p")
    if p not in (1.0, 2.0):
        raise Unsupported(f"LpNormV2 with p={p}; ONNX has 1 and 2")
    axes = np.asarray(n.attr("axes"), np.int64)
    out = o.call(f"ReduceL{int(p)}", n.x[0], axes, keepdims=int(n.attr("keepdim")))
    epsilon = n.attr("epsilon")
    return o.Max(out, o.const(epsilon, n.dtype(0))) if epsilon else out


@air("ReduceSumSquare")
def lower_reduce_sum_square_air(b: Any, n: Any) -> Any:
    """The sum of squares."""
    square = b.Square(n.x[0])
    if _nothing_to_do(n):
        return square
    return b.ReduceSum(same(square, n), _axes(n), keep_dims=bool(n.attr("keepdims")), noop_with_empty_axes=False)


@air("ReduceLogSum")
def lower_reduce_log_sum_air(b: Any, n: Any) -> Any:
    """The logarithm of the sum."""
    if _nothing_to_do(n):
        return b.Log(n.x[0])
    total = b.ReduceSum(n.x[0], _axes(n), keep_dims=bool(n.attr("keepdims")), noop_with_empty_axes=False)
    return b.Log(typed(total, n.dtype(0), n.out_dims()))


@air("ReduceLogSumExp")
def lower_reduce_log_sum_exp_air(b: Any, n: Any) -> Any:
    """One operator; it subtracts the maximum first."""
    if _nothing_to_do(n):
        return kept(b, n)
    return b.ReduceLogSumExp(n.x[0], _axes(n), keep_dims=bool(n.attr("keepdims")), noop_with_empty_axes=False)


@lifts(GE, "ReduceLogSumExp", "ReduceLogSum")
def lift_reduce_log_sum_air(o: Any, n: Any) -> Any:
    """Axes are a constant input."""
    axes = np.asarray(n.literal(1), np.int64).reshape(-1)
    return o.call(n.op, n.x[0], axes, keepdims=int(n.attr("keep_dims")))


def _arg(onnx_op: str, ge_op: str) -> None:
    """The axis is an input; the result has it removed."""

    @air(onnx_op)
    def lower(b: Any, n: Any) -> Any:
        if n.attr("select_last_index"):
            raise Unsupported(f"{onnx_op} with select_last_index: AIR finds the first")
        axis = n.axis()
        found = b.call(ge_op, n.x[0], np.asarray(axis, np.int32), dtype=named("int64"))
        if not n.attr("keepdims"):
            return found
        dims = list(n.dims(0))
        return b.Unsqueeze(typed(found, named("int64"), dims[:axis] + dims[axis + 1 :]), axes=[axis])

    @lifts(GE, ge_op)
    def lift(o: Any, n: Any) -> Any:
        (axis,) = n.ints(1)
        found = o.call(onnx_op, n.x[0], axis=axis, keepdims=0)
        dtype = n.attr("dtype")
        return found if dtype.name == "int64" else o.Cast(found, to=dtype.onnx)


_arg("ArgMax", "ArgMaxV2")
_arg("ArgMin", "ArgMin")


@air("TopK")
def lower_top_k_air(b: Any, n: Any) -> Any:
    """The count is a 0-d int32; indices come as int32."""
    (k,) = n.ints(1)
    values, indices = b.TopK(
        n.x[0],
        np.asarray(k, np.int32),
        sorted=bool(n.attr("sorted")),
        largest=bool(n.attr("largest")),
        dim=n.axis(),
    )
    dims = n.out_dims()
    typed(values, n.dtype(0), dims)
    typed(indices, named("int32"), dims)
    return values, cast(b, indices, named("int64"), dims)


@lifts(GE, "TopK", "TopKV2")
def lift_top_k_air(o: Any, n: Any) -> Any:
    """See `lower_top_k_air`."""
    k = np.asarray(n.ints(1), np.int64)
    values, indices = o.TopK(
        n.x[0], k, axis=n.attr("dim"), sorted=int(n.attr("sorted")), largest=int(n.attr("largest")), outputs=2
    )
    wide = n.op == "TopKV2" and n.attr("indices_dtype") == named("int64").ge_attr
    return values, indices if wide else o.Cast(indices, to=by_onnx(6).onnx)


@air("CumSum")
def lower_cum_sum_air(b: Any, n: Any) -> Any:
    """The axis is an input in both."""
    (axis,) = n.ints(1)
    return b.Cumsum(
        n.x[0],
        np.asarray(axis % n.rank(0), np.int32),
        exclusive=bool(n.attr("exclusive")),
        reverse=bool(n.attr("reverse")),
    )


@lifts(GE, "Cumsum")
def lift_cum_sum_air(o: Any, n: Any) -> Any:
    """See `lower_cum_sum_air`."""
    axis = np.asarray(n.ints(1)[0], np.int64)
    return o.CumSum(n.x[0], axis, exclusive=int(n.attr("exclusive")), reverse=int(n.attr("reverse")))
