"""MindSpore's picking and placing primitives, lifted; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, const, f32, sample
from oracles.primitive import check, model, numbers

X = numbers(5, 3)


def _top_k(b: Any, x: Any) -> Any:
    pack = b.TopK(x, 2, sorted=True)
    return [b.item(pack, 0), b.item(pack, 1)]


CASES: dict[str, tuple[Any, ...]] = {
    "ScatterNd sums": (
        lambda b, u: b.ScatterNd(b.literal(np.asarray([[1], [1], [0]])), u, (4, 3)),
        numbers(3, 3),
    ),
    "ReverseV2": (lambda b, x: b.ReverseV2(x, (0, 1)), X),
    "TopK indices are int32": (_top_k, X),
    "OneHot": (
        lambda b, x: b.OneHot(b.literal(np.asarray([0, 2, 1])), 4, b.const(2, np.float32), b.const(-1, np.float32), 0),
        X,
    ),
    "TensorScatterMin": (lambda b, x, u: b.TensorScatterMin(x, b.literal(np.asarray([[4], [1]])), u), X, numbers(2, 3)),
}


@pytest.mark.mindspore
@pytest.mark.parametrize("name", CASES)
def test_lifts_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    make, *inputs = CASES[name]
    check(tmp_path, make, *inputs)


def test_gather_with_batch_dims_is_refused() -> None:
    with pytest.raises(UnsupportedOps, match="batch dimensions"):
        to_onnx(model(lambda b, x: b.Gather(x, b.literal(np.zeros((5, 1), np.int64)), 1, 1), X))


def test_a_scatter_that_mindspore_lacks_is_refused() -> None:
    case = sample(f32(3, 4), const([[0, 2, 1, 0]]), f32(1, 4), axis=0, reduction="max")
    with pytest.raises(UnsupportedOps, match="reduction max"):
        to_target(build("ScatterElements", case), "mindspore")
