"""MindSpore's own element-wise primitives, lifted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindport.conversion.pipeline import to_onnx
from mindport.errors import UnsupportedOps
from oracles.primitive import check, model, numbers

X = numbers(2, 3, 4, low=-4, high=7)
Y = numbers(2, 3, 4, low=1, high=3)
K = numbers(2, 3, low=-9, high=9, dtype=np.int32)
J = numbers(3, low=1, high=4, dtype=np.int32)

BINARY = {
    "Div of integers gives floats": (lambda b, x, y: b.Div(x, y), K, J),
    "FloorDiv of integers": (lambda b, x, y: b.FloorDiv(x, y), K, J),
    "FloorDiv of floats": (lambda b, x, y: b.FloorDiv(x, y), X, Y),
    "FloorMod of floats": (lambda b, x, y: b.FloorMod(x, y), X, Y),
    "FloorMod of integers": (lambda b, x, y: b.FloorMod(x, y), K, J),
    "TruncateDiv": (lambda b, x, y: b.TruncateDiv(x, y), K, J),
    "NotEqual": (lambda b, x, y: b.NotEqual(x, y), K, J),
    "AddN": (lambda b, x, y: b.AddN([x, y, x]), X, Y),
    "SubExt": (lambda b, x, y: b.SubExt(x, y, 2.5), X, Y),
    "DivMod trunc": (lambda b, x, y: b.DivMod(x, y, 1), X, Y),
    "DivMod floor": (lambda b, x, y: b.DivMod(x, y, 2), X, Y),
    "DivMod plain": (lambda b, x, y: b.DivMod(x, y, None), X, Y),
}
UNARY = {
    "Square": lambda b, x: b.Square(x),
    "Rsqrt": lambda b, x: b.Rsqrt(b.Abs(x)),
    "Expm1": lambda b, x: b.Expm1(x),
    "Log1p": lambda b, x: b.Log1p(b.Abs(x)),
    "Trunc": lambda b, x: b.Trunc(x),
    "ZerosLike": lambda b, x: b.ZerosLike(x),
    "OnesLike": lambda b, x: b.OnesLike(x),
    "Muls": lambda b, x: b.Muls(x, 2),
    "Divs": lambda b, x: b.Divs(x, 4.0),
    "AddScalar": lambda b, x: b.AddScalar(x, 1.5, 2.0),
    "SubScalar": lambda b, x: b.SubScalar(x, 1.5),
    "LessScalar": lambda b, x: b.LessScalar(x, 1),
    "GreaterEqualScalar": lambda b, x: b.GreaterEqualScalar(x, 1),
    "EqScalar": lambda b, x: b.EqScalar(b.Rint(x), 1),
    "PowTensorScalar": lambda b, x: b.PowTensorScalar(x, 3),
    "RemainderTensorScalar": lambda b, x: b.RemainderTensorScalar(x, 1.5),
    "ClampScalar": lambda b, x: b.ClampScalar(x, -1, 2.5),
    "ClampScalar low only": lambda b, x: b.ClampScalar(x, 0.5, None),
    "Round": lambda b, x: b.Round(x, 0),
}


@pytest.mark.mindspore
@pytest.mark.parametrize("name", BINARY)
def test_lifts_of_two_operands_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    build, *inputs = BINARY[name]
    check(tmp_path, build, *inputs)


@pytest.mark.mindspore
@pytest.mark.parametrize("name", UNARY)
def test_lifts_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    check(tmp_path, UNARY[name], X)


def test_division_of_integers_with_a_rounding_mode_is_refused() -> None:
    with pytest.raises(UnsupportedOps, match="rounding mode"):
        to_onnx(model(lambda b, x, y: b.DivMod(x, y, 2), K, J))
