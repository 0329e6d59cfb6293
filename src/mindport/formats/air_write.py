"""`onnx_ir.Model` of domain ``"ge"`` → the bytes of an `.air` file.

The writer profile is the part of the format that every CANN release reads (see ``docs/formats/air.md``): no fields
added after the first public release, `_input_name_*`/`_output_name_*` on every operator, `val_type` on every list,
`origin_shape` and `origin_format` on every descriptor, no `_ir_*` attributes. Operators that came from a file and were
not changed are written back as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dtypes import by_onnx
from mindport.errors import Unsupported, UnsupportedDType, UsageError, printable
from mindport.formats.air_attrs import KIND, attr_message, entry, list_of
from mindport.formats.air_read import CONSTANTS
from mindport.formats.air_signature import data_signature, node_signature, output_signature
from mindport.wire.schema_ge import ATTR_DEF, GRAPH_DEF, MODEL_DEF, OP_DEF, SHAPE_DEF, TENSOR_DEF, TENSOR_DESCRIPTOR
from mindport.wire.spec import Message, encode
from mindport.wire.writer import Chunk, total

__all__ = ["LIMIT_BYTES", "SPLIT_BYTES", "files", "to_message", "write"]

LIMIT_BYTES = (1 << 31) - 1  # protobuf parsers refuse longer messages
SPLIT_BYTES = LIMIT_BYTES - (200 << 20)  # leaves room for everything that is no weight
OUTSIDE_BYTES = 1 << 16  # smaller weights stay in the file

# operators on images that have no data_format attribute and still want their 4-D tensors marked as NCHW
_IMAGE_OPS = frozenset(
    ("Resize", "ResizeBilinearV2", "ResizeNearestNeighborV2", "ResizeBicubic", "ROIAlign", "GridSampler2D")
)
_LAYOUTS = ("NCHW", "NHWC", "NCDHW", "NDHWC")


def write(model: ir.Model) -> Iterator[Chunk]:
    """Returns the file's bytes in pieces; weights are not copied.

    Raises (before the first piece):
        UnsupportedDType: a tensor's element type has no GE number.
        Unsupported: the file would be longer than protobuf allows (2 GiB); `files` can write such a model.
        UsageError: the graph holds nodes of other dialects, or nodes that no `GeEmit` or reader made.
    """
    return _chunks(to_message(model))


def _chunks(message: Message) -> Iterator[Chunk]:
    chunks = encode(message)
    size = total(chunks)
    if size > LIMIT_BYTES:
        raise Unsupported(f"the AIR file would have {size} bytes; protobuf readers stop at {LIMIT_BYTES}")
    return iter(chunks)


def files(model: ir.Model, stem: str, *, split_bytes: int = SPLIT_BYTES) -> dict[str, Iterator[Chunk]]:
    """Returns the pieces of every file of a model called `stem`, the `.air` file last.

    Above `split_bytes` of weights, those of `OUTSIDE_BYTES` and more lie in files of their own in the folder
    ``<stem>_weights``; constants name them by `location` (a path relative to the `.air` file) and `length`.

    Raises:
        as `write`.
    """
    inside = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
    if inside <= split_bytes:
        return {f"{stem}.air": write(model)}
    outside: dict[str, Chunk] = {}
    message = to_message(model)
    graph = message.graph[0]
    graph.set("op", [_moved_out(op, f"{stem}_weights", outside) for op in graph.op])
    pieces: dict[str, Iterator[Chunk]] = {name: iter([content]) for name, content in outside.items()}
    return {**pieces, f"{stem}.air": _chunks(message)}


def _moved_out(op: Message, folder: str, outside: dict[str, Chunk]) -> Message:
    """Returns the operator without its content, if it is a large constant; the content goes to `outside`."""
    attrs = {e.get("key", ""): e.get("value") for e in op.attr}
    if op.get("type") not in CONSTANTS or "value" not in attrs or not attrs["value"].has("t"):
        return op
    tensor = attrs["value"].t
    content = tensor.get("data", b"")
    if len(content) < OUTSIDE_BYTES:
        return op
    location = f"{folder}/{len(outside):05}.bin"
    outside[location] = content
    attrs["value"] = ATTR_DEF.new(t=TENSOR_DEF.new(desc=tensor.desc))
    attrs["location"] = ATTR_DEF.new(s=location.encode())
    attrs["length"] = ATTR_DEF.new(i=len(content))
    copy = OP_DEF.new()  # the operator may be one that the model keeps for writing it unchanged
    copy.values.update(op.values)
    copy.unknown.extend(op.unknown)
    copy.set("attr", [entry(name, attrs[name]) for name in sorted(attrs)])
    return copy


def to_message(model: ir.Model) -> Message:
    """Returns the model as a `ModelDef`. Raises as `write` does, the size aside."""
    kept: Message | None = model.meta.get("ge.model")
    message = MODEL_DEF.new()
    if kept is not None:
        message.values.update(kept.values)
        message.unknown.extend(kept.unknown)
    elif model.graph.name:
        message.set("name", model.graph.name)
    message.set("graph", [_Writer(model.graph).graph(), *(kept.graph if kept is not None else ())])
    return message


class _Writer:
    """One run: a name for every operator, a layout for every value."""

    def __init__(self, graph: ir.Graph) -> None:
        self.source = graph
        self.names: dict[ir.Value | ir.Node, str] = {}
        self.layouts: dict[ir.Value, str] = {}
        self.inputs = set(graph.inputs)
        self.constants = [v for v in graph.initializers.values() if v not in self.inputs]

    def graph(self) -> Message:
        self._name_all()
        self._find_layouts()
        ops = [self._data(value, i) for i, value in enumerate(self.source.inputs)]
        ops += [self._initializer(value) for value in self.constants]
        ops += [self._node(node) for node in self.source]
        edges = [self._edge(v) for v in self.source.outputs]
        kept: Message | None = self.source.meta.get("ge.graph")
        if kept is None:
            names = [f"{self.names[v]}:0" for v in self.source.inputs]
            return GRAPH_DEF.new(name=self.source.name or "graph", input=names, output=edges, op=ops)
        message = GRAPH_DEF.new()
        message.values.update(kept.values)
        message.unknown.extend(kept.unknown)
        if self.source.meta["ge.outputs"] == output_signature(self.source):
            ops += self.source.meta["ge.final"]
        else:
            message.set("input", [f"{self.names[v]}:0" for v in self.source.inputs])
            message.set("output", edges)
        order = {name: i for i, name in enumerate(self.source.meta["ge.order"])}
        ops.sort(key=lambda op: order.get(op.name, len(order)))  # stable: new operators come last
        message.set("op", ops)
        return message

    def _name_all(self) -> None:
        """Gives every operator a name of its own: its own, or the name of what it computes."""
        used: set[str] = set()

        def take(thing: ir.Value | ir.Node, wanted: str) -> None:
            name, count = wanted, 0
            while name in used:
                count += 1
                name = f"{wanted}_{count}"
            used.add(name)
            self.names[thing] = name

        for value in [*self.source.inputs, *self.constants]:
            take(value, str(value.name))
        results = {v.producer(): str(v.name) for v in reversed(self.source.outputs) if v.producer() is not None}
        for node, name in results.items():  # AIR has no value names: the operator of an output is called like it
            assert node is not None
            take(node, str(node.name) if "ge.op" in node.meta else name)
        kept = [node for node in self.source if "ge.op" in node.meta]  # they are known by name to messages we keep
        for node in [*kept, *self.source]:
            if node not in self.names:
                take(node, node.name or (node.outputs[0].name if node.outputs else None) or node.op_type)

    def _find_layouts(self) -> None:
        for node in self.source:
            given = node.attributes.get("data_format")
            layout = given.value if given is not None and given.value in _LAYOUTS else ""
            if not layout and node.op_type in _IMAGE_OPS:
                layout = "NCHW"
            if layout:
                for value in (*node.inputs, *node.outputs):
                    if value is not None and value.shape is not None and len(value.shape) == len(layout):
                        self.layouts.setdefault(value, layout)

    def _edge(self, value: ir.Value | None) -> str:
        if value is None:
            return ""
        producer = value.producer()
        name = self.names.get(value if producer is None else producer)
        if name is None:
            raise UsageError(f"{value.name} is used, but the graph neither makes nor takes it")
        return f"{name}:{value.index() or 0}"

    def _desc(self, value: ir.Value, name: str) -> Message:
        number = 0
        if value.dtype is not None:
            dtype = by_onnx(int(value.dtype))
            if dtype.ge is None:
                raise UnsupportedDType(f"{value.name}: AIR has no element type {dtype.name}")
            number = dtype.ge
        dims = [-2] if value.shape is None else [d if isinstance(d, int) else -1 for d in value.shape]
        layout = self.layouts.get(value, "ND")
        return TENSOR_DESCRIPTOR.new(
            name=name,
            dtype=number or None,
            shape=SHAPE_DEF.new(dim=dims),
            layout=layout,
            attr=[
                entry("origin_format", ATTR_DEF.new(s=layout.encode())),
                entry("origin_shape", list_of("i", dims)),
            ],
        )

    def _data(self, value: ir.Value, position: int) -> Message:
        kept = _unchanged(value.meta.get("ge.op"), lambda: data_signature(value, position))
        if kept is not None:
            return kept
        attrs = {"index": ATTR_DEF.new(i=position)}
        op = OP_DEF.new(name=self.names[value], type="Data", input=[""])
        op.set("input_desc", [self._desc(value, "x")])
        op.set("output_desc", [self._desc(value, "y")])
        op.set("attr", _entries(attrs, ["x"], ["y"], ()))
        return op

    def _initializer(self, value: ir.Value) -> Message:
        kept = _unchanged(value.meta.get("ge.op"), lambda: data_signature(value, None))
        if kept is not None:
            return kept
        if value.const_value is None:
            raise UsageError(f"initializer {value.name} has no content")
        return self._const(self.names[value], value, value.const_value)

    def _const(self, name: str, value: ir.Value, tensor: ir.TensorProtocol) -> Message:
        typed = ir.Value(name=name, shape=ir.Shape(tuple(tensor.shape.numpy())), type=ir.TensorType(tensor.dtype))
        if value in self.layouts:
            self.layouts[typed] = self.layouts[value]
        desc = self._desc(typed, "y")
        attrs = {"value": ATTR_DEF.new(t=TENSOR_DEF.new(desc=desc, data=_content(tensor)))}
        return OP_DEF.new(name=name, type="Const", output_desc=[desc], attr=_entries(attrs, [], ["y"], ()))

    def _node(self, node: ir.Node) -> Message:
        if node.domain != "ge":
            raise UsageError(
                f"node {printable(str(node.name))} is {node.domain or 'ONNX'}.{node.op_type}, not a GE operator"
            )
        kept = _unchanged(node.meta.get("ge.op"), lambda: node_signature(node))
        if kept is not None:
            return kept
        if node.op_type in CONSTANTS and isinstance(tensor := node.attributes["value"].value, ir.TensorProtocol):
            return self._const(self.names[node], node.outputs[0], tensor)
        names_in, names_out = node.meta.get("ge.inputs"), node.meta.get("ge.outputs")
        if names_in is None or names_out is None or len(names_in) != len(node.inputs):
            raise UsageError(
                f"node {printable(str(node.name))} ({node.op_type}) does not say what its inputs are called"
            )
        # an optional input that is not fed is left out; names, not positions, tell the loader which ones are there
        fed = [(name, v) for name, v in zip(names_in, node.inputs, strict=True) if v is not None]
        op = OP_DEF.new(name=self.names[node], type=node.op_type)
        op.set("input", [self._edge(v) for _, v in fed] + [f"{name}:-1" for name in node.meta.get("ge.control", ())])
        op.set("input_desc", [self._desc(v, name) for name, v in fed])
        op.set("output_desc", [self._desc(v, name) for name, v in zip(names_out, node.outputs, strict=True)])
        attrs = {a.name: _message(node, a) for a in node.attributes.values()}
        for name, count in sorted(node.meta.get("ge.counts", {}).items()):
            attrs[name] = ATTR_DEF.new(i=count)
        optional = [n for n in node.meta.get("ge.optional", ()) if n in {name for name, _ in fed}]
        op.set("attr", _entries(attrs, [name for name, _ in fed], list(names_out), optional))
        return op


def _message(node: ir.Node, attr: ir.Attr) -> Message:
    try:
        return attr_message(attr.value, attr.meta.get(KIND))
    except TypeError as exc:
        raise UsageError(f"node {printable(str(node.name))}: attribute {attr.name}: {exc}") from None


def _unchanged(remembered: tuple[Message, Any] | None, now: Any) -> Message | None:
    """Returns the `OpDef` a part of the graph came from if it still means the same."""
    return remembered[0] if remembered is not None and remembered[1] == now() else None


def _entries(attrs: dict[str, Message], ins: list[str], outs: list[str], optional: Any) -> list[Message]:
    """Returns the attribute map, sorted by name, with the slot names a loader needs."""
    every = dict(attrs)
    for side, names in (("input", ins), ("output", outs)):
        if names:
            every[f"_{side}_name_key"] = list_of("s", names)
            every[f"_{side}_name_value"] = list_of("i", range(len(names)))
    if optional:
        every["_opt_input"] = list_of("s", optional)
    return [entry(name, every[name]) for name in sorted(every)]


def _content(tensor: ir.TensorProtocol) -> Chunk:
    """Returns the tensor's little-endian C-order bytes; a view of its memory where possible."""
    array = tensor.numpy()
    dtype = by_onnx(int(tensor.dtype))
    if array.dtype.byteorder == ">" or not array.flags.c_contiguous or array.dtype.itemsize != dtype.itemsize:
        array = np.ascontiguousarray(array, dtype=dtype.numpy)
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # ndarray is a buffer
