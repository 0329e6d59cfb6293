"""What a graph holds, in numbers: for `inspect`. Works on every dialect, also on operators nobody can convert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx_ir as ir

from mindport.dtypes import by_onnx
from mindport.errors import UnsupportedDType
from mindport.results import GraphInfo, TensorInfo, ValueInfo
from mindport.tensors import ArrayRef

__all__ = ["graphs", "is_literal", "outline", "tensors_of", "weights_of"]


def outline(model: ir.Model) -> GraphInfo:
    """Returns the outline of `model`; no tensor content is read.

    Operators of the default domain and of a foreign file's own dialect are given by name, others as ``domain::name``.
    """
    ops = Counter(_op_name(node) for graph in graphs(model) for node in graph if not is_literal(node))
    weights = weights_of(model)
    weight_names = set(model.graph.initializers)
    return GraphInfo(
        name=_text(model.graph.name),
        producer=" ".join(filter(None, (_text(model.producer_name), _text(model.producer_version)))),
        opsets={_text(domain): version for domain, version in model.opset_imports.items()},
        inputs=tuple(_value(v) for v in model.graph.inputs if v.name not in weight_names),
        outputs=tuple(_value(v) for v in model.graph.outputs),
        ops=dict(sorted(ops.items(), key=lambda item: (-item[1], item[0]))),
        nodes=sum(ops.values()),
        weights=len(weights),
        weights_nbytes=sum(w.nbytes for w in weights),
    )


def weights_of(model: ir.Model) -> tuple[TensorInfo, ...]:
    """Returns the tensors stored in `model`, in file order, those of functions and sub-graphs included."""
    found = []
    for graph in graphs(model):
        for name, value in graph.initializers.items():
            tensor = value.const_value
            if tensor is not None:
                shape = tuple(tensor.shape.numpy())
                found.append(TensorInfo(_text(name), dtype_name(tensor.dtype), shape, tensor.nbytes))
    return tuple(found)


def tensors_of(model: ir.Model) -> dict[str, ArrayRef]:
    """Returns the tensors stored in `model` by name, in file order; content is viewed where that is possible.

    Raises:
        UnsupportedDType: an element type that mindport does not know, such as text.
    """
    found = {}
    for graph in graphs(model):
        for name, value in graph.initializers.items():
            if value.const_value is not None:
                found[name] = ArrayRef(name, value.const_value.numpy(), by_onnx(value.const_value.dtype.value))
    return found


def dtype_name(dtype: ir.DataType) -> str:
    """Returns mindport's name of an element type, or ONNX's in lower case where mindport has none."""
    try:
        return by_onnx(dtype.value).name
    except UnsupportedDType:
        return dtype.name.lower()


def graphs(model: ir.Model) -> Iterator[ir.Graph]:
    """Yields the main graph, the functions' graphs, and every graph inside their nodes' attributes."""
    for main in (model.graph, *(function.graph for function in model.functions.values())):
        yield main
        yield from main.subgraphs()


def is_literal(node: ir.Node) -> bool:
    """True for the `Constant` nodes that carry a foreign dialect's literals: they are operators of no file."""
    return node.op_type == "Constant" and node.domain not in {"", "ai.onnx"}


def _op_name(node: ir.Node) -> str:
    op = _text(node.op_type)
    return op if node.domain in {"", "mindspore", "ge"} else f"{_text(node.domain)}::{op}"


def _text(name: str | bytes | None) -> str:
    """Returns a name from a file as text; protobuf hands out bytes where they are no UTF-8."""
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name or ""


def _value(value: ir.Value) -> ValueInfo:
    dims: tuple[int | str | None, ...] | None = None
    if value.shape is not None:
        dims = tuple(d if isinstance(d, int) else _text(d.value) or None for d in value.shape)
    return ValueInfo(_text(value.name), None if value.dtype is None else dtype_name(value.dtype), dims)
