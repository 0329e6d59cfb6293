"""One forward pass over an ONNX graph: infers types and shapes, and replaces what is constant by its value.

Exporters compute shapes with chains of small nodes (Shape, Gather, Concat, …). Once those are values, every rule
sees plain shapes. Folding is bounded: nothing larger than `LIMIT` elements is ever computed, so a small file cannot ask
for a large array.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.conversion.lower import opset_of
from mindport.dialects.emit_onnx import infer, schema_of
from mindport.dialects.literals import tensor
from mindport.errors import Unsupported, UnsupportedOp, UnsupportedOps
from mindport.ops.view import path_of

__all__ = ["LIMIT", "fold"]

LIMIT = 1 << 16  # elements of any folded value

_RANDOM = {
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Dropout",
}


def fold(model: ir.Model) -> ir.Model:
    """Infers types and shapes in place and folds constants; returns the same model.

    Raises:
        UnsupportedOps: nodes whose inputs contradict them (types or shapes that do not go together), all of them.
    """
    opset = opset_of(model)
    graph = model.graph
    problems = []
    todo = list(graph)[::-1]
    while todo:
        node = todo.pop()
        branch = _taken_branch(node)
        if branch is not None:
            todo += _inlined(graph, node, branch)[::-1]
            continue
        if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
            continue
        try:
            _infer_keeping(node, opset)
        except Unsupported as exc:
            problems.append(UnsupportedOp(node.op_type, str(exc), (path_of(node),)))
            continue
        _plain_cast(node)
        values = _folded(node, opset)
        if values is not None:
            _replace(graph, node, values)
    if problems:
        raise UnsupportedOps("ONNX", problems)
    return model


def _taken_branch(node: ir.Node) -> ir.Graph | None:
    """Returns the branch that an If with a constant condition takes, else None."""
    if node.op_type != "If" or node.domain != "" or node.inputs[0] is None:
        return None
    condition = _known(node.inputs[0])
    if condition is None:
        return None
    return node.attributes["then_branch" if bool(condition.reshape(())) else "else_branch"].as_graph()


def _inlined(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> list[ir.Node]:
    """Puts the branch's nodes in the place of `node` and returns them; names get the If's name in front."""
    nodes, results = list(branch), list(branch.outputs)
    branch.remove(nodes)
    for value in [*branch.initializers.values(), *(out for inner in nodes for out in inner.outputs)]:
        value.name = f"{node.name or node.outputs[0].name}/{value.name}" if value.name else value.name
    for value in list(branch.initializers.values()):
        branch.initializers.pop(str(value.name), None)
        graph.register_initializer(value)
    ends = [ir.node("Identity", [value], name=f"{value.name}/out") for value in results]
    for out, end in zip(node.outputs, ends, strict=True):
        made = end.outputs[0]
        made.name, made.type, made.shape = out.name, out.type, out.shape
    graph.insert_before(node, [*nodes, *ends])
    for out, end in zip(node.outputs, ends, strict=True):
        out.replace_all_uses_with(end.outputs[0], replace_graph_outputs=True)
        out.name = None
    graph.remove(node, safe=True)
    return [*nodes, *ends]


def _infer_keeping(node: ir.Node, opset: int) -> None:
    """Infers; where that gives less than the file said (dynamic shapes), what the file said stays."""
    said = [(out.type, out.shape) for out in node.outputs]
    infer(node, opset)
    for out, (type_, shape) in zip(node.outputs, said, strict=True):
        out.type = out.type if out.type is not None else type_
        if out.shape is None:
            out.shape = shape
        elif shape is not None and len(shape) == len(out.shape):
            dims = [new if isinstance(new, int) else old for new, old in zip(out.shape, shape, strict=True)]
            out.shape = ir.Shape(dims)


def _plain_cast(node: ir.Node) -> None:
    """CastLike says the type by a tensor that need not be constant; once the type is known, it is a Cast."""
    if node.op_type == "CastLike" and node.domain == "" and node.outputs[0].dtype is not None:
        node.op_type = "Cast"
        node.resize_inputs(1)
        node.attributes.add(ir.AttrInt64("to", int(node.outputs[0].dtype)))


def _folded(node: ir.Node, opset: int) -> list[np.ndarray[Any, Any]] | None:
    """Returns the node's results if they are constant and small, else None."""
    if node.domain != "" or node.op_type in _RANDOM:
        return None
    if node.op_type in ("Shape", "Size"):
        return _static_shape(node)
    inputs = [None if v is None else _known(v) for v in node.inputs]
    if any(v is not None and a is None for v, a in zip(node.inputs, inputs, strict=True)):
        return None
    if not all(_small(out) for out in node.outputs if out.name):
        return None
    return _evaluate(node, inputs, opset)


