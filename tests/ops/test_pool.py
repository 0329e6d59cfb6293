"""MindSpore's pools, lifted; ONNX pools that MindSpore cannot express."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, f32, sample
from oracles.primitive import check, model, numbers

X = numbers(2, 3, 9, 8)
V = numbers(1, 2, 5, 6, 7)

CASES: dict[str, tuple[Any, Any]] = {
    "MaxPool same": (lambda b, x: b.MaxPool(x, kernel_size=(1, 1, 3, 2), strides=(1, 1, 2, 3), pad_mode="SAME"), X),
    "AvgPool same": (lambda b, x: b.AvgPool(x, (3, 2), (2, 3), "SAME", "NCHW"), X),
    "AdaptiveAvgPool2D": (lambda b, x: b.AdaptiveAvgPool2D(x, output_size=(4, 3)), X),
    "AdaptiveAvgPool2D to one": (lambda b, x: b.AdaptiveAvgPool2D(x, output_size=(1, 1)), X),
    "MaxPool3D": (
        lambda b, x: b.MaxPool3D(x, kernel_size=(1, 1, 2, 3, 2), strides=(1, 1, 1, 2, 2), pad_mode="VALID"),
        V,
    ),
    "AvgPool3D": (
        lambda b, x: b.AvgPool3D(
            x,
            kernel_size=(1, 1, 2, 3, 2),
            strides=(1, 1, 1, 2, 2),
            pad_mode="PAD",
            pad=(1, 0, 1, 1, 0, 1),
            pad_list=(1, 0, 1, 1, 0, 1),
        ),
        V,
    ),
    "MaxPool3DWithArgmax values": (
        lambda b, x: b.item(
            b.MaxPool3DWithArgmax(x, ksize=(2, 3, 2), strides=(1, 2, 2), pads=(1, 1, 0), dilation=(1, 1, 1)), 0
        ),
        V,
    ),
}


@pytest.mark.mindspore
@pytest.mark.parametrize("name", CASES)
def test_lifts_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    make, x = CASES[name]
    check(tmp_path, make, x)


def test_indices_of_max_pool_are_refused() -> None:
    case = sample(f32(1, 2, 5, 4), kernel_shape=[2, 3], outputs=2)
    with pytest.raises(UnsupportedOps, match="indices"):
        to_target(build("MaxPool", case), "mindspore")


def test_a_fixed_divisor_is_refused() -> None:
    attrs = {"kernel_size": (1, 1, 2, 2, 2), "strides": (1, 1, 1, 1, 1), "pad_mode": "VALID", "divisor_override": 3}
    with pytest.raises(UnsupportedOps, match="fixed divisor"):
        to_onnx(model(lambda b, x: b.AvgPool3D(x, **attrs), V))
