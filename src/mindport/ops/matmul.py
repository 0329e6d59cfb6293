"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import f32, sample, weight

card(
    "MatMul",
    samples=[
        sample(f32(2, 3), weight(3, 5)),
        sample(f32(4, 2, 3), f32(4, 3, 5)),
        sample(f32(4, 2, 3), f32(3, 5)),
        sample(f32(3), f32(3, 5)),
        sample(f32(3), f32(3)),
        sample(f32(2, 1, 4, 3), f32(5, 3, 2)),
    ],
)
card(
    "Gemm",
    samples=[
        sample(f32(2, 3), weight(5, 3), weight(5), transB=1),
        sample(f32(3, 2), weight(3, 5), weight(2, 1), transA=1, alpha=0.5, beta=2.0),
        sample(f32(2, 3), weight(3, 5)),
    ],
)


@mindir("MatMul")
def lower_matmul_mindir(b: Any, n: Any) -> Any:
    """2-D: MatMul; equal batch dimensions: BatchMatMul; else MatMulExt, which takes every mix of ranks."""
    left, right = n.dims(0), n.dims(1)
    if len(left) == len(right) == 2:
        return b.MatMul(n.x[0], n.x[1])
    if len(left) == len(right) > 2 and None not in left[:-2] and left[:-2] == right[:-2]:
        return b.BatchMatMul(n.x[0], n.x[1])
    return b.MatMulExt(n.x[0], n.x[1])


@mindir("Gemm")
def lower_gemm_mindir(b: Any, n: Any) -> Any:
    """Computes alpha · A' · B' + beta · C."""
    dtype = n.dtype(0)
    out = b.MatMul(n.x[0], n.x[1], bool(n.attr("transA")), bool(n.attr("transB")))
    if n.attr("alpha") != 1.0:
        out = b.Mul(out, b.const(n.attr("alpha"), dtype))
    if not n.has(2):
        return out
    bias = n.x[2]
    if n.attr("beta") != 1.0:
        bias = b.Mul(bias, b.const(n.attr("beta"), dtype))
    return b.Add(out, bias)


@lifts(MINDSPORE, "MatMul", "BatchMatMul")
def lift_matmul(o: Any, n: Any) -> Any:
    """Transposed operands: Gemm does that for matrices, a Transpose of its own for batches."""
    turn_a, turn_b = bool(n.literal(2)), bool(n.literal(3))
    if not (turn_a or turn_b):
        return o.MatMul(n.x[0], n.x[1])
    if n.op == "MatMul":
        return o.Gemm(n.x[0], n.x[1], transA=int(turn_a), transB=int(turn_b))
    a = o.Transpose(n.x[0], perm=_swapped(n.rank(0))) if turn_a else n.x[0]
    b = o.Transpose(n.x[1], perm=_swapped(n.rank(1))) if turn_b else n.x[1]
    return o.MatMul(a, b)


lifts(MINDSPORE, "MatMulExt", "BatchMatMulExt")(lambda o, n: o.MatMul(n.x[0], n.x[1]))


@lifts(MINDSPORE, "Dense")
def lift_dense(o: Any, n: Any) -> Any:
    """Computes x · Wᵀ + b."""
    out = o.MatMul(n.x[0], o.Transpose(n.x[1], perm=[1, 0]))
    return o.Add(out, n.x[2]) if n.has(2) else out


def _swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


@lifts(MINDSPORE, "Cdist")
def lift_cdist(o: Any, n: Any) -> Any:
    """Distances between the rows of both operands, for every p except infinity."""
    p = float(n.literal(2))
    a, b = o.Unsqueeze(n.x[0], np.asarray([-2])), o.Unsqueeze(n.x[1], np.asarray([-3]))
    gap = o.Abs(o.Sub(a, b))
    last = np.asarray([-1], np.int64)
    if p == 2.0:
        return o.ReduceL2(gap, last, keepdims=0)
    if p == 1.0:
        return o.ReduceSum(gap, last, keepdims=0)
    dtype = n.dtype(0)
    total = o.ReduceSum(o.Pow(gap, o.const(p, dtype)), last, keepdims=0)
    return o.Pow(total, o.const(1 / p, dtype))
