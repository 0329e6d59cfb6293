"""What a rule sees of the node it converts: read-only, with the converted inputs at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from mindport.dialects.emit_onnx import schema_of
from mindport.dialects.table import MISSING
from mindport.dtypes import DType, by_onnx
from mindport.errors import Unsupported

__all__ = ["Inputs", "View", "path_of"]


def path_of(node: ir.Node) -> str:
    """Returns where the node stands: module path of the source network when known, node name, source line."""
    props = node.metadata_props
    scopes = props.get("pkg.torch.onnx.name_scopes", "")
    module = ""
    if scopes.startswith("["):
        parts = [p.strip().strip("'\"") for p in scopes.strip("[]").split(",")]
        module = next((p for p in reversed(parts[:-1]) if p), "")
    name = node.name or (node.outputs[0].name if node.outputs else "") or node.op_type
    where = f"{module}/{name}" if module else str(name)
    line = _source_line(props.get("pkg.torch.onnx.stack_trace", ""))
    return f"{where} ({line})" if line else where


def _source_line(trace: str) -> str:
    """Returns ``file.py:12`` of the last frame of a stack trace, or nothing."""
    for row in map(str.strip, reversed(trace.splitlines())):
        if row.startswith("File "):
            parts = row.split('"')
            number = row.partition("line ")[2].partition(",")[0]
            if len(parts) > 1 and number:
                return f"{parts[1].rpartition('/')[2]}:{number}"
    return ""


class Inputs(Sequence[Any]):
    """The node's inputs as values of the graph being built; each is made when first asked for. Absent ones are None."""

    def __init__(self, values: Sequence[ir.Value | None], resolve: Callable[[ir.Value], Any]) -> None:
        self._values = values
        self._resolve = resolve

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        value = self._values[index]
        return None if value is None else self._resolve(value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


class View:
    """An ONNX node with all its attributes and what is known of its inputs and outputs.

    Attributes:
        x: inputs, as values of the target graph (None where absent).
        path: where the node stands, for messages.
    """

    def __init__(self, node: ir.Node, resolve: Callable[[ir.Value], Any], opset: int) -> None:
        self.node = node
        self.op = node.op_type
        self.x = Inputs(node.inputs, resolve)
        self._opset = opset

    @property
    def path(self) -> str:
        """Where the node stands, for messages."""
        return path_of(self.node)

    @cached_property
    def _schema(self) -> onnx.defs.OpSchema | None:
        return schema_of(self.op, self._opset, self.node.domain)

    def attr(self, name: str, default: Any = MISSING) -> Any:
        """Returns an attribute's value; an absent one's `default`, else its default in the ONNX schema, else None."""
        attr = self.node.attributes.get(name)
        if attr is not None:
            if attr.ref_attr_name:
                raise Unsupported(f"attribute {name} is a parameter of an enclosing function")
            value = attr.value
            return list(value) if isinstance(value, tuple) else value
        if default is not MISSING:
            return default
        row = None if self._schema is None else self._schema.attributes.get(name)
        if row is None or not row.default_value.type:
            return None
        value = onnx.helper.get_attribute_value(row.default_value)
        if isinstance(value, list):
            return [v.decode() if isinstance(v, bytes) else v for v in value]
        return value.decode() if isinstance(value, bytes) else value

    def has(self, i: int) -> bool:
        """True if input `i` is present."""
        return i < len(self.node.inputs) and self.node.inputs[i] is not None

    def _input(self, i: int) -> ir.Value:
        value = self.node.inputs[i] if i < len(self.node.inputs) else None
        if value is None:
            raise Unsupported(f"input {i} is absent")
        return value

    def dims(self, i: int) -> tuple[int | None, ...]:
        """Returns the dimensions of input `i`, None for each that is known only at run time. Raises Unsupported."""
        return _dims(self._input(i), f"the rank of input {i} is unknown")

    def shape(self, i: int) -> tuple[int, ...]:
        """Returns the shape of input `i`. Raises Unsupported if a dimension is unknown."""
        return _static(self.dims(i), f"input {i}")

    def rank(self, i: int) -> int:
        """Returns the number of dimensions of input `i`. Raises Unsupported if unknown."""
        return len(self.dims(i))

    def dtype(self, i: int) -> DType:
        """Returns the element type of input `i`. Raises Unsupported if unknown."""
        return _dtype(self._input(i), f"the element type of input {i} is unknown")

    def out_dims(self, k: int = 0) -> tuple[int | None, ...]:
        """Returns the dimensions of output `k`, None for unknown ones. Raises Unsupported if the rank is unknown."""
        return _dims(self.node.outputs[k], f"the rank of output {k} is unknown")

    def out_shape(self, k: int = 0) -> tuple[int, ...]:
        """Returns the shape of output `k`. Raises Unsupported if a dimension is unknown."""
        return _static(self.out_dims(k), f"output {k}")

    def out_dtype(self, k: int = 0) -> DType:
        """Returns the element type of output `k`. Raises Unsupported if unknown."""
        return _dtype(self.node.outputs[k], f"the element type of output {k} is unknown")

    def wants(self, k: int) -> bool:
        """True if output `k` exists and somebody uses it."""
        if k >= len(self.node.outputs) or not self.node.outputs[k].name:
            return False
        out = self.node.outputs[k]
        return bool(out.uses()) or out.is_graph_output()

    def const(self, i: int, default: Any = MISSING) -> np.ndarray[Any, Any]:
        """Returns the content of input `i`, which must be constant; `default` when the input is absent.

        Raises:
            Unsupported: the input is computed at run time.
        """
        if not self.has(i) and default is not MISSING:
            return default  # type: ignore[no-any-return]
        found = self.known(i)
        if found is None:
            raise Unsupported(f"input {i} is computed at run time; here it has to be constant")
        return found

    def known(self, i: int) -> np.ndarray[Any, Any] | None:
        """Returns the content of input `i` if it is constant, else None."""
        if not self.has(i):
            return None
        value = self._input(i)
        return None if value.const_value is None or value.is_graph_input() else value.const_value.numpy()

    def ints(self, i: int) -> tuple[int, ...]:
        """Returns constant input `i` as a tuple of ints."""
        return tuple(int(v) for v in self.const(i).reshape(-1))

    def axis(self, name: str = "axis", i: int = 0, *, extra: int = 0) -> int:
        """Returns attribute `name` counted from the front, in the rank of input `i` plus `extra`."""
        axis = int(self.attr(name))
        return axis + self.rank(i) + extra if axis < 0 else axis


def _dims(value: ir.Value, problem: str) -> tuple[int | None, ...]:
    if value.shape is None:
        raise Unsupported(problem)
    return tuple(d if isinstance(d, int) else None for d in value.shape.dims)


def _static(dims: tuple[int | None, ...], what: str) -> tuple[int, ...]:
    out = [d for d in dims if d is not None]
    if len(out) != len(dims):
        shown = ", ".join("?" if d is None else str(d) for d in dims)
        raise Unsupported(f"{what} has the shape [{shown}]; here all dimensions have to be known")
    return tuple(out)


def _dtype(value: ir.Value, problem: str) -> DType:
    if value.dtype is None:
        raise Unsupported(problem)
    return by_onnx(int(value.dtype))
