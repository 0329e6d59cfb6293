"""MindSpore's normalisations, lifted; training modes are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, f32, sample, weight
from oracles import ort
from oracles.primitive import check, model, numbers

X = numbers(2, 3, 5, 4)


@pytest.mark.mindspore
def test_layer_norm_gives_mean_and_variance_too(tmp_path: Path) -> None:
    def make(b, x):  # type: ignore[no-untyped-def]
        pack = b.LayerNorm(x, b.literal(numbers(5, 4)), b.literal(numbers(5, 4)), 2, 2, 1e-3)
        return [b.item(pack, i) for i in range(3)]

    check(tmp_path, make, X, atol=1e-4)


def test_instance_norm_lifts_to_its_inference_form() -> None:
    gamma, beta = numbers(3), numbers(3, low=0, high=1)

    def make(b, x):  # type: ignore[no-untyped-def]
        return b.item(b.InstanceNorm(x, *map(b.literal, (gamma, beta, beta, gamma)), epsilon=1e-3), 0)

    (got,) = ort.run(to_onnx(model(make, X)), [X])
    mean, var = X.mean((2, 3), keepdims=True), X.var((2, 3), keepdims=True)
    want = (X - mean) / np.sqrt(var + 1e-3) * gamma[:, None, None] + beta[:, None, None]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_rms_norm_lifts_to_arithmetic() -> None:
    gamma = numbers(5, 4)

    def make(b, x):  # type: ignore[no-untyped-def]
        pack = b.RmsNorm(x, b.literal(gamma), 1e-3)
        return [b.item(pack, 0), b.item(pack, 1)]

    y, inverse = ort.run(to_onnx(model(make, X)), [X])
    want = 1 / np.sqrt((X**2).mean((2, 3), keepdims=True) + 1e-3)
    np.testing.assert_allclose(inverse, want, rtol=1e-5)
    np.testing.assert_allclose(y, X * want * gamma, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_in_training_mode_is_refused_both_ways(training: bool) -> None:
    stats = [weight(3) for _ in range(4)]
    onnx = build(
        "BatchNormalization", sample(f32(2, 3, 5, 4), *stats, training_mode=int(training), outputs=3 if training else 1)
    )

    def make(b, x):  # type: ignore[no-untyped-def]
        return b.item(b.BatchNorm(x, *[b.literal(s.array) for s in stats], training), 0)

    if training:
        with pytest.raises(UnsupportedOps, match="training mode"):
            to_target(onnx, "mindspore")
        with pytest.raises(UnsupportedOps, match="training mode"):
            to_onnx(model(make, X))
    else:
        lifted = to_onnx(to_target(onnx, "mindspore"))
        np.testing.assert_allclose(ort.run(lifted, [X])[0], ort.run(onnx, [X])[0], rtol=1e-5, atol=1e-6)
