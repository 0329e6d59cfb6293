"""Element by element: arithmetic, comparison, logic, rounding, types."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.dtypes import by_onnx, named
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import b8, const, f16, f32, i32, i64, sample, weight

_PAIR = [sample(f32(2, 3, 4), f32(3, 1)), sample(f32(2, 3), weight(3))]

card("Add", mindir="Add", air="Add", samples=[*_PAIR, sample(i32(3), i32(2, 3)), sample(f16(2, 3), f16(2, 3))])
card("Sub", mindir="Sub", air="Sub", samples=[*_PAIR, sample(i64(3), i64(2, 3))])
card("Mul", mindir="Mul", air="Mul", samples=[*_PAIR, sample(i32(3), i32(2, 3))])
card("Neg", mindir="Neg", air="Neg", samples=[sample(f32(2, 3)), sample(i32(2, 3))])
card("Abs", mindir="Abs", air="Abs", samples=[sample(f32(2, 3)), sample(i32(2, 3))])
card("Exp", mindir="Exp", samples=[sample(f32(2, 3))])
card("Log", mindir="Log", samples=[sample(f32(2, 3, low=0.1))])
card("Sqrt", mindir="Sqrt", air="Sqrt", samples=[sample(f32(2, 3, low=0.1))])
card("Reciprocal", mindir="Reciprocal", air="Reciprocal", samples=[sample(f32(2, 3, low=0.5))])
card("Sin", mindir="Sin", air="Sin", samples=[sample(f32(2, 3))])
card("Cos", mindir="Cos", air="Cos", samples=[sample(f32(2, 3))])
card("Tan", mindir="Tan", air="Tan", samples=[sample(f32(2, 3, low=-1, high=1))])
card("Sinh", mindir="Sinh", air="Sinh", samples=[sample(f32(2, 3))])
card("Cosh", mindir="Cosh", air="Cosh", samples=[sample(f32(2, 3))])
card("Asin", mindir="Asin", air="Asin", samples=[sample(f32(2, 3, low=-1, high=1))])
card("Acos", mindir="ACos", air="Acos", samples=[sample(f32(2, 3, low=-1, high=1))])
card("Atan", mindir="Atan", air="Atan", samples=[sample(f32(2, 3))])
card("Asinh", mindir="Asinh", air="Asinh", samples=[sample(f32(2, 3))])
card("Acosh", mindir="Acosh", air="Acosh", samples=[sample(f32(2, 3, low=1.1, high=3))])
card("Atanh", mindir="Atanh", air="Atanh", samples=[sample(f32(2, 3, low=-0.9, high=0.9))])
card("Erf", mindir="Erf", air="Erf", samples=[sample(f32(2, 3))])
card("Floor", mindir="Floor", air="Floor", samples=[sample(f32(2, 3))])
card("Ceil", mindir="Ceil", air="Ceil", samples=[sample(f32(2, 3))])
card("Round", mindir="Rint", samples=[sample(f32(2, 3)), sample(const(np.asarray([0.5, 1.5, -2.5, 2.4], np.float32)))])
card("Sign", mindir="Sign", air="Sign", samples=[sample(f32(2, 3)), sample(i32(2, 3))])
card("Not", mindir="LogicalNot", air="LogicalNot", samples=[sample(b8(2, 3))])
card("And", mindir="LogicalAnd", air="LogicalAnd", samples=[sample(b8(2, 3), b8(3))])
card("Or", mindir="LogicalOr", air="LogicalOr", samples=[sample(b8(2, 3), b8(3))])
card("Xor", mindir="LogicalXor", samples=[sample(b8(2, 3), b8(3))])
card(
    "Equal", mindir="Equal", air="Equal", samples=[sample(i32(2, 3), i32(3)), sample(f32(2, 3), const(np.float32(0.5)))]
)
card("Less", mindir="Less", air="Less", samples=[sample(f32(2, 3), f32(3))])
card("LessOrEqual", mindir="LessEqual", air="LessEqual", samples=[sample(i32(2, 3), i32(3))])
card("Greater", mindir="Greater", air="Greater", samples=[sample(f32(2, 3), f32(3))])
card("GreaterOrEqual", mindir="GreaterEqual", air="GreaterEqual", samples=[sample(i32(2, 3), i32(3))])
card("IsNaN", mindir="IsNan", samples=[sample(f32(2, 3))])
card(
    "Where",
    mindir="Select",
    samples=[sample(b8(2, 3), f32(2, 3), f32(3)), sample(b8(2, 3), f32(2, 3), const(np.float32(0)))],
)
card("Div", samples=[*_PAIR, sample(i32(2, 3, low=-9, high=9), i32(3, low=1, high=4))])
card(
    "Pow",
    samples=[sample(f32(2, 3, low=0.1), f32(3)), sample(f32(2, 3), const(np.float32(2))), sample(f32(2, 3), const(3))],
)
card(
    "Mod",
    samples=[
        sample(i32(2, 3, low=-9, high=9), i32(3, low=1, high=4)),
        sample(f32(2, 3, low=-9, high=9), f32(3, low=1, high=4), fmod=1),
    ],
    notes="Floats with fmod=0: MindSpore differs for infinities and NaN.",
)
card(
    "Min",
    samples=[sample(f32(2, 3), f32(3)), sample(f32(3), f32(2, 3), f32(1))],
    notes="MindSpore's CPU kernel drops NaN.",
)
card(
    "Max",
    samples=[sample(f32(2, 3), f32(3)), sample(f32(3), f32(2, 3), f32(1))],
    notes="MindSpore's CPU kernel drops NaN.",
)
card("Sum", samples=[sample(f32(2, 3), f32(3)), sample(f32(3), f32(2, 3), f32(1))])
card("Mean", samples=[sample(f32(2, 3), f32(3)), sample(f32(3), f32(2, 3), f32(1))])
card(
    "Clip",
    samples=[
        sample(f32(2, 3), const(np.float32(-0.5)), const(np.float32(1))),
        sample(f32(2, 3), const(np.float32(0))),
        sample(f32(2, 3), None, const(np.float32(0.25))),
        sample(i32(2, 3), const(np.int32(0)), const(np.int32(1))),
    ],
)
card(
    "Cast",
    samples=[
        sample(f32(2, 3), to=7),
        sample(i32(2, 3), to=1),
        sample(b8(2, 3), to=1),
        sample(f32(2, 3), to=10),
        sample(f32(2, 3), to=9),
    ],
    notes="Float to unsigned integer wraps in MindSpore where the value is out of range.",
)


def is_float(dtype: Any) -> bool:
    """True for floating-point element types, bfloat16 included."""
    return str(dtype.name).startswith(("float", "bfloat"))


@mindir("Div")
def lower_div_mindir(b: Any, n: Any) -> Any:
    """MindSpore's Div of integers gives floats; ONNX truncates."""
    return b.Div(n.x[0], n.x[1]) if is_float(n.dtype(0)) else b.TruncateDiv(n.x[0], n.x[1])


