"""Resize tables against ONNX Runtime, over all modes."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx_ir as ir
import pytest

from mindport.errors import Unsupported
from mindport.ops.interpolate import AxisResize, plan
from mindport.ops.samples import build, const, f32, feeds, sample
from mindport.ops.view import View
from oracles import ort

WHERE = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric"]
ROUND = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]


@pytest.mark.parametrize(("where", "rounding", "out"), list(product(WHERE, ROUND, [3, 11])))
def test_nearest_picks_what_onnx_runtime_picks(where: str, rounding: str, out: int) -> None:
    case = sample(
        f32(1, 1, 7), None, None, const([1, 1, out]), coordinate_transformation_mode=where, nearest_mode=rounding
    )
    x = feeds(case)
    row = AxisResize(2, 7, out, out / 7)
    np.testing.assert_array_equal(
        ort.run(build("Resize", case), x)[0][0, 0], x["x0"][0, 0][row.indices(where, rounding)]
    )


@pytest.mark.parametrize(
    ("where", "mode", "out", "extra"),
    [(w, m, o, {}) for w, m, o in product(WHERE, ["linear", "cubic"], [3, 11])]
    + [("half_pixel", m, o, {"antialias": 1}) for m, o in product(["linear", "cubic"], [3, 4])]
    + [("half_pixel", "cubic", 11, {"exclude_outside": 1, "cubic_coeff_a": -0.5})],
)
def test_matrices_give_what_onnx_runtime_gives(where: str, mode: str, out: int, extra: dict[str, object]) -> None:
    # four axes: with antialias ONNX Runtime resizes two spatial ones only
    sizes = const([1, 1, 4, out])
    case = sample(f32(1, 1, 4, 7), None, None, sizes, mode=mode, coordinate_transformation_mode=where, **extra)  # type: ignore[arg-type]
    model, x = build("Resize", case), feeds(case)
    (node,) = model.graph
    view = View(node, lambda v: v, 21)
    (row,) = plan(view)
    assert (row.axis, row.size, row.out) == (3, 7, out)
    np.testing.assert_allclose(ort.run(model, x)[0][0, 0], x["x0"][0, 0] @ row.matrix(view).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("policy", "out"), [("not_larger", [6, 4]), ("not_smaller", [12, 8])])
def test_aspect_ratio_policies(policy: str, out: list[int]) -> None:
    case = sample(f32(1, 1, 3, 2), None, None, const([12, 4]), axes=[2, 3], keep_aspect_ratio_policy=policy)
    (node,) = build("Resize", case).graph
    assert [r.out for r in plan(View(node, lambda v: v, 21))] == out


def test_what_is_unknown_or_foreign_is_unsupported() -> None:
    case = sample(f32(1, 1, 3, 2), None, const(np.float32([1, 1, 2, 1])))
    (node,) = build("Resize", case).graph
    node.inputs[0].shape = ir.Shape([1, 1, None, 2])
    with pytest.raises(Unsupported, match="axis 2"):
        plan(View(node, lambda v: v, 21))
    with pytest.raises(Unsupported, match="elsewhere"):
        AxisResize(0, 2, 4, 2.0).coordinates("elsewhere")


@pytest.mark.parametrize("where", ["half_pixel", "align_corners", "asymmetric"])
def test_a_scale_that_gives_no_whole_size_counts_as_it_is_written(where: str) -> None:
    """The reference is onnx's own: the rounded size is the output's, the scale stays 0.6."""
    from onnx.reference import ReferenceEvaluator

    scales = const(np.asarray([1, 1, 1, 0.6], np.float32))
    case = sample(f32(1, 1, 2, 4), None, scales, mode="linear", coordinate_transformation_mode=where)
    model, x = build("Resize", case), feeds(case)
    (node,) = model.graph
    view = View(node, lambda v: v, 21)
    (row,) = plan(view)
    (want,) = ReferenceEvaluator(ir.to_proto(model)).run(None, x)
    np.testing.assert_allclose(x["x0"][0, 0] @ row.matrix(view).T, want[0, 0], rtol=1e-4, atol=1e-5)
