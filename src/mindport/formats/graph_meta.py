"""`{prefix}-graph.meta`: the structure of the trained network as MindSpore stores it, for viewers. No weights.

The file is one `ModelProto` of anf_ir.proto. As MindSpore writes them: inputs come before weights among the
parameters, nodes are called "1", "2", ... in order, constants "cst1", "cst2", ..., and a node's scope is the path of
the modules it stands in, such as ``Default/network-ResNet/layer1-Sequential/0-Bottleneck/conv1-Conv2d``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from mindport.errors import CorruptFile, FormatError
from mindport.extras import need
from mindport.formats.mapped import map_file
from mindport.tensors import TensorRef
from mindport.wire import schema_anf as anf
from mindport.wire.spec import Message, decode, encode
from mindport.wire.writer import Chunk

if TYPE_CHECKING:
    import onnx_ir

__all__ = ["Argument", "GraphOutline", "Node", "Port", "decoded", "of_weights", "read", "write"]

DATA_EDGE = 0
Argument: TypeAlias = "bool | int | float | str | Sequence[int] | Sequence[float] | None"
"""A constant or attribute that the file can hold."""

_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True)
class Port:
    """A named tensor: input, weight or output. `dtype` is mindport's name; None or one unknown here is left open."""

    name: str
    dtype: str | None
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator. `output` is its only output, whose name is the node's."""

    op: str
    inputs: tuple[str, ...]
    output: Port
    scope: str = "Default"
    full_name: str = ""
    attributes: Mapping[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphOutline:
    """The network's structure: inputs, weights (without content), operators in order, outputs, constants by name."""

    name: str
    inputs: tuple[Port, ...] = ()
    weights: tuple[Port, ...] = ()
    nodes: tuple[Node, ...] = ()
    outputs: tuple[Port, ...] = ()
    constants: Mapping[str, Argument] = field(default_factory=dict)


def of_weights(name: str, weights: Mapping[str, TensorRef]) -> GraphOutline:
    """Returns the outline of a network of which only the parameters are known."""
    return GraphOutline(name, weights=tuple(Port(n, w.dtype.name, tuple(w.shape)) for n, w in weights.items()))


def write(outline: GraphOutline) -> Iterator[Chunk]:
    """Yields the bytes of the file."""
    graph = anf.GRAPH.new(
        node=[_node(n) for n in outline.nodes],
        name=outline.name,
        parameters=[anf.PARAMETER.new(name=p.name, type=_type(p)) for p in (*outline.inputs, *outline.weights)],
        outputs=[anf.OUTPUT.new(name=p.name, type=_type(p)) for p in outline.outputs],
        const_vals=[anf.NAMED_VALUE.new(key=k, value=_constant(v)) for k, v in outline.constants.items()],
    )
    yield from encode(anf.MODEL.new(ir_version=1, graph=graph))


def _node(node: Node) -> Message:
    return anf.NODE.new(
        input=[anf.INPUT.new(name=name, type=DATA_EDGE) for name in node.inputs],
        name=node.output.name,
        op_type=node.op,
        scope=node.scope,
        attribute=[anf.ATTRIBUTE.new(name=k, value=_constant(v)) for k, v in node.attributes.items()],
        output_type=_type(node.output),
        full_name=node.full_name or None,
    )


def _type(port: Port) -> Message:
    number = anf.DATA_TYPES.get(port.dtype or "", 0)
    shape = anf.SHAPE.new(dim=[anf.DIM.new(size=size) for size in port.shape])
    tensor = anf.TENSOR_TYPE.new(elem_type=number, shape=shape)
    return anf.TYPE.new(data_type=anf.DATA_TYPES["tensor"], tensor_type=tensor)


def _constant(value: Argument) -> Message:
    new, kinds = anf.VALUE.new, anf.DATA_TYPES
    if value is None:
        return new(dtype=kinds["none"], str_val="None")
    if isinstance(value, bool):
        return new(dtype=kinds["bool"], bool_val=value)
    if isinstance(value, int) and value in _INT64:
        return new(dtype=kinds["int64"], int_val=value)
    if isinstance(value, float):
        return new(dtype=kinds["float64"], double_val=value)
    if isinstance(value, (tuple, list)):
        return new(dtype=kinds["tuple"], values=[_constant(v) for v in value])
    return new(dtype=kinds["string"], str_val=str(value))


def decoded(data: memoryview) -> Message:
    """Returns the decoded `ModelProto`.

    Raises:
        FormatError: the bytes are no such file.
    """
    model = decode(anf.MODEL, data)
    if model.get("ir_version") != 1 or not model.has("graph"):
        raise CorruptFile("this is no graph.meta file: it lacks ir_version 1 or the graph")
    return model


def read(path: str | PathLike[str]) -> onnx_ir.Model:
    """Returns the graph in a `-graph.meta` file, of domain ``"mindspore"``; inputs and weights are its inputs.

    Raises:
        MissingFile, NotAFile, NoPermission: the file cannot be read.
        FormatError: it is damaged.
        MissingExtra: onnx_ir is not installed.
    """
    need("onnx_ir", "reading a graph")
    try:
        return _model(decoded(map_file(path)).graph)
    except FormatError as exc:
        raise exc.at(path) from exc


def _model(graph: Message) -> onnx_ir.Model:
    ir = need("onnx_ir")
    values: dict[str, Any] = {}
    inputs = []
    for parameter in graph.parameters:
        value = _value(ir, parameter.get("name", ""), parameter.type)
        values[value.name] = value
        inputs.append(value)
    nodes = []
    for n in graph.node:
        # a name that no parameter or node has stands for a constant, which viewers show and nobody computes with
        sources = [values.setdefault(i.get("name", ""), ir.Value(name=i.get("name", ""))) for i in n.input]
        output = _value(ir, n.get("name", ""), n.output_type)
        values[output.name] = output
        op = n.get("op_type") or "Unknown"
        nodes.append(ir.Node("mindspore", op, sources, _attributes(ir, n), outputs=[output], name=n.get("full_name")))
    outputs = [values.setdefault(o.get("name", ""), _value(ir, o.get("name", ""), o.type)) for o in graph.outputs]
    made = ir.Graph(inputs, outputs, nodes=nodes, name=graph.get("name"), opset_imports={"mindspore": 1})
    return ir.Model(made, ir_version=10)  # type: ignore[no-any-return]


def _value(ir: Any, name: str, described: Message | None) -> Any:
    value = ir.Value(name=name)
    tensor = described.tensor_type if described is not None else None
    if tensor is None:
        return value
    names = {number: kind for kind, number in anf.DATA_TYPES.items()}
    kind = names.get(tensor.get("elem_type", 0), "")
    onnx_names = {"float32": "FLOAT", "float64": "DOUBLE"}
    member = onnx_names.get(kind, kind.upper())
    if member in ir.DataType.__members__:
        value.type = ir.TensorType(ir.DataType[member])
    if tensor.shape is not None:
        value.shape = ir.Shape([d.get("size", -1) if d.get("size", -1) >= 0 else None for d in tensor.shape.dim])
    return value


def _attributes(ir: Any, node: Message) -> list[Any]:
    found = {}
    for attribute in node.attribute:
        name, value = attribute.get("name", ""), attribute.value
        if value is None or not name:
            continue
        if value.has("int_val") or value.has("bool_val"):
            found[name] = ir.AttrInt64(name, int(value.get("int_val", value.get("bool_val"))))
        elif value.has("float_val") or value.has("double_val"):
            found[name] = ir.AttrFloat32(name, value.get("double_val", value.get("float_val")))
        elif value.has("str_val"):
            found[name] = ir.AttrString(name, value.str_val)
    return list(found.values())
