"""AIR: arithmetic, comparison, logic, rounding, types."""

from __future__ import annotations

from functools import reduce
from typing import Any

from mindport.dialects.literals import GE
from mindport.dtypes import DType, by_ge_attr, by_onnx, named
from mindport.errors import Unsupported
from mindport.ops.air_common import int64, is_float, kept, only, plain, scalar, typed
from mindport.ops.card import air, lifts

plain("Exp", "Exp", base=-1.0, scale=1.0, shift=0.0)
plain("Log", "Log", base=-1.0, scale=1.0, shift=0.0)
plain("IsNaN", "IsNan")
plain("BitwiseAnd", "BitwiseAnd")
plain("BitwiseOr", "BitwiseOr")
plain("BitwiseXor", "BitwiseXor")
plain("BitwiseNot", "Invert")
plain("Round", "Rint")  # half to even, as in ONNX
plain("Where", "SelectV2")  # the only one of the Select operators that broadcasts

lifts(GE, "Identity", "TensorMove")(lambda o, n: n.x[0])


@lifts(GE, "Round")
def lift_round_air(o: Any, n: Any) -> Any:
    """Half to even; `decimals` has no counterpart."""
    only(n, decimals=0)
    return o.Round(n.x[0])


def cast(b: Any, value: Any, dtype: DType, dims: Any) -> Any:
    """Emits a Cast; its `dst_type` is a C++ type number, which is another one than the descriptor's."""
    if dtype.ge_attr is None:
        raise Unsupported(f"AIR has no element type {dtype.name}")
    return typed(b.Cast(value, dst_type=dtype.ge_attr), dtype, dims)


@air("Cast")
def lower_cast_air(b: Any, n: Any) -> Any:
    """`to` is an ONNX number, `dst_type` a C++ ge::DataType."""
    return cast(b, n.x[0], by_onnx(int(n.attr("to"))), n.out_dims())


@lifts(GE, "Cast")
def lift_cast_air(o: Any, n: Any) -> Any:
    """See `lower_cast_air`."""
    dtype = by_ge_attr(int(n.attr("dst_type")))
    return o.Cast(n.x[0], to=dtype.onnx)


@air("Identity", "Dropout")
def lower_identity_air(b: Any, n: Any) -> Any:
    """At inference dropout is the identity; its mask is all True."""
    if n.op == "Dropout" and n.has(2) and bool(n.const(2)):
        raise Unsupported("dropout in training mode; export the network in evaluation mode")
    if n.wants(1):
        return kept(b, n), b.Fill(int64(n.shape(0)), scalar(True, named("bool")))
    return kept(b, n)


@air("Div")
def lower_div_air(b: Any, n: Any) -> Any:
    """RealDiv for real numbers; Div truncates integers as ONNX does."""
    return b.RealDiv(n.x[0], n.x[1]) if is_float(n.dtype(0)) else b.Div(n.x[0], n.x[1])


@lifts(GE, "RealDiv")
def lift_real_div_air(o: Any, n: Any) -> Any:
    """True division, of integers too."""
    if is_float(n.dtype(0)):
        return o.Div(n.x[0], n.x[1])
    return o.Div(o.Cast(n.x[0], to=1), o.Cast(n.x[1], to=1))


lifts(GE, "Div", "TruncateDiv")(lambda o, n: o.Div(n.x[0], n.x[1]))


@lifts(GE, "FloorDiv")
def lift_floor_div_air(o: Any, n: Any) -> Any:
    """Rounds towards minus infinity."""
    if is_float(n.dtype(0)):
        return o.Floor(o.Div(n.x[0], n.x[1]))
    return o.Div(o.Sub(n.x[0], o.Mod(n.x[0], n.x[1])), n.x[1])


@air("Pow")
def lower_pow_air(b: Any, n: Any) -> Any:
    """Both operands have to be of one type; the result has that of the base."""
    base, exponent = n.dtype(0), n.dtype(1)
    if base is exponent:
        return b.Pow(n.x[0], n.x[1])
    wide = named("float64" if "64" in base.name + exponent.name and "float32" not in base.name else "float32")
    left = n.x[0] if base is wide else cast(b, n.x[0], wide, n.dims(0))
    right = n.x[1] if exponent is wide else cast(b, n.x[1], wide, n.dims(1))
    power = typed(b.Pow(left, right), wide, n.out_dims())
    return power if base is wide else cast(b, power, base, n.out_dims())


lifts(GE, "Pow")(lambda o, n: o.Pow(n.x[0], n.x[1]))


@air("Mod")
def lower_mod_air(b: Any, n: Any) -> Any:
    """``fmod=0``: sign of the divisor (FloorMod); ``fmod=1``: sign of the dividend (Mod)."""
    if n.attr("fmod"):
        return b.Mod(n.x[0], n.x[1])
    dtype = n.dtype(0)
    if dtype.name in ("int32", "int64") or is_float(dtype):
        return b.FloorMod(n.x[0], n.x[1])
    wide = named("int32")
    found = b.FloorMod(cast(b, n.x[0], wide, n.dims(0)), cast(b, n.x[1], wide, n.dims(1)))
    return cast(b, typed(found, wide, n.out_dims()), dtype, n.out_dims())


@lifts(GE, "FloorMod")
def lift_floor_mod_air(o: Any, n: Any) -> Any:
    """ONNX has this remainder for integers only."""
    if not is_float(n.dtype(0)):
        return o.Mod(n.x[0], n.x[1])
    return o.Sub(n.x[0], o.Mul(o.Floor(o.Div(n.x[0], n.x[1])), n.x[1]))


