"""MindSpore's convolutions with its own ways of padding, lifted; what cannot be expressed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.formats import mindir
from mindport.ops.samples import build, f32, sample, weight
from oracles import mindspore, ort
from oracles.primitive import check, model, numbers

X, W = numbers(2, 3, 9, 8), numbers(4, 3, 3, 2)


def _conv(pad_mode: str, pad: Any = (0, 0, 0, 0), **extra: Any) -> Any:
    attrs = {"out_channel": 4, "kernel_size": (3, 2), "stride": (1, 1, 2, 1), "dilation": (1, 1, 1, 1), "group": 1}
    return lambda b, x: b.Conv2D(x, b.literal(W), pad_mode=pad_mode, pad=pad, **{**attrs, **extra})


@pytest.mark.mindspore
@pytest.mark.parametrize(
    "build",
    [_conv("same"), _conv("valid"), _conv("pad", (1, 0, 2, 1)), _conv("pad", (1, 0, 2, 1), dilation=(1, 1, 2, 1))],
)
def test_pad_modes_agree_with_mindspore(build: Any, tmp_path: Path) -> None:
    check(tmp_path, build, X)


@pytest.mark.mindspore
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 5, 4)])
def test_bias_add_agrees_with_mindspore(shape: tuple[int, ...], tmp_path: Path) -> None:
    check(tmp_path, lambda b, x: b.BiasAdd(x, b.literal(numbers(3)), "NCHW"), numbers(*shape))


@pytest.mark.mindspore
def test_im2col_agrees_with_mindspore(tmp_path: Path) -> None:
    attrs = {"ksizes": (2, 3), "strides": (2, 1), "dilations": (1, 2), "pads": (1, 0), "padding_mode": "CALCULATED"}
    check(tmp_path, lambda b, x: b.Im2Col(x, **attrs), numbers(2, 3, 6, 9))


def test_channels_last_is_refused_with_its_place() -> None:
    with pytest.raises(UnsupportedOps, match="channels-last") as caught:
        to_onnx(model(_conv("valid", format="NHWC"), X))
    assert caught.value.ops[0].nodes == ("Conv2D",)


def test_an_attribute_that_inference_needs_cannot_be_forgotten() -> None:
    from mindport.errors import UsageError

    with pytest.raises(UsageError, match="out_channel"):
        model(lambda b, x: b.Conv2D(x, np.zeros((1, 3, 1, 1), np.float32), kernel_size=(1, 1)), X)


@pytest.mark.mindspore
@pytest.mark.parametrize("batch", [1, 3])
def test_a_transposed_convolution_with_a_dynamic_batch(batch: int, tmp_path: Path) -> None:
    case = sample(f32(2, 3, 5, 4), weight(3, 4, 3, 2), strides=[2, 3], pads=[1, 0, 0, 1])
    graph = build("ConvTranspose", case)
    for value in (graph.graph.inputs[0], graph.graph.outputs[0]):
        value.shape = ir.Shape([None, *list(value.shape)[1:]])
    path = tmp_path / "dynamic.mindir"
    path.write_bytes(b"".join(mindir.write(to_target(graph, "mindspore"))))
    x = numbers(batch, 3, 5, 4)
    want = ort.run(graph, [x])
    ort.agree(None, want, mindspore.run(path, [x]), "MindSpore")
    ort.agree(None, want, ort.run(to_onnx(mindir.read(path)), [x]), "lifted")