def _known(value: ir.Value) -> np.ndarray[Any, Any] | None:
    if value.const_value is None or value.is_graph_input() or value.const_value.size > LIMIT:
        return None
    if not value.meta.get("constant") and value.const_value.dtype.is_floating_point():
        return None  # a weight stays a weight, under its own name
    return value.const_value.numpy()


def _small(out: ir.Value) -> bool:
    if out.shape is None:
        return False
    dims = [d for d in out.shape if isinstance(d, int)]
    return len(dims) == len(out.shape) and int(np.prod(dims, dtype=object)) <= LIMIT


def _static_shape(node: ir.Node) -> list[np.ndarray[Any, Any]] | None:
    value = node.inputs[0]
    if value is None or value.shape is None:
        return None
    dims = list(value.shape)
    if node.op_type == "Shape":
        start = node.attributes["start"].as_int() if "start" in node.attributes else 0
        end = node.attributes["end"].as_int() if "end" in node.attributes else len(dims)
        dims = dims[start:end]
    known = [d for d in dims if isinstance(d, int)]
    if len(known) != len(dims):
        return None
    array = np.asarray(known, np.int64)
    return [array if node.op_type == "Shape" else np.asarray(np.prod(array, dtype=np.int64))]


def _evaluate(
    node: ir.Node, inputs: list[np.ndarray[Any, Any] | None], opset: int
) -> list[np.ndarray[Any, Any]] | None:
    """Computes the node with onnx's own reference implementation; None if that cannot."""
    from onnx.helper import make_graph, make_model, make_opsetid, make_tensor_value_info
    from onnx.reference import ReferenceEvaluator

    if schema_of(node.op_type, opset) is None:
        return None
    proto = ir.serde.serialize_node(node)
    names = [n for n in proto.output if n]
    fed = {str(v.name): a for v, a in zip(node.inputs, inputs, strict=True) if v is not None}
    infos = [make_tensor_value_info(n, 0, None) for n in fed]
    outs = [make_tensor_value_info(n, 0, None) for n in names]
    model = make_model(make_graph([proto], "fold", infos, outs), opset_imports=[make_opsetid("", opset)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's remarks on 0/0 in constants
            results = ReferenceEvaluator(model).run(None, fed)
    except Exception:  # noqa: BLE001 - the reference implementation fails in many ways; then the node simply stays
        return None
    found = dict(zip(names, results, strict=True))
    arrays = [np.asarray(found[out.name]) if out.name else np.zeros(0) for out in node.outputs]
    right = all(
        not out.name or out.dtype is None or _matches(out.dtype, a) for out, a in zip(node.outputs, arrays, strict=True)
    )
    return arrays if right else None


def _matches(dtype: ir.DataType, array: np.ndarray[Any, Any]) -> bool:
    try:
        return bool(dtype.numpy() == array.dtype)
    except TypeError:
        return False


def _replace(graph: ir.Graph, node: ir.Node, arrays: list[np.ndarray[Any, Any]]) -> None:
    """Turns the node's outputs into initializers; a graph output stays a node's output (ONNX wants that)."""
    if any(out.is_graph_output() for out in node.outputs):
        return
    for out, array in zip(node.outputs, arrays, strict=True):
        if not out.name:
            continue
        value = ir.Value(
            name=out.name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.from_numpy(array.dtype))
        )
        value.const_value = tensor(array, out.name)
        value.meta["constant"] = True
        out.replace_all_uses_with(value)
        out.name = None
        graph.register_initializer(value)
    graph.remove(node, safe=True)
