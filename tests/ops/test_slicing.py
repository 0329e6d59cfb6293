"""Cuts and margins: what is refused, and bounds that only a run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, const, f32, feeds, sample
from oracles import ort
from oracles.primitive import check, model, numbers

X = numbers(5, 6)
BOUND = st.integers(-9, 9) | st.sampled_from([np.iinfo(np.int64).min, np.iinfo(np.int64).max])


@given(BOUND, BOUND, st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_every_slice_means_what_numpy_means_or_is_refused(start: int, end: int, step: int) -> None:
    assume(step > 0 or end < 99)  # ONNX Runtime takes the largest number for "to the end" also backwards
    case = sample(f32(5, 6), const([start]), const([end]), const([1]), const([step]))
    onnx_model, x = build("Slice", case), feeds(case)
    want = ort.run(onnx_model, x)[0]
    if want.shape[1] == 0:
        with pytest.raises(UnsupportedOps, match="no elements"):
            to_target(onnx_model, "mindspore")
        return
    got = ort.run(to_onnx(to_target(onnx_model, "mindspore")), list(x.values()))[0]
    np.testing.assert_array_equal(got, want)


@pytest.mark.mindspore
@pytest.mark.parametrize("parts", [(1, 2, 3), (4, 2)])
def test_split_with_size_agrees_with_mindspore(parts: tuple[int, ...], tmp_path: Path) -> None:
    def make(b: Any, x: Any) -> Any:
        pack = b.SplitWithSize(x, parts, 1)
        return [b.item(pack, i) for i in range(len(parts))]

    check(tmp_path, make, X)


def test_bounds_computed_at_run_time_lift_to_a_slice() -> None:
    def make(b: Any, x: Any) -> Any:
        rows = b.scalar(b.Shape(x), 0)
        return b.StridedSlice(x, b.MakeTuple(b.literal(1), b.literal(0)), b.MakeTuple(rows, b.literal(4)), (2, 1))

    graph = model(make, X)
    graph.graph.inputs[0].shape = ir.Shape([None, 6])
    np.testing.assert_array_equal(ort.run(to_onnx(graph), [X])[0], X[1::2, 0:4])


@pytest.mark.parametrize(
    ("op", "case", "says"),
    [
        ("Slice", sample(f32(5, 6), const([3]), const([3]), const([0])), "no elements"),
        ("Slice", sample(f32(5, 6), const([-1]), const([-9]), const([0]), const([-1])), "unknown size"),
        ("Pad", sample(f32(5, 6), const([-1, 0, 0, 0])), "unknown size"),
        ("Split", sample(f32(5, 6), outputs=2, num_outputs=2), "unknown size"),
    ],
)
def test_what_needs_a_known_size_says_so(op: str, case: Any, says: str) -> None:
    onnx_model = build(op, case)
    if says == "unknown size":
        onnx_model.graph.inputs[0].shape = ir.Shape([None, 6])
    with pytest.raises(UnsupportedOps, match=says):
        to_target(onnx_model, "mindspore")