@lifts(MINDSPORE, "Div", "RealDiv")
def lift_div(o: Any, n: Any) -> Any:
    """True division, also of integers."""
    if is_float(n.dtype(0)):
        return o.Div(n.x[0], n.x[1])
    return o.Div(o.Cast(n.x[0], to=1), o.Cast(n.x[1], to=1))


lifts(MINDSPORE, "TruncateDiv")(lambda o, n: o.Div(n.x[0], n.x[1]))


@lifts(MINDSPORE, "FloorDiv")
def lift_floor_div(o: Any, n: Any) -> Any:
    """Rounds towards minus infinity."""
    if is_float(n.dtype(0)):
        return o.Floor(o.Div(n.x[0], n.x[1]))
    return o.Div(o.Sub(n.x[0], o.Mod(n.x[0], n.x[1])), n.x[1])


@mindir("Pow")
def lower_pow_mindir(b: Any, n: Any) -> Any:
    """Both operands have to be of one type; the result has the type of the base."""
    base, exponent = n.dtype(0), n.dtype(1)
    if base is exponent:
        return b.Pow(n.x[0], n.x[1])
    wide = named("float64" if "64" in base.name + exponent.name else "float32")
    result = b.Pow(b.Cast(n.x[0], wide), b.Cast(n.x[1], wide))
    return result if base is wide else b.Cast(result, base)


