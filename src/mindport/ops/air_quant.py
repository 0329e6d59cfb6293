"""AIR: quantised tensors, as arithmetic on numbers that hold them exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dtypes import DType, named
from mindport.errors import Unsupported
from mindport.ops.air_common import same, scalar, typed
from mindport.ops.air_elementwise import cast
from mindport.ops.card import air


def _along(n: Any, i: int, dtype: DType) -> Any:
    """Returns a constant scale or zero point, shaped so that it broadcasts along the axis it is given for."""
    value = n.const(i).astype(dtype.numpy)
    if n.attr("block_size") or value.ndim > 1:
        raise Unsupported("blocked quantisation")
    if value.size == 1:
        return value.reshape(())
    shape = [1] * n.rank(0)
    shape[n.axis()] = value.size
    return value.reshape(shape)


@air("QuantizeLinear")
def lower_quantize_linear_air(b: Any, n: Any) -> Any:
    """Rounds half to even, adds the zero point, and clips before the type becomes narrow."""
    target, dtype = n.out_dtype(), n.dtype(0)
    if target.name not in ("int8", "uint8", "int16", "uint16"):
        raise Unsupported(f"quantisation to {target.name}")
    limits = np.iinfo(target.numpy)
    value = same(b.Rint(same(b.RealDiv(n.x[0], _along(n, 1, dtype)), n)), n)
    if n.has(2):
        value = same(b.Add(value, _along(n, 2, dtype)), n)
    value = same(b.ClipByValue(value, scalar(limits.min, dtype), scalar(limits.max, dtype)), n)
    whole = named("int32")  # out of float straight into an unsigned type is not the same everywhere
    return cast(b, cast(b, value, whole, n.dims(0)), target, n.dims(0))


@air("DequantizeLinear")
def lower_dequantize_linear_air(b: Any, n: Any) -> Any:
    """(x - zero point) · scale, in the type of the scale."""
    dtype, dims = n.dtype(1), n.dims(0)
    value = cast(b, n.x[0], dtype, dims)
    if n.has(2):
        value = typed(b.Sub(value, _along(n, 2, dtype)), dtype, dims)
    return b.Mul(value, _along(n, 1, dtype))


@air("MatMulInteger")
def lower_matmul_integer_air(b: Any, n: Any) -> Any:
    """A product in int32, after the zero points are taken off."""
    whole = named("int32")
    sides = []
    for i in (0, 1):
        side = cast(b, n.x[i], whole, n.dims(i))
        if n.has(i + 2):
            zero = n.const(i + 2).astype(np.int32)
            if zero.ndim == 1 and zero.size > 1 and i == 0:
                zero = zero[:, None]  # one for each row
            side = typed(b.Sub(side, zero), whole, n.dims(i))
        sides.append(side)
    if min(n.rank(0), n.rank(1)) < 2:
        raise Unsupported("MatMulInteger of vectors")
    if n.rank(0) == n.rank(1) == 2:
        return b.MatMulV2(*sides, transpose_x1=False, transpose_x2=False)
    return b.BatchMatMulV2(*sides, adj_x1=False, adj_x2=False)
