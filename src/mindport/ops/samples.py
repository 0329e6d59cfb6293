"""Small models of one operator, described by their inputs and attributes, with reproducible random content.

    sample(f32(2, 3), const([1], np.int64), axis=1)

`f32`, `f16`, `i64`, … are graph inputs; `const` and `weight` are constants inside the model; None is an absent optional
input. Samples are asymmetric on purpose (height ≠ width, unequal pads and strides): symmetric ones hide swapped axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import onnx_ir as ir

from mindport.dialects.emit_onnx import HUB_OPSET, infer
from mindport.dtypes import DType, by_numpy, named

__all__ = ["Const", "Feed", "Sample", "build", "const", "feeds", "sample", "weight"]


@dataclass(frozen=True)
class Feed:
    """A graph input: random content, uniform in [low, high)."""

    dtype: DType
    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0


@dataclass(frozen=True, eq=False)
class Const:
    """A constant inside the model: given content, or random when only a shape is given."""

    array: np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Sample:
    """One model of one operator.

    Attributes:
        outputs: how many of the operator's outputs the model returns.
        targets: which targets it is tried on (``MINDIR``, ``AIR``).
        rtol, atol: how close two correct answers have to be; None: by element type.
    """

    inputs: tuple[Feed | Const | None, ...]
    attrs: Mapping[str, Any]
    outputs: int = 1
    targets: tuple[str, ...] = ("MINDIR", "AIR")
    rtol: float | None = None
    atol: float | None = None

    def label(self) -> str:
        """Returns a short text that tells samples of one card apart."""
        parts = [
            "-" if i is None else "x".join(map(str, i.shape if isinstance(i, Feed) else i.array.shape)) or "0d"
            for i in self.inputs
        ]
        kind = next((i.dtype.name for i in self.inputs if isinstance(i, Feed)), "")
        attrs = ",".join(f"{k}={v}" for k, v in self.attrs.items())
        return " ".join(filter(None, (kind, "·".join(parts), attrs))).replace("/", "_")


def sample(
    *inputs: Feed | Const | None,
    outputs: int = 1,
    targets: tuple[str, ...] = ("MINDIR", "AIR"),
    rtol: float | None = None,
    atol: float | None = None,
    **attrs: Any,
) -> Sample:
    """Returns a sample; keywords that are not listed are attributes of the operator."""
    return Sample(inputs, attrs, outputs, targets, rtol, atol)


def _feed(name: str) -> Callable[..., Feed]:
    dtype = named(name)
    default_low = {"bool": 0.0}.get(name, 0.0 if name.startswith("u") else -2.0)

    def make(*shape: int, low: float = default_low, high: float = 2.0) -> Feed:
        return Feed(dtype, shape, low, high)

    make.__name__ = name
    return make


f16, f32, f64 = _feed("float16"), _feed("float32"), _feed("float64")
i8, i16, i32, i64 = _feed("int8"), _feed("int16"), _feed("int32"), _feed("int64")
u8, b8 = _feed("uint8"), _feed("bool")


def const(value: Any, dtype: Any = None) -> Const:
    """Returns a constant with this content."""
    return Const(np.asarray(value, dtype=dtype))


def weight(*shape: int, low: float = -1.0, high: float = 1.0, dtype: Any = np.float32) -> Const:
    """Returns a constant with random content, uniform in [low, high), the same in every run."""
    rng = np.random.default_rng(crc32(repr((shape, low, high)).encode()))
    return Const(rng.uniform(low, high, shape).astype(dtype))


def feeds(case: Sample, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Returns random content for the graph inputs ``x0``, ``x1``, … of `build(op, case)`."""
    rng = np.random.default_rng(seed)
    out: dict[str, np.ndarray[Any, Any]] = {}
    for i, spec in enumerate(case.inputs):
        if isinstance(spec, Feed):
            if spec.dtype.name == "bool":
                out[f"x{i}"] = rng.uniform(0, 1, spec.shape) < 0.5
            elif np.issubdtype(spec.dtype.numpy, np.integer):
                out[f"x{i}"] = rng.integers(int(spec.low), int(spec.high), spec.shape).astype(spec.dtype.numpy)
            else:
                out[f"x{i}"] = np.asarray(rng.uniform(spec.low, spec.high, spec.shape)).astype(spec.dtype.numpy)
    return out


def build(op: str, case: Sample, opset: int = HUB_OPSET) -> ir.Model:
    """Returns the ONNX model of one sample: inputs ``xI``, constants ``cI``, outputs ``y0``, ``y1`` and so on."""
    inputs: list[ir.Value] = []
    constants: list[ir.Value] = []
    values: list[ir.Value | None] = []
    for i, spec in enumerate(case.inputs):
        if spec is None:
            values.append(None)
            continue
        if isinstance(spec, Feed):
            dtype, shape, name, into = spec.dtype, spec.shape, f"x{i}", inputs
        else:
            dtype, shape, name, into = by_numpy(spec.array.dtype), spec.array.shape, f"c{i}", constants
        assert dtype.onnx is not None
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType(dtype.onnx)))
        if isinstance(spec, Const):
            value.const_value = ir.Tensor(spec.array, name=name)
        into.append(value)
        values.append(value)
    node = ir.node(op, values, dict(case.attrs), num_outputs=case.outputs, name=op)
    for i, out in enumerate(node.outputs):
        out.name = f"y{i}"
    infer(node, opset)
    graph = ir.Graph(
        inputs, node.outputs, nodes=[node], initializers=constants, opset_imports={"": opset}, name=f"sample_{op}"
    )
    return ir.Model(graph, ir_version=10, producer_name="mindport")