lifts(MINDSPORE, "Pow")(lambda o, n: o.Pow(n.x[0], n.x[1]))


@mindir("Mod")
def lower_mod_mindir(b: Any, n: Any) -> Any:
    """``fmod=0``: sign of the divisor; ``fmod=1``: sign of the dividend."""
    op = b.TruncateMod if n.attr("fmod") else b.FloorMod
    return op(n.x[0], n.x[1])


@lifts(MINDSPORE, "FloorMod")
def lift_floor_mod(o: Any, n: Any) -> Any:
    """ONNX has this remainder for integers only."""
    if not is_float(n.dtype(0)):
        return o.Mod(n.x[0], n.x[1])
    return o.Sub(n.x[0], o.Mul(o.Floor(o.Div(n.x[0], n.x[1])), n.x[1]))


lifts(MINDSPORE, "TruncateMod", "Mod")(lambda o, n: o.Mod(n.x[0], n.x[1], fmod=1))


@mindir("Min")
def lower_min_mindir(b: Any, n: Any) -> Any:
    """A chain of pairs."""
    return reduce(b.Minimum, n.x)


@mindir("Max")
def lower_max_mindir(b: Any, n: Any) -> Any:
    """A chain of pairs."""
    return reduce(b.Maximum, n.x)


@mindir("Sum")
def lower_sum_mindir(b: Any, n: Any) -> Any:
    """A chain of pairs."""
    return reduce(b.Add, n.x)


@mindir("Mean")
def lower_mean_mindir(b: Any, n: Any) -> Any:
    """The sum by the count."""
    return b.Mul(reduce(b.Add, n.x), b.const(1 / len(n.x), n.dtype(0)))


lifts(MINDSPORE, "Minimum")(lambda o, n: o.Min(n.x[0], n.x[1]))
lifts(MINDSPORE, "Maximum")(lambda o, n: o.Max(n.x[0], n.x[1]))
lifts(MINDSPORE, "AddN")(lambda o, n: o.Sum(*n.items(0)))
lifts(MINDSPORE, "Square")(lambda o, n: o.Mul(n.x[0], n.x[0]))
lifts(MINDSPORE, "Rsqrt")(lambda o, n: o.Reciprocal(o.Sqrt(n.x[0])))
lifts(MINDSPORE, "NotEqual")(lambda o, n: o.Not(o.Equal(n.x[0], n.x[1])))
lifts(MINDSPORE, "IsInf")(lambda o, n: o.IsInf(n.x[0]))
lifts(MINDSPORE, "Trunc")(lambda o, n: o.Mul(o.Sign(n.x[0]), o.Floor(o.Abs(n.x[0]))))
lifts(MINDSPORE, "ZerosLike")(lambda o, n: o.Expand(o.const(0, n.dtype(0)), o.Shape(n.x[0])))
lifts(MINDSPORE, "OnesLike")(lambda o, n: o.Expand(o.const(1, n.dtype(0)), o.Shape(n.x[0])))
lifts(MINDSPORE, "Expm1")(lambda o, n: o.Sub(o.Exp(n.x[0]), o.const(1, n.dtype(0))))
lifts(MINDSPORE, "Log1p")(lambda o, n: o.Log(o.Add(n.x[0], o.const(1, n.dtype(0)))))


@mindir("Clip")
def lower_clip_mindir(b: Any, n: Any) -> Any:
    """First the lower bound, then the upper: where they cross, the upper wins, as in ONNX."""
    out = n.x[0]
    if n.has(1):
        out = b.Maximum(out, n.x[1])
    if n.has(2):
        out = b.Minimum(out, n.x[2])
    return out


@lifts(MINDSPORE, "ClampScalar", "ClampTensor")
def lift_clamp(o: Any, n: Any) -> Any:
    """Bounds may be None."""
    low = n.tensor(1, n.x[0]) if n.has(1) else None
    high = n.tensor(2, n.x[0]) if n.has(2) else None
    return o.Clip(n.x[0], low, high)


@mindir("Cast")
def lower_cast_mindir(b: Any, n: Any) -> Any:
    """The type is an argument: a TypeId number."""
    to = by_onnx(int(n.attr("to")))
    if to.type_id is None:
        raise Unsupported(f"MindSpore has no element type {to.name}")
    return b.Cast(n.x[0], to)


