"""MindIR protobuf -> `onnx_ir` graph of domain ``"mindspore"``. Knows the format, no operator.

- A primitive with its arguments is a node of domain ``mindspore``; attributes are literals.
- A constant is a ``Constant`` node with a literal. A monad token is a constant too.
- A call of a function graph or of a closure is a ``Call`` node whose first input is what is called.
- Weights are initializers named by their `ref_key`; their content is a view of the file.

What has no place in the graph (scope names, inferred shapes, instance names, …) is kept in `meta` of its owner, under
keys that start with ``mindir.``, and is written back where the graph was not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import onnx_ir as ir

from mindport.dialects.literals import MINDSPORE, FunctionRef, attribute, constant_node
from mindport.dtypes import by_mindir
from mindport.errors import CorruptFile, MindportError, Unsupported
from mindport.formats.mindir_attrs import content_of, literal_from
from mindport.wire.schema_mindir import AttrType
from mindport.wire.spec import Message, check_text

__all__ = ["NEWEST", "to_graph"]

NEWEST = 3  # mind_ir_version: MindSpore 2.10 refuses a higher one
_REF = "REF::"

# (location, offset, length) -> the bytes there
External = Callable[[str, int, int], memoryview]


def to_graph(message: Message, external: External) -> ir.Model:
    """Returns the model that a decoded ModelProto holds.

    Args:
        message: the decoded file.
        external: gives the bytes of parameters that are stored beside the file.

    Raises:
        CorruptFile: names that are missing, doubled or used before they are made, tensors of the wrong size, …
        Unsupported: encodings of MindSpore 1.x and of MindSpore Lite.
    """
    if not message.has("graph"):
        raise CorruptFile("the model holds no graph")
    version = message.get("mind_ir_version", 0)
    if version > NEWEST:
        raise Unsupported(f"the file has mind_ir_version {version}; mindport knows up to {NEWEST}")
    if message.get("little_endian", True) is False:
        raise Unsupported("the file holds big-endian data, which MindSpore does not load either")
    check_text(message)
    return _Reader(message, external).model()


def _rest(message: Message, *without: str) -> Message:
    """Returns a copy of `message` that lacks the fields `without`."""
    copy = Message(message.spec)
    copy.values = {k: v for k, v in message.values.items() if k not in without}
    copy.unknown = list(message.unknown)
    return copy


class _Reader:
    """One file: its primitives and functions by name, and every value by name (one name space for the whole file)."""

    def __init__(self, message: Message, external: External) -> None:
        self.message = message
        self.external = external
        self.primitives = _by_name(message.primitives, "primitive")
        self.functions = _by_name(message.functions, "function")
        self.values: dict[str, ir.Value] = {}
        self.literals: dict[str, dict[str, Any]] = {}  # of primitives, decoded once each

    def model(self) -> ir.Model:
        graphs = [self.message.graph, *self.message.functions]
        # a value of one function may be used in another that stands before it, so inputs and weights come first
        heads = [self._head(g) for g in graphs]
        built = [self._graph(g, *head) for g, head in zip(graphs, heads, strict=True)]
        functions = [ir.Function(MINDSPORE, str(g.name), graph=g, attributes=[]) for g in built[1:]]
        header = self.message
        model = ir.Model(built[0], ir_version=10, producer_name=header.get("producer_name"), functions=functions)
        model.producer_version = header.get("producer_version")
        model.metadata_props.update({e.get("key", ""): e.get("value", "") for e in header.user_info})
        model.meta["mindir.header"] = _rest(header, "graph", "functions", "primitives", "user_info")
        model.meta["mindir.primitives"] = list(header.primitives)
        return model

    def _head(self, g: Message) -> tuple[list[ir.Value], list[ir.Value]]:
        parameters = [self._parameter(p) for p in g.parameter]
        inputs = [self._input(info) for info in g.input]
        if g.has("map_parameter"):
            raise Unsupported("the model holds MapTensor parameters, which have no counterpart outside MindSpore")
        self._rename(parameters)
        return inputs, parameters

    def _graph(self, g: Message, inputs: list[ir.Value], parameters: list[ir.Value]) -> ir.Graph:
        nodes: list[ir.Node] = []
        for message in g.node:
            nodes += self._node(message)
        graph = ir.Graph(
            inputs,
            [],
            nodes=nodes,
            initializers=parameters,
            name=g.get("name"),
            opset_imports={MINDSPORE: 1},
        )
        for info in g.output:
            graph.outputs.append(self._value(info.get("name", ""), "the graph's output"))
        graph.meta["mindir.graph"] = _rest(g, "node", "parameter", "input", "output", "name")
        graph.meta["mindir.outputs"] = list(g.output)
        if not g.output:
            raise CorruptFile(f"graph {g.get('name', '')!r} has no output")
        return graph

    def _define(self, name: str, value: ir.Value) -> None:
        if not name:
            raise CorruptFile("a value has no name")
        if name in self.values:
            raise CorruptFile(f"the name {name!r} is given to two values")
        self.values[name] = value

    def _parameter(self, message: Message) -> ir.Value:
        name = message.get("name", "")
        dtype = by_mindir(message.get("data_type", 0))
        if message.has("external_data"):
            where = message.external_data
            raw = self.external(where.get("location", ""), where.get("offset", 0), where.get("length", 0))
        else:
            raw = message.get("raw_data", b"")
        content = content_of(message, dtype, raw)
        value = ir.Value(name=name, shape=ir.Shape(content.shape), type=ir.TensorType(content.dtype))
        value.const_value = content
        value.meta.update({"kind": "tensor", "mindir.name": name, "mindir.tensor": message, "mindir.content": content})
        self._define(name, value)
        return value

    def _rename(self, parameters: Iterable[ir.Value]) -> None:
        """Calls weights as users know them: by `ref_key`, or by what follows the first colon."""
        taken = set(self.values)
        for value in parameters:
            full = str(value.name)
            public = value.meta["mindir.tensor"].get("ref_key") or full.partition(":")[2] or full
            if public not in taken:
                taken.add(public)
                value.name = public

    def _input(self, info: Message) -> ir.Value:
        name = info.get("name", "")
        value = ir.Value(name=name)
        if info.has("tensor"):
            _describe(value, info.tensor[0])
            value.meta["kind"] = "tensor"
        else:
            value.meta["kind"] = "monad" if "onad" in info.get("denotation", "") else "?"
        value.meta["mindir.info"] = info
        value.meta["mindir.type"] = (value.type, value.shape)
        self._define(name, value)
        return value

    def _value(self, name: str, what: str) -> ir.Value:
        value = self.values.get(name)
        if value is None:
            raise CorruptFile(f"{what} {name!r} is not defined before it is used")
        return value

    def _node(self, message: Message) -> list[ir.Node]:
        outputs = message.output
        if len(outputs) != 1:
            raise CorruptFile(f"node {message.get('name', '')!r} has {len(outputs)} outputs; MindIR nodes have one")
        op = message.get("op_type", "")
        if op == "Constant":
            return [self._constant(message)]
        before: list[ir.Node] = []
        inputs = [self._argument(name, before, message) for name in message.input]
        if op.startswith(_REF):
            node = self._called(op[len(_REF) :], inputs, before, message)
        else:
            node = self._plain(op, inputs, message)
        out = node.outputs[0]
        out.name = outputs[0]
        _describe_output(out, message)
        node.name = message.get("domain") or message.get("name") or outputs[0]
        node.meta["mindir.node"] = _rest(message, "input", "output", "op_type")
        self._define(outputs[0], out)
        return [*before, node]

    def _argument(self, name: str, before: list[ir.Node], message: Message) -> ir.Value:
        if name not in self.values and name in self.functions:
            node = constant_node(MINDSPORE, FunctionRef(name))
            before.append(node)
            return node.outputs[0]
        return self._value(name, f"input of node {message.get('name', '')!r}:")

    def _called(self, key: str, inputs: list[ir.Value], before: list[ir.Node], message: Message) -> ir.Node:
        primitive = self.primitives.get(key)
        if primitive is None:
            return ir.Node(MINDSPORE, "Call", [self._argument(key, before, message), *inputs], num_outputs=1)
        attrs = self.literals.get(key)
        if attrs is None:
            attrs = {a.get("name", ""): literal_from(a) for a in primitive.attribute}
            self.literals[key] = attrs
        node = self._made(primitive.get("op_type", ""), inputs, attrs)
        node.meta["mindir.primitive"] = primitive
        node.meta["mindir.attrs"] = attrs
        return node

    def _plain(self, op: str, inputs: list[ir.Value], message: Message) -> ir.Node:
        """A node that names its operator itself and carries its attributes (rare in files of MindSpore 2)."""
        own = [a for a in message.attribute if a.get("name") != "shape"]
        node = self._made(op, inputs, {a.get("name", ""): literal_from(a) for a in own})
        node.meta["mindir.plain"] = True
        return node

    @staticmethod
    def _made(op: str, inputs: list[ir.Value], attrs: dict[str, Any]) -> ir.Node:
        if not op:
            raise CorruptFile("a primitive has no name")
        return ir.Node(MINDSPORE, op, inputs, [attribute(k, v) for k, v in attrs.items()], num_outputs=1)

    def _constant(self, message: Message) -> ir.Node:
        own = [a for a in message.attribute if a.get("name") != "shape"]
        if len(own) != 1:
            raise CorruptFile(f"constant {message.get('name', '')!r} has {len(own)} values, not one")
        try:
            literal = literal_from(own[0])
        except MindportError as exc:
            raise type(exc)(f"constant {message.get('name', '')!r}: {getattr(exc, 'reason', exc)}") from exc
        node = constant_node(MINDSPORE, literal)
        out = node.outputs[0]
        out.name = message.output[0]
        node.name = message.get("name")
        node.meta.update({"mindir.node": _rest(message, "input", "output", "op_type"), "mindir.literal": literal})
        self._define(str(out.name), out)
        return node


def _by_name(messages: Iterable[Message], what: str) -> dict[str, Message]:
    out: dict[str, Message] = {}
    for message in messages:
        name = message.get("name", "")
        if name in out:
            raise CorruptFile(f"the name {name!r} is given to two {what}s")
        out[name] = message
    return out


def _describe(value: ir.Value, tensor: Message) -> None:
    """Sets type and shape from a TensorProto without content; dims [-2] is an unknown rank, -1 an unknown dimension."""
    dtype = by_mindir(tensor.get("data_type", 0))
    if dtype.onnx is not None:
        value.type = ir.TensorType(ir.DataType(dtype.onnx))
    dims = tensor.dims
    if list(dims) != [-2]:
        value.shape = ir.Shape([d if d >= 0 else None for d in dims])


def _describe_output(out: ir.Value, message: Message) -> None:
    """Takes what MindSpore inferred for a node; it is a hint, nothing relies on it."""
    hint = next((a for a in message.attribute if a.get("name") == "shape"), None)
    if hint is None:
        return
    kind = hint.get("type", 0)
    if kind == AttrType.TENSORS and len(hint.tensors) == 1:
        try:
            _describe(out, hint.tensors[0])
        except MindportError:
            return
        out.meta["kind"] = "tensor"
    elif kind in (AttrType.TUPLE, AttrType.LIST):
        out.meta["kind"] = "tuple_any"
    elif kind in (AttrType.UMONAD, AttrType.IOMONAD):
        out.meta["kind"] = "monad"
