"""ONNX Runtime, fed with onnx_ir's own serialization (not with ours)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime

from mindport.ops.samples import Sample


def run(model: ir.Model | bytes | Path, feeds: Mapping[str, np.ndarray] | Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns all outputs of the model."""
    if isinstance(model, ir.Model):
        model = ir.to_proto(model).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(model) if isinstance(model, Path) else model, options, providers=["CPUExecutionProvider"]
    )
    if not isinstance(feeds, Mapping):
        feeds = {i.name: value for i, value in zip(session.get_inputs(), feeds, strict=True)}
    return session.run(None, dict(feeds))


def agree(case: Sample | None, expected: Sequence[np.ndarray], actual: Sequence[np.ndarray], who: str) -> None:
    """Asserts equal numbers, shapes and types within rounding."""
    assert len(expected) == len(actual), f"{who}: {len(actual)} outputs instead of {len(expected)}"
    for e, a in zip(expected, actual, strict=True):
        assert (e.shape, e.dtype) == (a.shape, a.dtype), who
        half = e.dtype == np.float16
        rtol = (5e-3 if half else 1e-4) if case is None or case.rtol is None else case.rtol
        atol = (2e-3 if half else 1e-5) if case is None or case.atol is None else case.atol
        if e.dtype == bool or np.issubdtype(e.dtype, np.integer):
            np.testing.assert_array_equal(a, e, err_msg=who)
        else:
            np.testing.assert_allclose(a.astype(np.float64), e.astype(np.float64), rtol, atol, err_msg=who)