lifts(GE, "Mod", "TruncateMod")(lambda o, n: o.Mod(n.x[0], n.x[1], fmod=1))


def _broadcast(a: Any, b: Any) -> list[int | None]:
    """Returns the shape that two shapes broadcast to; an unknown dimension stays unknown beside 1."""
    rank = max(len(a), len(b))
    pairs = zip([1] * (rank - len(a)) + list(a), [1] * (rank - len(b)) + list(b), strict=True)
    return [y if x == 1 else x if y == 1 or x is not None else y for x, y in pairs]


def chain(b: Any, n: Any, op: str) -> Any:
    """Emits a binary operator over all inputs, from left to right."""
    if len(n.x) == 1:
        return kept(b, n)

    def pair(left: Any, right: Any) -> Any:
        dims = _broadcast(left[1], right[1])
        return typed(b.call(op, left[0], right[0]), n.dtype(0), dims), dims

    return reduce(pair, [(x, n.dims(i)) for i, x in enumerate(n.x)])[0]


air("Max")(lambda b, n: chain(b, n, "Maximum"))
air("Min")(lambda b, n: chain(b, n, "Minimum"))
air("Sum")(lambda b, n: chain(b, n, "Add"))


@air("Mean")
def lower_mean_air(b: Any, n: Any) -> Any:
    """The sum by the count."""
    if len(n.x) == 1:
        return kept(b, n)
    return b.Mul(chain(b, n, "Add"), scalar(1 / len(n.x), n.dtype(0)))


lifts(GE, "Maximum")(lambda o, n: o.Max(n.x[0], n.x[1]))
lifts(GE, "Minimum")(lambda o, n: o.Min(n.x[0], n.x[1]))
lifts(GE, "AccumulateNV2", "AddN")(lambda o, n: o.Sum(*n.x))
lifts(GE, "Square")(lambda o, n: o.Mul(n.x[0], n.x[0]))
lifts(GE, "Rsqrt")(lambda o, n: o.Reciprocal(o.Sqrt(n.x[0])))
lifts(GE, "NotEqual")(lambda o, n: o.Not(o.Equal(n.x[0], n.x[1])))
lifts(GE, "Muls")(lambda o, n: o.Mul(n.x[0], o.const(n.attr("value"), n.dtype(0))))
lifts(GE, "Adds")(lambda o, n: o.Add(n.x[0], o.const(n.attr("value"), n.dtype(0))))


@air("Xor")
def lower_xor_air(b: Any, n: Any) -> Any:
    """GE has no exclusive or of truth values; integers 0 and 1 have."""
    whole = named("int32")
    bits = b.BitwiseXor(cast(b, n.x[0], whole, n.dims(0)), cast(b, n.x[1], whole, n.dims(1)))
    return cast(b, typed(bits, whole, n.out_dims()), named("bool"), n.out_dims())


@air("IsInf")
def lower_is_inf_air(b: Any, n: Any) -> Any:
    """GE tells both infinities apart from nothing else: one of them alone needs a comparison."""
    if n.attr("detect_negative") and n.attr("detect_positive"):
        return b.IsInf(n.x[0])
    if not n.attr("detect_negative") and not n.attr("detect_positive"):
        raise Unsupported("IsInf that detects neither infinity")
    infinite = typed(b.IsInf(n.x[0]), named("bool"), n.dims(0))
    compare = b.Greater if n.attr("detect_positive") else b.Less
    signed = typed(compare(n.x[0], scalar(0, n.dtype(0))), named("bool"), n.dims(0))
    return b.LogicalAnd(infinite, signed)


lifts(GE, "IsInf")(lambda o, n: o.IsInf(n.x[0]))


@air("BitShift")
def lower_bit_shift_air(b: Any, n: Any) -> Any:
    """The direction is an attribute in ONNX and an operator in GE."""
    return (b.LeftShift if n.attr("direction") == "LEFT" else b.RightShift)(n.x[0], n.x[1])


lifts(GE, "LeftShift")(lambda o, n: o.BitShift(n.x[0], n.x[1], direction="LEFT"))
lifts(GE, "RightShift")(lambda o, n: o.BitShift(n.x[0], n.x[1], direction="RIGHT"))


@air("Clip")
def lower_clip_air(b: Any, n: Any) -> Any:
    """Both bounds: ClipByValue; one: Maximum or Minimum."""
    low, high = n.has(1), n.has(2)
    if low and high:
        return b.ClipByValue(n.x[0], n.x[1], n.x[2])
    if low:
        return b.Maximum(n.x[0], n.x[1])
    return b.Minimum(n.x[0], n.x[2]) if high else kept(b, n)


lifts(GE, "ClipByValue", "ClipByValueV2")(lambda o, n: o.Min(o.Max(n.x[0], n.x[1]), n.x[2]))


@lifts(GE, "Select")
def lift_select_air(o: Any, n: Any) -> Any:
    """A condition of rank 1 chooses whole rows."""
    return o.Where(_rows(o, n), n.x[1], n.x[2])


def _rows(o: Any, n: Any) -> Any:
    missing = n.rank(1) - n.rank(0)
    if n.rank(0) != 1 or missing <= 0:
        return n.x[0]
    return o.Unsqueeze(n.x[0], o.const(range(1, missing + 1), "int64"))
