"""MindSpore's own activations, lifted."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracles.primitive import check, numbers

X = numbers(2, 3, 4, low=-4, high=7)


@pytest.mark.mindspore
@pytest.mark.parametrize(
    "build",
    [
        lambda b, x: b.SiLU(x),
        lambda b, x: b.ReLU6(x),
        lambda b, x: b.HShrink(x, 0.75),
        lambda b, x: b.SoftShrink(x, 0.75),
        lambda b, x: b.PReLU(x, b.const([0.1, -0.5, 2.0], "float32")),
        lambda b, x: b.Elu(x, 1.0),
        lambda b, x: b.HSigmoid(x),
        lambda b, x: b.SeLU(x),
        lambda b, x: b.CeLU(x, 0.7),
        lambda b, x: b.LogSoftmax(x, 1),
    ],
    ids=["SiLU", "ReLU6", "HShrink", "SoftShrink", "PReLU", "Elu", "HSigmoid", "SeLU", "CeLU", "LogSoftmax"],
)
def test_lifts_agree_with_mindspore(build: object, tmp_path: Path) -> None:
    check(tmp_path, build, X)  # type: ignore[arg-type]
