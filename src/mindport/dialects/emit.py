"""Builders of foreign nodes that check every call against the dialect's operator table.

    b = emitter("mindspore")
    y = b.Conv2D(x, w, out_channel=7, kernel_size=(3, 5), ...)

A wrong operator name, a missing or unknown attribute, a wrong number or kind of arguments is a `UsageError` at the
call: MindSpore itself answers such a node with a segmentation fault. Literals given where a value is expected become
constants, each distinct one once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.literals import attribute, constant_node, dims_of, identity, tensor
from mindport.errors import UsageError

__all__ = ["CONSTANT_LIMIT", "Emit", "Names"]

# tensors of at least this many elements become parameters (they can be mapped and stored outside the graph)
CONSTANT_LIMIT = 64


class Names:
    """Hands out names that are unique in one model."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._next: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """Returns `wanted`, or `wanted` with the first free ordinal behind it."""
        name = wanted
        while name in self._used:
            count = self._next.get(wanted, 1)
            self._next[wanted] = count + 1
            name = f"{wanted}_{count}"
        self._used.add(name)
        return name


class Emit:
    """Collects nodes of one dialect in the order they are built. Subclasses say how calls are checked.

    Attributes:
        nodes: what has been built so far, producers before consumers.
        parameters: large tensor literals, to be registered as initializers.
        names: unique names of the model being built.
        scope: path of the node being converted; names of new nodes start with it.
    """

    domain = ""

    def __init__(self, names: Names | None = None) -> None:
        self.nodes: list[ir.Node] = []
        self.parameters: list[ir.Value] = []
        self.names = Names() if names is None else names
        self.scope = ""
        self._literals: dict[Any, ir.Value] = {}

    def __getattr__(self, op: str) -> Callable[..., Any]:
        """Returns the builder call of operator `op`."""
        if op.startswith("_"):
            raise AttributeError(op)
        return lambda *args, **kwargs: self.call(op, *args, **kwargs)

    def call(self, op: str, *args: Any, **kwargs: Any) -> Any:
        """Builds one node. Raises UsageError when the table does not allow it."""
        raise UsageError(f"{type(self).__name__} builds no nodes")  # pragma: no cover - subclasses do

    @contextmanager
    def at(self, path: str) -> Iterator[None]:
        """Names nodes built inside after `path`, the node being converted."""
        before, self.scope = self.scope, path
        try:
            yield
        finally:
            self.scope = before

    def add(self, op: str, inputs: list[ir.Value | None], attrs: list[ir.Attr], outputs: int = 1) -> ir.Node:
        """Appends a node without checking it and returns it; its outputs get unique names."""
        path = f"{self.scope}/{op}" if self.scope else op
        node = ir.Node(self.domain, op, inputs, attrs, num_outputs=outputs, name=self.names.take(path))
        for i, out in enumerate(node.outputs):
            out.name = node.name if i == 0 else self.names.take(f"{node.name}:{i}".replace(":", "."))
        self.nodes.append(node)
        return node

    def literal(self, value: Any) -> ir.Value:
        """Returns a value that holds the literal; equal literals share one."""
        if isinstance(value, np.ndarray):
            value = tensor(value)
        large = isinstance(value, ir.TensorProtocol) and value.size >= CONSTANT_LIMIT
        # content of large tensors is not hashed: they are shared by object, not by value
        known = ("large", id(value)) if large else identity(value)
        found = self._literals.get(known)
        if found is None:
            found = self._parameter(value) if large else self._constant(value)
            self._literals[known] = found
        return found

    def _constant(self, value: Any) -> ir.Value:
        node = constant_node(self.domain, value, name=self.names.take("const"))
        self.nodes.append(node)
        return node.outputs[0]

    def _parameter(self, value: ir.TensorProtocol) -> ir.Value:
        name = self.names.take("const_tensor")
        out = ir.Value(name=name, shape=ir.Shape(dims_of(value)), type=ir.TensorType(value.dtype), const_value=value)
        self.parameters.append(out)
        return out

    def const(self, value: Any, dtype: Any = None) -> ir.Value:
        """Returns a constant *tensor* with the content of `value` (number, sequence or array)."""
        array = np.asarray(value, dtype=None if dtype is None else getattr(dtype, "numpy", dtype))
        return self.literal(array)

    def attrs(self, values: dict[str, Any]) -> list[ir.Attr]:
        """Returns literal attributes, in the given order."""
        return [attribute(name, value) for name, value in values.items()]
