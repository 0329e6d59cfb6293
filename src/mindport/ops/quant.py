"""Quantised tensors, as arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dtypes import named
from mindport.errors import Unsupported
from mindport.ops.card import card, mindir
from mindport.ops.samples import const, f32, i8, sample, u8

_SCALE = const(np.float32(0.05))

card(
    "QuantizeLinear",
    samples=[
        sample(f32(2, 3), _SCALE, const(np.uint8(120))),
        sample(f32(2, 3), _SCALE, const(np.int8(-3))),
        sample(f32(2, 3), const(np.asarray([0.1, 0.02, 0.03], np.float32))),
        sample(
            f32(2, 3, 4),
            const(np.asarray([0.1, 0.02, 0.03], np.float32)),
            const(np.asarray([1, -2, 3], np.int8)),
            axis=1,
        ),
    ],
)
card(
    "DequantizeLinear",
    samples=[
        sample(u8(2, 3, high=255), _SCALE, const(np.uint8(120))),
        sample(i8(2, 3, low=-128, high=127), _SCALE),
        sample(
            i8(2, 3, 4, low=-128, high=127),
            const(np.asarray([0.1, 0.02], np.float32)),
            const(np.asarray([1, -2], np.int8)),
            axis=0,
        ),
    ],
)
card(
    "MatMulInteger",
    samples=[
        sample(u8(2, 3, high=255), const(np.arange(12, dtype=np.uint8).reshape(3, 4))),
        sample(
            u8(2, 3, high=255),
            const(np.arange(12, dtype=np.uint8).reshape(3, 4)),
            const(np.uint8(7)),
            const(np.uint8(3)),
        ),
    ],
)


def _along(b: Any, n: Any, i: int) -> Any:
    """Returns scale or zero point `i`, shaped so that it broadcasts along the axis it is given for."""
    shape = n.shape(i)
    if shape in ((), (1,)):
        return b.Reshape(n.x[i], ()) if shape else n.x[i]
    if len(shape) != 1:
        raise Unsupported("blocked quantisation")
    axis = n.axis()
    view = [1] * n.rank(0)
    view[axis] = -1
    return b.Reshape(n.x[i], tuple(view))


@mindir("QuantizeLinear")
def lower_quantize_linear_mindir(b: Any, n: Any) -> Any:
    """Rounds half to even, then clips; the cast goes through int32 because a float that is out of range wraps."""
    target = n.out_dtype()
    if target.name not in ("int8", "uint8", "int16", "uint16"):
        raise Unsupported(f"quantisation to {target.name}")
    if n.attr("block_size"):
        raise Unsupported("blocked quantisation")
    limits = np.iinfo(target.numpy)
    value = b.Rint(b.Div(n.x[0], _along(b, n, 1)))
    if n.has(2):
        value = b.Add(value, b.Cast(_along(b, n, 2), n.dtype(0)))
    low, high = b.const(limits.min, n.dtype(0)), b.const(limits.max, n.dtype(0))
    return b.Cast(b.Cast(b.Minimum(b.Maximum(value, low), high), named("int32")), target)


@mindir("DequantizeLinear")
def lower_dequantize_linear_mindir(b: Any, n: Any) -> Any:
    """(x - zero point) · scale, in the scale's type."""
    if n.attr("block_size"):
        raise Unsupported("blocked quantisation")
    dtype = n.dtype(1)
    value = b.Cast(n.x[0], dtype)
    if n.has(2):
        value = b.Sub(value, b.Cast(_along(b, n, 2), dtype))
    return b.Mul(value, _along(b, n, 1))


@mindir("MatMulInteger")
def lower_matmul_integer_mindir(b: Any, n: Any) -> Any:
    """In int32, after taking the zero points off."""
    wide = named("int32")
    sides = []
    for i in (0, 1):
        side = b.Cast(n.x[i], wide)
        if n.has(i + 2):
            zero = b.Cast(n.x[i + 2], wide)
            if n.shape(i + 2) not in ((), (1,)) and i == 0:
                zero = b.ExpandDims(zero, -1)
            side = b.Sub(side, zero)
        sides.append(side)
    return b.MatMulExt(*sides)
