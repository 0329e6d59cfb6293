"""MindSpore's products, lifted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oracles.primitive import check, numbers

CASES: dict[str, tuple[Any, ...]] = {
    "MatMul transposed left": (lambda b, x, y: b.MatMul(x, y, True, False), numbers(3, 2), numbers(3, 5)),
    "MatMul transposed right": (lambda b, x, y: b.MatMul(x, y, False, True), numbers(2, 3), numbers(5, 3)),
    "BatchMatMul transposed right": (
        lambda b, x, y: b.BatchMatMul(x, y, False, True),
        numbers(4, 2, 3),
        numbers(4, 5, 3),
    ),
    "BatchMatMul transposed left": (
        lambda b, x, y: b.BatchMatMul(x, y, True, False),
        numbers(4, 3, 2),
        numbers(4, 3, 5),
    ),
    "MatMulExt vector": (lambda b, x, y: b.MatMulExt(x, y), numbers(3), numbers(4, 3, 5)),
    "Cdist 2": (lambda b, x, y: b.Cdist(x, y, 2.0), numbers(2, 4, 3), numbers(2, 5, 3)),
    "Cdist 1": (lambda b, x, y: b.Cdist(x, y, 1.0), numbers(2, 4, 3), numbers(2, 5, 3)),
    "Cdist 3": (lambda b, x, y: b.Cdist(x, y, 3.0), numbers(2, 4, 3), numbers(2, 5, 3)),
}


@pytest.mark.mindspore
@pytest.mark.parametrize("name", CASES)
def test_lifts_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    build, *inputs = CASES[name]
    check(tmp_path, build, *inputs)
