"""Quantisation: rounding and clipping at the edges, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, const, f32, sample
from oracles import ort


def test_values_far_out_of_range_are_clipped_not_wrapped() -> None:
    case = sample(f32(6), const(np.float32(0.5)), const(np.int8(3)))
    model = build("QuantizeLinear", case)
    x = np.asarray([-1e9, -65.0, -0.25, 0.25, 0.75, 1e9], np.float32)
    got = ort.run(to_onnx(to_target(model, "mindspore")), [x])[0]
    np.testing.assert_array_equal(got, ort.run(model, [x])[0])
    assert (got.min(), got.max()) == (-128, 127)


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (sample(f32(2, 4), const(np.ones((2, 2), np.float32)), axis=1, block_size=2), "blocked"),
        (sample(f32(2, 4), const(np.float32(1)), output_dtype=17), "float8"),
    ],
)
def test_blocks_and_other_types_are_refused(case: object, says: str) -> None:
    with pytest.raises(UnsupportedOps, match=says):
        to_target(build("QuantizeLinear", case), "mindspore")  # type: ignore[arg-type]
