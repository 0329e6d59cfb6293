"""Samples are reproducible and say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from mindport.ops.samples import b8, build, const, f16, f32, feeds, i64, sample, u8, weight


def test_content_is_the_same_in_every_run_and_differs_by_shape() -> None:
    np.testing.assert_array_equal(weight(2, 3).array, weight(2, 3).array)
    assert not np.array_equal(weight(4).array, weight(4, low=0).array)
    case = sample(f32(2, 3), i64(4, low=1, high=3))
    assert all(np.array_equal(a, b) for a, b in zip(feeds(case).values(), feeds(case).values(), strict=True))


@pytest.mark.parametrize(
    ("spec", "dtype"), [(f16(2, 3), np.float16), (b8(2, 3), np.bool_), (u8(2, 3), np.uint8), (i64(2, 3), np.int64)]
)
def test_feeds_have_the_type_and_range_of_their_description(spec: object, dtype: type) -> None:
    value = feeds(sample(spec))["x0"]  # type: ignore[arg-type]
    assert value.dtype == dtype
    assert value.shape == (2, 3)
    assert value.min() >= (-2 if dtype in (np.float16, np.int64) else 0)


def test_models_hold_inputs_constants_absent_inputs_and_outputs() -> None:
    model = build("Clip", sample(f32(2, 3), None, const(np.float32(1))))
    (node,) = model.graph
    assert [v.name for v in model.graph.inputs] == ["x0"]
    assert list(model.graph.initializers) == ["c2"]
    assert node.inputs[1] is None
    assert model.graph.outputs[0].shape == [2, 3]


def test_labels_tell_samples_apart() -> None:
    assert sample(f32(2, 3), None, weight(3), axis=1).label() == "float32 2x3·-·3 axis=1"
    assert sample(const(1)).label() == "0d"
