"""Sequences of tensors that an exporter makes only to take them apart again (`torch.chunk`, `torch.split`)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from mindport.conversion.lower import opset_of
from mindport.dialects.emit_onnx import infer
from mindport.dialects.literals import tensor

__all__ = ["plain_splits"]


def plain_splits(model: ir.Model) -> ir.Model:
    """Replaces SplitToSequence by Split where the sequence is only indexed by constants.

    No target has sequences. What cannot be replaced stays and is reported by lowering.
    """
    opset = opset_of(model)
    for node in list(model.graph):
        if node.domain == "" and node.op_type == "SplitToSequence":
            sizes, taken = _sizes(node), _taken(node)
            if sizes and taken is not None and all(-len(sizes) <= i < len(sizes) for _, i in taken):
                _replace(model.graph, node, sizes, taken, opset)
    return model


def _axis(node: ir.Node) -> int:
    attr = node.attributes.get("axis")
    return 0 if attr is None else attr.as_int()


def _squeezes(node: ir.Node) -> bool:
    """True if each part loses the axis it was split along: without sizes, and only if asked for."""
    attr = node.attributes.get("keepdims")
    given = len(node.inputs) > 1 and node.inputs[1] is not None
    return not given and attr is not None and not attr.as_int()


def _sizes(node: ir.Node) -> list[int] | None:
    """Returns the lengths of the parts, or None where they are known at run time only."""
    value = node.inputs[0]
    if value is None or value.shape is None or not -len(value.shape) <= _axis(node) < len(value.shape):
        return None
    length = value.shape[_axis(node)]
    split = np.asarray(1)
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        known = node.inputs[1].const_value
        if known is None or node.inputs[1].is_graph_input():
            return None
        split = known.numpy()
    if split.ndim:
        return [int(s) for s in split]
    step = int(split)
    if not isinstance(length, int) or step < 1:
        return None
    return [min(step, length - start) for start in range(0, length, step)]


def _taken(node: ir.Node) -> list[tuple[ir.Node, int]] | None:
    """Returns the nodes that take one part each, with its index; None if the sequence is used in another way."""
    sequence = node.outputs[0]
    found = []
    for user, _ in sequence.uses():
        index = user.inputs[1] if user.op_type == "SequenceAt" and len(user.inputs) > 1 else None
        if index is None or index.const_value is None or index.is_graph_input():
            return None
        found.append((user, int(index.const_value.numpy())))
    return None if sequence.is_graph_output() else found


def _replace(graph: ir.Graph, node: ir.Node, sizes: list[int], taken: list[tuple[ir.Node, int]], opset: int) -> None:
    name = str(node.outputs[0].name)  # names of values are unique
    lengths = _constant(graph, f"{name}.sizes", sizes)
    split = ir.node("Split", [node.inputs[0], lengths], {"axis": _axis(node)}, num_outputs=len(sizes), name=node.name)
    split.metadata_props.update(node.metadata_props)
    for i, out in enumerate(split.outputs):
        out.name = f"{name}.part{i}"
    graph.insert_before(node, split)
    infer(split, opset)
    for user, index in taken:
        part: ir.Value = split.outputs[index]
        operands = (
            [part] if not _squeezes(node) else [part, _constant(graph, f"{user.outputs[0].name}.axis", [_axis(node)])]
        )
        # a node of its own keeps the name of what may be a graph output; aliases vanish on the way to a target
        alias = ir.node("Squeeze" if _squeezes(node) else "Identity", operands, name=user.name)
        alias.metadata_props.update(user.metadata_props)
        graph.insert_before(user, alias)
        old, new = user.outputs[0], alias.outputs[0]
        new.name, new.type, new.shape = old.name, old.type, old.shape
        infer(alias, opset)
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        graph.remove(user, safe=True)
    graph.remove(node, safe=True)


def _constant(graph: ir.Graph, name: str, values: list[int]) -> ir.Value:
    content = tensor(np.asarray(values, np.int64), name)
    value = ir.Value(
        name=name, shape=ir.Shape([len(values)]), type=ir.TensorType(ir.DataType.INT64), const_value=content
    )
    value.meta["constant"] = True
    graph.register_initializer(value)
    return value
