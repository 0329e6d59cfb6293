"""What a lift rule sees of a foreign node: inputs already in ONNX, literals as Python values, attributes by name.

A foreign value becomes one of three things on the way to ONNX:

- a tensor: an `onnx_ir` value. A scalar that is computed at run time is a 0-d tensor too.
- a tuple: a Python tuple of these three.
- a literal: the Python value itself (see `mindport.dialects.literals`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.ge_slots import arranged, fits
from mindport.dialects.literals import GE, attributes
from mindport.dialects.table import MISSING, OpRow
from mindport.dtypes import DType, by_onnx, by_type_id
from mindport.errors import Unsupported
from mindport.ops.view import Inputs, path_of

__all__ = ["ForeignView", "as_tensor"]


def as_tensor(o: Any, value: Any, like: ir.Value | None = None) -> ir.Value:
    """Returns a lifted value as an ONNX tensor: scalars become 0-d, tuples of integers 1-D int64.

    `like` gives the element type of a number, which in the foreign dialect takes that of the tensor it meets.
    """
    if isinstance(value, ir.Value):
        return value
    if isinstance(value, ir.TensorProtocol):
        return o.literal(value)  # type: ignore[no-any-return]
    if isinstance(value, (bool, int, float)):
        default = np.bool_ if isinstance(value, bool) else np.int64 if isinstance(value, int) else np.float32
        known = None if like is None or like.dtype is None else like.dtype.numpy()
        return o.literal(np.asarray(value, dtype=known or default))  # type: ignore[no-any-return]
    if isinstance(value, (tuple, list)):
        if all(isinstance(v, (bool, int, float)) for v in value):
            kind = np.float32 if any(isinstance(v, float) for v in value) else np.int64
            return o.literal(np.asarray(value, dtype=kind))  # type: ignore[no-any-return]
        one = np.asarray([1], np.int64)
        parts = [o.Reshape(as_tensor(o, v), one) for v in value]
        return o.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]  # type: ignore[no-any-return]
    raise Unsupported(f"a {type(value).__name__} stands where a tensor is needed")


class ForeignView:
    """A node of a foreign dialect.

    Attributes:
        x: inputs as ONNX tensors; literals are turned into tensors.
        raw: inputs as they were lifted (tensor, tuple or literal).
        attrs: literal attributes by name.
        row: the operator's row in the dialect's table, or None.
    """

    def __init__(self, node: ir.Node, lifted: Callable[[ir.Value], Any], o: Any, row: OpRow | None) -> None:
        self.node = node
        self.op = node.op_type
        self.row = row
        self.attrs = attributes(node)
        self.inputs = arranged(node, row) if node.domain == GE else list(node.inputs)
        self.raw = Inputs(self.inputs, lifted)
        self._o = o
        self.x = Inputs(self.inputs, lambda value: as_tensor(o, lifted(value)))

    @property
    def path(self) -> str:
        """Where the node stands, for messages."""
        return path_of(self.node)

    def has(self, i: int) -> bool:
        """True if input `i` is there and is not None."""
        return i < len(self.inputs) and self.inputs[i] is not None and self.raw[i] is not None

    def index(self, argument: int | str) -> int:
        """Returns the position of an argument given by position or by its name in the table."""
        if isinstance(argument, int):
            return argument
        if self.row is None:
            raise Unsupported(f"{self.op} is not in the operator table")
        return self.row.position(argument)

    def literal(self, argument: int | str) -> Any:
        """Returns an argument that must be known: a Python value, a tuple, or an array for a constant tensor.

        Raises:
            Unsupported: it is computed at run time.
        """
        i = self.index(argument)
        value = self.raw[i] if i < len(self.raw) else None
        found = _plain(value)
        if found is MISSING:
            raise Unsupported(f"argument {argument!r} is computed at run time; here it has to be constant")
        return found

    def known(self, argument: int | str) -> Any:
        """Returns what `literal` returns, or MISSING if the argument is computed at run time."""
        return _plain(self.raw[self.index(argument)])

    def ints(self, argument: int | str) -> tuple[int, ...]:
        """Returns an argument that is an int or a tuple of ints, as a tuple."""
        value = self.literal(argument)
        if value is None:
            return ()
        return tuple(int(v) for v in np.asarray(value, dtype=np.int64).reshape(-1))

    def items(self, argument: int | str) -> list[ir.Value]:
        """Returns the elements of a tuple argument as ONNX tensors."""
        value = self.raw[self.index(argument)]
        if not isinstance(value, (tuple, list)):
            raise Unsupported(f"argument {argument!r} is a tuple whose elements are not known")
        return [as_tensor(self._o, v) for v in value]

    def tensor(self, argument: int | str, like: ir.Value | None = None) -> ir.Value:
        """Returns an argument as an ONNX tensor; a plain number takes the element type of `like`."""
        return as_tensor(self._o, self.raw[self.index(argument)], like)

    def attr(self, name: str, default: Any = MISSING) -> Any:
        """Returns an attribute; an absent one's `default`, else (GE) that of the prototype. Raises Unsupported."""
        value = self.attrs.get(name, default)
        if self.node.domain == GE and self.row is not None and name in self.row.attrs:
            row = self.row.attrs[name]
            value = row.default if value is MISSING else value
            if name in self.attrs and not fits(row.kind, value):
                raise Unsupported(f"attribute {name} is no {row.kind}")
        if value is MISSING:
            raise Unsupported(f"attribute {name} is missing")
        return value

    def dtype(self, i: int) -> DType:
        """Returns the element type of tensor input `i`. Raises Unsupported if unknown."""
        value = self.x[i]
        if value.dtype is None:
            raise Unsupported(f"the element type of input {i} is unknown")
        return by_onnx(int(value.dtype))

    def type_id(self, argument: int | str) -> DType | None:
        """Returns the element type that a MindSpore `dtype` argument names, or None if the argument is None."""
        value = self.literal(argument)
        if value is None or isinstance(value, DType):
            return value
        return by_type_id(int(value))

    def dims(self, i: int) -> tuple[int | None, ...]:
        """Returns the dimensions of tensor input `i`, None for unknown ones. Raises Unsupported for an unknown rank."""
        shape = self.x[i].shape
        if shape is None:
            raise Unsupported(f"the rank of input {i} is unknown")
        return tuple(d if isinstance(d, int) else None for d in shape.dims)

    def rank(self, i: int) -> int:
        """Returns the number of dimensions of tensor input `i`. Raises Unsupported if unknown."""
        return len(self.dims(i))

    def shape(self, i: int) -> tuple[int, ...]:
        """Returns the shape of tensor input `i`. Raises Unsupported if a dimension is unknown."""
        dims = self.dims(i)
        out = tuple(d for d in dims if d is not None)
        if len(out) != len(dims):
            raise Unsupported(f"a dimension of input {i} is known only at run time")
        return out


def _plain(value: Any) -> Any:
    """Returns a lifted value as plain Python data, or MISSING when part of it is computed at run time."""
    if isinstance(value, ir.Value):
        if value.const_value is None or value.is_graph_input():
            return MISSING
        return value.const_value.numpy()
    if isinstance(value, ir.TensorProtocol):
        return value.numpy()
    if isinstance(value, (tuple, list)):
        parts = tuple(_plain(v) for v in value)
        return MISSING if any(p is MISSING for p in parts) else parts
    return value
