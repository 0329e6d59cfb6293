"""Windows against brute force: padding, ceil_mode and counts of every small geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindport.errors import Unsupported
from mindport.ops.geometry import Window, window
from mindport.ops.samples import build, f32, feeds, sample
from mindport.ops.view import View
from oracles import ort


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, object]:
    size = draw(st.integers(4, 9))
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = draw(st.tuples(st.integers(0, kernel - 1), st.integers(0, kernel - 1)))
    return {
        "size": size,
        "kernel_shape": [kernel],
        "strides": [stride],
        "pads": list(pads),
        "ceil_mode": draw(st.integers(0, 1)),
        "count_include_pad": draw(st.integers(0, 1)),
    }


@given(geometries())
def test_counts_are_what_onnx_runtime_averages_over(geometry: dict[str, object]) -> None:
    size = geometry.pop("size")
    case = sample(f32(1, 1, size, low=1, high=2), **geometry)  # type: ignore[arg-type]
    model = build("AveragePool", case)
    (node,) = model.graph
    win = window(View(node, lambda v: v, 21), tuple(geometry["kernel_shape"]))  # type: ignore[arg-type]
    ones = {"x0": np.ones_like(feeds(case)["x0"])}
    average = ort.run(model, ones)[0][0, 0]
    counts = win.counts(bool(geometry["count_include_pad"]))
    assert counts.shape == average.shape
    padded = np.pad(ones["x0"][0, 0], (win.begins[0], win.ends[0] + win.extra[0]))
    sums = [padded[s : s + win.kernel[0]].sum() for s in range(0, len(padded) - win.kernel[0] + 1, win.strides[0])]
    np.testing.assert_allclose(np.asarray(sums[: len(counts)]) / counts, average, rtol=1e-6)


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad_is_resolved(auto: str) -> None:
    case = sample(f32(1, 1, 9, 7), kernel_shape=[2, 4], strides=[2, 3], auto_pad=auto)
    (node,) = build("MaxPool", case).graph
    win = window(View(node, lambda v: v, 21), (2, 4))
    want = {"SAME_UPPER": [0, 1, 1, 2], "SAME_LOWER": [1, 0, 2, 1], "VALID": [0, 0, 0, 0]}[auto]
    assert win.pairs() == want
    assert win.pairs_from_last() == (*want[2:], *want[:2])
    assert win.padded is (auto != "VALID")


def test_an_unknown_size_is_named() -> None:
    import onnx_ir as ir

    case = sample(f32(1, 1, 9, 7), kernel_shape=[2, 4], strides=[2, 3], auto_pad="SAME_UPPER")
    (node,) = build("MaxPool", case).graph
    node.inputs[0].shape = ir.Shape([1, 1, None, 7])
    with pytest.raises(Unsupported, match="height and width"):
        window(View(node, lambda v: v, 21), (2, 4))
    with pytest.raises(Unsupported, match="height and width"):
        Window((2,), (1,), (1,), (1,), (0,), (0,), (None,)).counts(False)
