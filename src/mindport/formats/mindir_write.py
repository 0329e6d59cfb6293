"""`onnx_ir` graph of domain ``"mindspore"`` -> MindIR protobuf. Knows the format, no operator.

The result depends on the graph alone: the same graph gives the same bytes. Primitives with equal operator and
attributes are written once, in the order of their first use. What `mindir_read` kept in `meta` is written back where
the graph still says the same.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from mindport.dialects.literals import FunctionRef, attributes, has_literal, identity, literal_of
from mindport.dialects.table import OpTable
from mindport.dtypes import by_onnx
from mindport.errors import Unsupported
from mindport.formats.mindir_attrs import message_for, tensor_message
from mindport.wire.schema_mindir import GRAPH, MODEL, NODE, PRIMITIVE, TENSOR, USER_INFO, VALUE_INFO
from mindport.wire.spec import Message

__all__ = ["from_model"]

_REF = "REF::"
PRODUCER = "mindport"


def from_model(model: ir.Model, *, content: bool = True) -> Message:
    """Returns the ModelProto of a MindIR model; tensor contents are views.

    Args:
        model: a graph of domain ``"mindspore"``.
        content: False leaves out the content of parameters (the caller stores it beside the file).

    Raises:
        Unsupported: the graph holds what MindIR cannot express.
    """
    return _Writer(model, content).message()


def _taken_over(rest: Message | None, fresh: Message) -> Message:
    """Returns `fresh` with the fields of `rest` that it does not set itself."""
    if rest is not None:
        for name, value in rest.values.items():
            fresh.values.setdefault(name, value)
        fresh.unknown = list(rest.unknown)
    return fresh


class _Writer:
    """One file: names of values and the primitives used so far."""

    def __init__(self, model: ir.Model, content: bool) -> None:
        self.model = model
        self.content = content
        self.names: dict[ir.Value, str] = {}
        self.primitives: dict[str, Message] = {}
        self.known: dict[Any, str] = {}  # operator and attributes -> key of the primitive
        self.table = OpTable.load("mindspore")
        for kept in model.meta.get("mindir.primitives", []):
            self.primitives[kept.get("name", "")] = kept
        for value in model.graph.initializers.values():
            self._name_parameter(value)

    def message(self) -> Message:
        graphs = [self.model.graph, *(f.graph for f in self.model.functions.values())]
        written = [self._graph(g) for g in graphs]
        fresh = MODEL.new(graph=written[0], functions=written[1:])
        if self.primitives:
            fresh.set("primitives", list(self.primitives.values()))
        info = self.model.metadata_props
        fresh.set("user_info", [USER_INFO.new(key=k, value=v) for k, v in info.items()])
        header = self.model.meta.get("mindir.header")
        if header is None:
            header = MODEL.new(
                ir_version="1.1",
                producer_name=PRODUCER,
                model_version="2.7.0",  # the oldest MindSpore these files were run in
                little_endian=True,
                mind_ir_version=3,
            )
        return _taken_over(header, fresh)

    def _name_parameter(self, value: ir.Value) -> None:
        """MindSpore shows a weight under what follows the first colon of its name, so a colon needs a prefix."""
        name = str(value.name)
        kept = value.meta.get("mindir.name")
        if kept is not None:
            self.names[value] = kept
        else:
            self.names[value] = f"{PRODUCER}:{name}" if ":" in name else name

    def name(self, value: ir.Value) -> str:
        """Returns the name of `value` in the file."""
        found = self.names.get(value)
        if found is not None:
            return found
        if has_literal(value) and isinstance(literal_of(value), FunctionRef):
            return str(literal_of(value).name)
        if not value.name:
            raise Unsupported("a value of the graph has no name")
        return value.name

    def _graph(self, graph: ir.Graph) -> Message:
        nodes: list[Message] = []
        for node in graph:
            nodes += self._node(node)
        fresh = GRAPH.new(
            node=nodes,
            name=graph.name or "main",
            parameter=[self._parameter(v) for v in graph.initializers.values()],
            input=[self._input(v) for v in graph.inputs],
            output=self._outputs(graph),
        )
        return _taken_over(graph.meta.get("mindir.graph"), fresh)

    def _parameter(self, value: ir.Value) -> Message:
        tensor = value.const_value
        assert tensor is not None
        kept = value.meta.get("mindir.tensor")
        if kept is not None and tensor is value.meta.get("mindir.content") and self.content and kept.has("raw_data"):
            same: Message = kept
            return same
        message = tensor_message(self.names[value], tensor, content=self.content)
        message.set("ref_key", (kept.get("ref_key") if kept is not None else None) or value.name)
        return message

    def _input(self, value: ir.Value) -> Message:
        kept = value.meta.get("mindir.info")
        if (
            kept is not None
            and value.meta["mindir.type"] == (value.type, value.shape)
            and kept.get("name") == value.name
        ):
            same: Message = kept
            return same
        return VALUE_INFO.new(name=self.name(value), tensor=[_described(value)])

    def _outputs(self, graph: ir.Graph) -> list[Message]:
        kept = {info.get("name"): info for info in graph.meta.get("mindir.outputs", [])}
        out = []
        for value in graph.outputs:
            name = self.name(value)
            info = kept.get(name)
            if info is None:
                info = VALUE_INFO.new(name=name, tensor=[] if value.dtype is None else [_described(value)])
            out.append(info)
        return out

    def _node(self, node: ir.Node) -> list[Message]:
        out = node.outputs[0]
        if node.op_type == "Constant" and has_literal(out):
            literal = literal_of(out)
            if isinstance(literal, FunctionRef):
                return []  # functions are named directly
            return [self._constant(node, literal)]
        inputs = [v for v in node.inputs if v is not None]
        if node.op_type == "Call":
            op, inputs = _REF + self.name(inputs[0]), inputs[1:]
        elif node.meta.get("mindir.plain"):
            op = node.op_type
        else:
            op = _REF + self._primitive(node)
        fresh = NODE.new(input=[self.name(v) for v in inputs], output=[self.name(out)], op_type=op)
        kept = node.meta.get("mindir.node")
        if kept is None:
            fresh.set("name", self.name(out))
            fresh.set("domain", node.name or self.name(out))
        return [_taken_over(kept, fresh)]

    def _constant(self, node: ir.Node, literal: Any) -> Message:
        out = node.outputs[0]
        fresh = NODE.new(output=[self.name(out)], op_type="Constant")
        kept = node.meta.get("mindir.node")
        unchanged = kept is not None and node.meta.get("mindir.literal") is literal
        if not unchanged:
            fresh.set("name", self.name(out))
            fresh.set("attribute", [message_for("value", literal)])
        return _taken_over(kept, fresh)

    def _primitive(self, node: ir.Node) -> str:
        """Returns the key of the primitive with this operator and these attributes; adds it when it is new."""
        attrs = attributes(node)
        kept = node.meta.get("mindir.primitive")
        if kept is not None and kept.get("op_type") == node.op_type and _unchanged(attrs, node.meta["mindir.attrs"]):
            return str(kept.get("name", ""))
        signature = (node.op_type, tuple((k, identity(v)) for k, v in attrs.items()))
        key = self.known.get(signature)
        if key is None:
            key = f"{node.op_type}:{len(self.primitives)}"
            while key in self.primitives:  # pragma: no cover - a kept primitive has our numbering by chance
                key += "_"
            row = self.table.find(node.op_type)
            self.primitives[key] = PRIMITIVE.new(
                name=key,
                op_type=node.op_type,
                attribute=[message_for(k, v) for k, v in attrs.items()],
                prim_type=2 if row is not None and row.function else 1,
            )
            self.known[signature] = key
        return key


def _unchanged(now: dict[str, Any], then: dict[str, Any]) -> bool:
    return now.keys() == then.keys() and all(now[k] is then[k] for k in now)


def _described(value: ir.Value) -> Message:
    """Returns a TensorProto with type and shape: -1 for an unknown dimension, [-2] for an unknown rank."""
    if value.dtype is None:
        raise Unsupported(f"the element type of {value.name} is unknown")
    dtype = by_onnx(int(value.dtype))
    if dtype.mindir is None:
        raise Unsupported(f"{value.name}: MindIR has no element type {dtype.name}")
    dims = [-2] if value.shape is None else [d if isinstance(d, int) else -1 for d in value.shape]
    return TENSOR.new(dims=dims, data_type=dtype.mindir)
