"""What a part of a graph says, as a comparable value: equal before and after means that nothing was changed.

The writer puts back the `OpDef` a part came from when its signature is the one it had when it was read.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

__all__ = ["data_signature", "node_signature", "output_signature"]


def _exact(value: Any) -> Any:
    """Returns a key in which True, 1 and 1.0 differ."""
    if isinstance(value, (tuple, list)):
        return tuple(_exact(v) for v in value)
    return type(value).__name__, value


def _source(value: ir.Value | None) -> Any:
    """Returns what feeds an input, independent of names that the writer may still give."""
    if value is None:
        return None
    producer = value.producer()
    return value.name if producer is None else (producer.name, value.index())


def _described(value: ir.Value) -> Any:
    shape = None if value.shape is None else tuple(d if isinstance(d, int) else -1 for d in value.shape)
    return value.dtype, shape


def node_signature(node: ir.Node) -> Any:
    """Returns everything a node says that its `OpDef` must say too."""
    return (
        node.name,
        node.op_type,
        [_source(v) for v in node.inputs],
        [_described(v) for v in node.inputs if v is not None],
        [(name, _exact(attr.value)) for name, attr in node.attributes.items()],
        [_described(v) for v in node.outputs],
        node.meta.get("ge.inputs"),
        node.meta.get("ge.outputs"),
    )


def data_signature(value: ir.Value, position: int | None) -> Any:
    """Returns the same for a graph input (with its position) or an initializer (None)."""
    return value.name, _described(value), position, id(value.const_value)


def output_signature(graph: ir.Graph) -> Any:
    """Returns the same for the graph's inputs and outputs."""
    return [v.name for v in graph.inputs], [_source(v) for v in graph.outputs]
