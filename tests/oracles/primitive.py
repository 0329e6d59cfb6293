"""One MindSpore primitive, run in real MindSpore and, lifted to ONNX, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.conversion.pipeline import to_onnx
from mindport.dialects.emit_mindspore import MindSporeEmit
from mindport.dialects.literals import MINDSPORE
from mindport.dtypes import by_numpy
from mindport.formats import mindir
from oracles import mindspore, ort


def model(build: Callable[..., Any], *inputs: np.ndarray) -> ir.Model:
    """Returns the MindIR graph of `build(b, *values)`, whose result is one value or several."""
    b = MindSporeEmit()
    values = []
    for i, array in enumerate(inputs):
        dtype = ir.DataType(by_numpy(array.dtype).onnx)
        value = ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=ir.TensorType(dtype))
        value.meta["kind"] = "tensor"
        values.append(value)
    result = build(b, *values)
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    graph = ir.Graph(
        values, outputs, nodes=b.nodes, initializers=b.parameters, name="main", opset_imports={MINDSPORE: 1}
    )
    return ir.Model(graph, ir_version=10)


def check(folder: Path, build: Callable[..., Any], *inputs: np.ndarray, atol: float | None = None) -> None:
    """Asserts that MindSpore and the lifted graph give the same for `inputs`."""
    made = model(build, *inputs)
    path = folder / "primitive.mindir"
    path.write_bytes(b"".join(mindir.write(made)))
    expected = mindspore.run(path, inputs)
    actual = ort.run(to_onnx(mindir.read(path)), inputs)
    assert [a.shape for a in actual] == [e.shape for e in expected]
    for e, a in zip(expected, actual, strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=atol or 1e-5)


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, dtype: Any = np.float32) -> np.ndarray:
    """Returns the same random array in every run."""
    rng = np.random.default_rng(len(shape) + sum(shape))
    if np.issubdtype(dtype, np.integer):
        return rng.integers(int(low), int(high) + 1, shape).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)
