"""MindSpore's reductions, lifted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindport.conversion.pipeline import to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, const, f32, sample
from oracles.primitive import check, numbers

X = numbers(2, 3, 4)
K = numbers(2, 3, 4, dtype=np.int32)


def _pair(pack_of: Any) -> Any:
    def build(b: Any, x: Any) -> Any:
        pack = pack_of(b, x)
        return [b.item(pack, 0), b.item(pack, 1)]

    return build


CASES: dict[str, tuple[Any, Any]] = {
    "ReduceSum of no axes": (lambda b, x: b.ReduceSum(x, ()), X),
    "SumExt": (lambda b, x: b.SumExt(x, (0, -1), True, None), X),
    "SumExt of all": (lambda b, x: b.SumExt(x, None, False, None), X),
    "SumExt of integers is int64": (lambda b, x: b.SumExt(x, (1,), False, None), K),
    "ReduceAny": (lambda b, x: b.ReduceAny(b.GreaterEqual(x, b.const(1, np.float32)), (1,), False), X),
    "ReduceAll": (lambda b, x: b.ReduceAll(b.LessEqual(x, b.const(1, np.float32)), (0, 2), True), X),
    "Max of all": (lambda b, x: b.Max(x), X),
    "Min of all": (lambda b, x: b.Min(x), X),
    "ReduceStd": (_pair(lambda b, x: b.ReduceStd(x, (1, 2), True, True)), X),
    "ReduceStd biased": (_pair(lambda b, x: b.ReduceStd(x, (1,), False, False)), X),
    "Argmax in int32": (lambda b, x: b.Argmax(x, -1, 34), X),
    "ArgMaxWithValue": (_pair(lambda b, x: b.ArgMaxWithValue(x, 1, True)), X),
    "ArgMinWithValue": (_pair(lambda b, x: b.ArgMinWithValue(x, -1, False)), X),
    "CumProd": (lambda b, x: b.CumProd(x, 1, False, False), X),
}


@pytest.mark.mindspore
@pytest.mark.parametrize("name", CASES)
def test_lifts_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    build, x = CASES[name]
    check(tmp_path, build, x)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceL2", "ReduceLogSumExp"])
def test_a_tensor_without_elements_is_refused(op: str) -> None:
    """MindSpore reads memory that nobody wrote."""
    with pytest.raises(UnsupportedOps, match="without elements"):
        to_target(build(op, sample(f32(2, 0, 4), const([1]))), "mindspore")
