"""The lists of steps, as wholes: networks with dynamic axes, old opsets, constants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.pipeline import FROM_FOREIGN, TIDY, TO_HUB, for_onnx, to_hub, to_onnx, to_target
from mindport.ops.samples import build, f32, sample
from oracles import ort
from oracles.primitive import numbers


def test_steps_are_functions_with_a_docstring() -> None:
    for step in (*TO_HUB, *TIDY, *FROM_FOREIGN):
        assert step.__doc__, f"{step} says nothing"


def test_the_source_is_left_as_it_is() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 13]>
        g (float[2, 3, 4] x) => (float[2, 12] y) { s = Constant<value = int64[2] {0, -1}>()  y = Reshape(x, s) }""")
    before = ir.to_onnx_text(model)
    for result in (to_hub(model), to_target(model, "mindspore"), to_target(model, "ge"), for_onnx(model)):
        assert result is not model
    assert ir.to_onnx_text(model) == before
    assert to_onnx(model) is model


def test_for_onnx_keeps_the_opset() -> None:
    assert for_onnx(build("Relu", sample(f32(2)), 18)).graph.opset_imports[""] == 18


@pytest.mark.parametrize("domain", ["mindspore", "ge"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_dynamic_batch_goes_both_ways(domain: str, batch: int) -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 17]>
        g (float[N, 3, 8, 7] x, float[4, 3, 3, 2] w, float[4] b, float[5, 4] v) => (float[N, 5] y)
        {
            c = Conv<pads = [1, 0, 1, 1], strides = [2, 1]>(x, w, b)
            r = Relu(c)
            p = MaxPool<kernel_shape = [2, 3], strides = [1, 2]>(r)
            a = GlobalAveragePool(p)
            f = Flatten(a)
            y = Gemm<transB = 1>(f, v)
        }""")
    for value in list(model.graph.inputs)[1:]:
        model.graph.inputs.remove(value)
        value.const_value = ir.Tensor(numbers(*(int(d) for d in value.shape)), name=value.name)  # type: ignore[union-attr]
        model.graph.register_initializer(value)
    x = numbers(batch, 3, 8, 7)
    lifted = to_onnx(to_target(model, domain))
    np.testing.assert_allclose(ort.run(lifted, [x])[0], ort.run(model, [x])[0], rtol=1e-4, atol=1e-5)
