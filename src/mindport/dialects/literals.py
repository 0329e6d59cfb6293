"""Values that are no tensors, kept apart in an `onnx_ir` graph of a foreign dialect.

ONNX has tensors only. MindSpore and GE also have scalars, tuples, None and element types, and mix none of them up.
A literal is one of these Python values::

    None  bool  int  float  str  bytes  tuple  list  DType  Num  Monad  FunctionRef  onnx_ir tensor

`True`, `1` and `1.0` are three different literals. A literal rides in an attribute of type UNDEFINED, which `onnx_ir`
clones and prints but refuses to serialize as ONNX, so that a foreign graph cannot leak into an ONNX file.
A literal that is an *input* of a node is made by a `Constant` node (domain of the dialect, attribute ``value``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from mindport.dtypes import DType

__all__ = [
    "GE",
    "MINDSPORE",
    "FunctionRef",
    "Literal",
    "Monad",
    "Num",
    "attribute",
    "attributes",
    "constant_node",
    "dims_of",
    "has_literal",
    "identity",
    "literal_of",
    "tensor",
]

MINDSPORE = "mindspore"
GE = "ge"


@dataclass(frozen=True)
class Num:
    """A scalar of a width that Python's own `int` (int64) and `float` (float32 in MindIR) do not say.

    Attributes:
        kind: name of the width, spelled as the format spells it, e.g. ``"INT32"`` or ``"DOUBLE"``.
    """

    value: int | float | complex
    kind: str


@dataclass(frozen=True)
class Monad:
    """A token that orders side effects: ``"UMONAD"`` (state) or ``"IOMONAD"`` (input and output)."""

    kind: str


@dataclass(frozen=True)
class FunctionRef:
    """A function graph of the same model, used as a value."""

    name: str


Literal: TypeAlias = (
    "bool | int | float | str | bytes | tuple[Any, ...] | list[Any] | DType | Num | Monad | FunctionRef"
    " | ir.TensorProtocol | None"
)


def attribute(name: str, value: Any) -> ir.Attr:
    """Returns an attribute that holds the literal `value`; a NumPy array becomes a tensor."""
    if isinstance(value, np.ndarray):
        value = tensor(value)
    return ir.Attr(name, ir.AttributeType.UNDEFINED, value)


def attributes(node: ir.Node) -> dict[str, Any]:
    """Returns the node's literals by attribute name, in order."""
    return {name: attr.value for name, attr in node.attributes.items()}


def tensor(array: np.ndarray[Any, Any], name: str | None = None) -> ir.Tensor[Any]:
    """Returns `array` (C order, not copied) as an `onnx_ir` tensor."""
    return ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)


def dims_of(value: ir.TensorProtocol) -> tuple[int, ...]:
    """Returns a tensor's dimensions as plain numbers."""
    return tuple(int(d) for d in value.shape.numpy())


def constant_node(domain: str, value: Any, *, name: str | None = None) -> ir.Node:
    """Returns a `Constant` node of `domain` whose one output is the literal `value`.

    The output has a type and a shape if the literal is a tensor, and neither otherwise.
    """
    attr = attribute("value", value)
    node = ir.Node(domain, "Constant", [], [attr], num_outputs=1, name=name)
    out = node.outputs[0]
    out.name = name
    if isinstance(attr.value, ir.TensorProtocol):
        out.type = ir.TensorType(attr.value.dtype)
        out.shape = ir.Shape(dims_of(attr.value))
    return node


def has_literal(value: ir.Value | None) -> bool:
    """True if `value` is made by a foreign `Constant` node."""
    producer = None if value is None else value.producer()
    return producer is not None and producer.op_type == "Constant" and producer.domain in (MINDSPORE, GE)


def literal_of(value: ir.Value) -> Any:
    """Returns the literal behind `value`. Call only when `has_literal(value)`."""
    producer = value.producer()
    assert producer is not None
    return producer.attributes["value"].value


def identity(value: Any) -> Hashable:
    """Returns a key that is equal for equal literals and differs for literals of different kinds."""
    if isinstance(value, (tuple, list)):
        return type(value).__name__, tuple(identity(v) for v in value)
    if isinstance(value, np.ndarray):
        value = tensor(value)
    if isinstance(value, ir.TensorProtocol):
        return "tensor", int(value.dtype), dims_of(value), value.tobytes()
    if isinstance(value, float):
        return "float", np.float64(value).tobytes()  # -0.0 differs from 0.0, NaN equals itself
    if isinstance(value, Mapping):  # pragma: no cover - no format has such a literal
        raise TypeError("a mapping is no literal")
    return type(value).__name__, value
