"""What the AIR side of the cards shares. AIR bindings and lifts stand in the `air_*` files, one for each family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.literals import GE
from mindport.dtypes import DType
from mindport.errors import Unsupported
from mindport.ops.card import air, lifts

__all__ = ["int32", "int64", "is_float", "kept", "only", "plain", "same", "scalar", "typed"]


def typed(value: ir.Value, dtype: DType, dims: Iterable[int | None]) -> ir.Value:
    """Declares element type and shape of a value inside a rule: every AIR descriptor has to name both."""
    assert dtype.onnx is not None
    value.type = ir.TensorType(ir.DataType(dtype.onnx))
    value.shape = ir.Shape(tuple(dims))
    return value


def same(value: ir.Value, n: Any, i: int = 0) -> ir.Value:
    """Declares that a value inside a rule looks like input `i` of the ONNX node."""
    return typed(value, n.dtype(i), n.dims(i))


def kept(b: Any, n: Any) -> Any:
    """Returns the first input itself, through an `Identity` where a graph output needs an operator of its own."""
    return b.Identity(n.x[0]) if n.node.outputs[0].is_graph_output() else n.x[0]


def int32(values: Sequence[int]) -> np.ndarray[Any, Any]:
    """Returns a constant input as GE's converters write axes and sizes."""
    return np.asarray(values, np.int32)


def int64(values: Sequence[int]) -> np.ndarray[Any, Any]:
    """Returns a constant input as GE's converters write shapes and bounds."""
    return np.asarray(values, np.int64)


def scalar(value: float, dtype: DType) -> np.ndarray[Any, Any]:
    """Returns a 0-d constant input."""
    return np.asarray(value, dtype.numpy)


def is_float(dtype: DType) -> bool:
    """True for floating-point element types, bfloat16 included."""
    return dtype.name.startswith(("float", "bfloat"))


def only(n: Any, **wanted: Any) -> None:
    """Checks attributes of a GE node that the ONNX operator has no counterpart for.

    Raises:
        Unsupported: one of them has another value than the one that ONNX's operator stands for.
    """
    for name, value in wanted.items():
        found = n.attr(name, None)
        found = tuple(found) if isinstance(found, list) else found
        if found is not None and found != value and not _close(found, value):
            raise Unsupported(f"{n.op} with {name}={found!r} has no counterpart in ONNX")


def _close(a: Any, b: Any) -> bool:
    return isinstance(a, float) and isinstance(b, (int, float)) and bool(np.isclose(a, b, rtol=1e-6, atol=0))


def plain(onnx_op: str, ge_op: str, **attrs: Any) -> None:
    """Registers an operator that differs in name only; `attrs` are GE attributes with the value ONNX implies."""

    def lower(b: Any, n: Any) -> Any:
        return b.call(ge_op, *n.x, **attrs)

    def lift(o: Any, n: Any) -> Any:
        only(n, **attrs)
        return o.call(onnx_op, *n.x)

    lower.__name__, lift.__name__ = f"lower_{onnx_op}_air", f"lift_{ge_op}_air"
    air(onnx_op)(lower)
    lifts(GE, ge_op)(lift)