@lifts(MINDSPORE, "Cast")
def lift_cast(o: Any, n: Any) -> Any:
    """The type is an argument: a TypeId number."""
    return o.Cast(n.x[0], to=n.type_id(1).onnx)


def _with_scalar(op: str) -> Any:
    def rule(o: Any, n: Any) -> Any:
        return o.call(op, n.x[0], n.tensor(1, n.x[0]))

    return rule


# the forms that Python operators between a tensor and a number are compiled to
for _ms, _onnx in {
    "Muls": "Mul",
    "Divs": "Div",
    "LessScalar": "Less",
    "GreaterEqualScalar": "GreaterOrEqual",
    "EqScalar": "Equal",
    "PowTensorScalar": "Pow",
}.items():
    lifts(MINDSPORE, _ms)(_with_scalar(_onnx))


lifts(MINDSPORE, "NeScalar")(lambda o, n: o.Not(o.Equal(n.x[0], n.tensor(1, n.x[0]))))


@lifts(MINDSPORE, "AddScalar", "SubScalar", "AddExt", "SubExt")
def lift_add_scaled(o: Any, n: Any) -> Any:
    """(input, other, alpha): input ± alpha · other."""
    other = n.tensor(1, n.x[0])
    alpha = n.literal(2) if len(n.raw) > 2 else 1
    if alpha != 1:
        other = o.Mul(other, o.const(alpha, n.dtype(0)))
    return o.call(n.op[:3], n.x[0], other)


@lifts(MINDSPORE, "RemainderTensorScalar")
def lift_remainder_scalar(o: Any, n: Any) -> Any:
    """Python's %: the sign of the divisor."""
    other = n.tensor(1, n.x[0])
    if not is_float(n.dtype(0)):
        return o.Mod(n.x[0], other)
    return o.Sub(n.x[0], o.Mul(o.Floor(o.Div(n.x[0], other)), other))


@lifts(MINDSPORE, "DivMod", "DivMods")
def lift_div_mod(o: Any, n: Any) -> Any:
    """rounding_mode: None plain, 1 towards zero, 2 downwards."""
    other, mode = n.tensor(1, n.x[0]), n.literal(2)
    if not is_float(n.dtype(0)):
        raise Unsupported("division of integers with a rounding mode")
    out = o.Div(n.x[0], other)
    if mode is None:
        return out
    return o.Floor(out) if mode == 2 else o.Mul(o.Sign(out), o.Floor(o.Abs(out)))


@lifts(MINDSPORE, "Round")
def lift_round(o: Any, n: Any) -> Any:
    """To a number of decimals; half to even."""
    factor = 10.0 ** int(n.literal(1))
    if factor == 1.0:
        return o.Round(n.x[0])
    scale = o.const(factor, n.dtype(0))
    return o.Div(o.Round(o.Mul(n.x[0], scale)), scale)


card("BitwiseAnd", mindir="BitwiseAnd", samples=[sample(i32(2, 3, low=0, high=99), i32(3, low=0, high=99))])
card("BitwiseOr", mindir="BitwiseOr", samples=[sample(i32(2, 3, low=0, high=99), i32(3, low=0, high=99))])
card("BitwiseXor", mindir="BitwiseXor", samples=[sample(i32(2, 3, low=0, high=99), i32(3, low=0, high=99))])
card("BitwiseNot", mindir="Invert", samples=[sample(i32(2, 3, low=-9, high=99))])
card("Det", mindir="MatrixDeterminant", samples=[sample(f32(2, 3, 3))])
card(
    "IsInf",
    samples=[sample(const(np.asarray([1, np.inf, -np.inf, np.nan], np.float32)), detect_negative=0), sample(f32(2, 3))],
)


@mindir("IsInf")
def lower_is_inf_mindir(b: Any, n: Any) -> Any:
    """Either sign alone is found by comparing with 0 as well."""
    found = b.IsInf(n.x[0])
    zero = b.const(0, n.dtype(0))
    if not n.attr("detect_negative"):
        found = b.LogicalAnd(found, b.Greater(n.x[0], zero))
    if not n.attr("detect_positive"):
        found = b.LogicalAnd(found, b.Less(n.x[0], zero))
    return found
