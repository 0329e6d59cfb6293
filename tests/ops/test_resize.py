"""MindSpore's resizing primitives, lifted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, f32, sample
from oracles.primitive import check, model, numbers

X = numbers(1, 2, 5, 4)

CASES: dict[str, tuple[Any, Any]] = {
    f"{op} {flags}": (lambda b, x, op=op, flags=flags: b.call(op, x, (9, 7), *flags), X)
    for op in ("ResizeBilinearV2", "ResizeNearestNeighborV2")
    for flags in ((False, False), (True, False), (False, True))
}
CASES["ResizeLinear1D half pixel"] = (lambda b, x: b.ResizeLinear1D(x, (9,), 2), numbers(1, 2, 5))
CASES["UpsampleTrilinear3D"] = (lambda b, x: b.UpsampleTrilinear3D(x, (5, 4, 7), None, True), numbers(1, 2, 3, 2, 4))
CASES["UpsampleNearest2D"] = (lambda b, x: b.UpsampleNearest2D(x, (9, 7), None), X)


@pytest.mark.mindspore
@pytest.mark.parametrize("name", CASES)
def test_lifts_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    make, x = CASES[name]
    check(tmp_path, make, x)


@pytest.mark.mindspore
def test_bicubic_agrees_as_far_as_mindspore_computes_it(tmp_path: Path) -> None:
    """MindSpore takes its weights from a table of 1024 steps, hence the wide tolerance."""
    check(tmp_path, lambda b, x: b.ResizeBicubic(x, (9, 7), False, True), X, atol=5e-3)


def test_nearest_grid_sampling_is_refused() -> None:
    case = sample(f32(1, 2, 5, 4), f32(1, 3, 2, 2), mode="nearest")
    with pytest.raises(UnsupportedOps, match="bilinear only"):
        to_target(build("GridSample", case), "mindspore")


def test_an_unknown_coordinate_mode_is_refused() -> None:
    with pytest.raises(UnsupportedOps, match="number 7"):
        to_onnx(model(lambda b, x: b.ResizeLinear1D(x, (9,), 7), numbers(1, 2, 5)))
