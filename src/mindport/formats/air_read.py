"""Bytes of an `.air` file → `onnx_ir.Model` whose nodes have domain ``"ge"``.

`Data` operators become graph inputs, `Const`/`Constant` operators initializers (their content stays a slice of the
mapped file), a `NetOutput` operator the graph outputs, everything else a node. What a graph of `onnx_ir` has no place
for rides in `meta`, so that writing an unchanged model gives the same file:

============================  =================================================================
model.meta[``ge.model``]      the `ModelDef` without its root graph
graph.meta[``ge.graph``]      the root `GraphDef` without operators
graph.meta[``ge.order``]      operator names in file order
node.meta[``ge.inputs``]      input names, aligned with `node.inputs`
node.meta[``ge.outputs``]     output names, aligned with `node.outputs`
node.meta[``ge.control``]     names of the operators that must run before
node/value.meta[``ge.op``]    the `OpDef`, and what it meant when it was read (`signature`)
============================  =================================================================
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mindport.dtypes import by_ge
from mindport.errors import (
    CorruptFile,
    FormatError,
    MissingFile,
    NotAFile,
    TruncatedFile,
    UnsupportedDType,
    printable,
)
from mindport.formats.air_attrs import mapping, to_ir
from mindport.formats.air_signature import data_signature, node_signature, output_signature
from mindport.formats.mapped import map_file
from mindport.wire.schema_ge import MODEL_DEF
from mindport.wire.spec import Message, check_text, decode

__all__ = ["BOOKKEEPING", "CONSTANTS", "parse", "read"]

CONSTANTS = ("Const", "Constant")
# attributes that say which slot has which name; a loader reads and erases them, they are no operator attributes
BOOKKEEPING = ("_input_name_", "_output_name_", "_opt_input", "_ir_", "__dynamic_input_", "__dynamic_output_")
_MAX_RANK = 64


def read(path: str | os.PathLike[str]) -> ir.Model:
    """Returns the model in an `.air` file. Weights are views of the mapped file.

    Raises:
        MissingFile, NotAFile, StorageError: the file cannot be opened.
        TruncatedFile, CorruptFile: it is no sound AIR file; the message names the operator and the path.
    """
    buf = map_file(path)
    try:
        if not len(buf):
            raise TruncatedFile("the file is empty")
        return parse(buf, folder=Path(path).parent)
    except FormatError as exc:
        raise exc.at(path) from None


def parse(buf: memoryview | bytes, *, folder: Path | None = None) -> ir.Model:
    """Returns the model in the bytes of an `.air` file; `folder` is where its external weights lie.

    Raises:
        TruncatedFile, CorruptFile: as for `read`.
    """
    message = decode(MODEL_DEF, memoryview(buf))
    check_text(message)
    graphs = message.graph
    if not graphs:
        raise CorruptFile("the model has no graph")
    graph = _Graph(graphs[0], folder).build()
    message.set("graph", graphs[1:])
    model = ir.Model(graph, ir_version=10, model_version=message.get("version", 0))
    model.meta["ge.model"] = message
    return model


@dataclass
class _Op:
    """One operator of the file with what is needed to link it."""

    message: Message
    name: str
    type: str
    attrs: Mapping[str, Message]
    sources: list[tuple[str, int] | None] = field(default_factory=list)
    control: list[str] = field(default_factory=list)
    values: list[ir.Value] = field(default_factory=list)
    node: ir.Node | None = None


class _Graph:
    """Builds one `onnx_ir.Graph` from a `GraphDef`."""

    def __init__(self, message: Message, folder: Path | None) -> None:
        self.message = message
        self.folder = folder
        self.ops: dict[str, _Op] = {}

    def build(self) -> ir.Graph:
        for message in self.message.op:
            op = _op(message)
            if op.name in self.ops:
                raise CorruptFile(f"two operators are called {printable(op.name)}")
            self.ops[op.name] = op
        self._check_edges()
        sound = self._sorted()
        for op in sound:
            self._make(op)
        inputs = [op.values[0] for op in self._data()]
        finals = [op for op in self.ops.values() if op.type == "NetOutput"]
        outputs = self._outputs(finals)
        nodes = [op.node for op in sound if op.node is not None]
        constants = [op.values[0] for op in self.ops.values() if op.values and op.values[0].const_value is not None]
        graph = ir.Graph(
            inputs,
            outputs,
            nodes=nodes,
            initializers=[v for v in constants if v.producer() is None],
            opset_imports={"ge": 1},
            name=self.message.get("name", ""),
        )
        self._remember(graph, finals)
        return graph

    def _check_edges(self) -> None:
        for op in self.ops.values():
            for source, index in (s for s in op.sources if s is not None):
                producer = self.ops.get(source)
                if producer is None:
                    raise CorruptFile(f"{_label(op)} takes its input from {printable(source)}, which does not exist")
                if index >= len(producer.message.output_desc):
                    raise CorruptFile(
                        f"{_label(op)} takes output {index} of {printable(source)}, "
                        f"which has {len(producer.message.output_desc)}"
                    )
            for name in op.control:
                if name not in self.ops:
                    raise CorruptFile(f"{_label(op)} waits for {printable(name)}, which does not exist")

    def _sorted(self) -> list[_Op]:
        """Returns the operators with producers before consumers. Raises CorruptFile on a cycle."""
        waiting: dict[str, int] = {}
        consumers: dict[str, list[str]] = {name: [] for name in self.ops}
        for op in self.ops.values():
            producers = {s[0] for s in op.sources if s is not None} | set(op.control)
            waiting[op.name] = len(producers)
            for p in producers:
                consumers[p].append(op.name)
        place = {name: i for i, name in enumerate(self.ops)}
        ready = [place[name] for name, n in waiting.items() if n == 0]
        names = list(self.ops)
        order: list[_Op] = []
        while ready:
            name = names[heappop(ready)]  # the first of the file that can come: a sorted file keeps its order
            order.append(self.ops[name])
            for consumer in consumers[name]:
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    heappush(ready, place[consumer])
        if len(order) < len(self.ops):
            stuck = next(name for name, n in waiting.items() if n)
            raise CorruptFile(f"the graph has a cycle; operator {printable(stuck)} is in it or waits for it")
        return order

    def _make(self, op: _Op) -> None:
        if op.type == "Data":
            descs = op.message.output_desc or op.message.input_desc
            if not descs:
                raise CorruptFile(f"{_label(op)} does not describe its tensor")
            op.values = [_value(descs[0], op.name, op)]
            return
        if op.type in CONSTANTS:
            constant = self._constant(op)
            if constant is not None:
                op.values = [constant]
                return
        inputs = [None if s is None else self.ops[s[0]].values[s[1]] for s in op.sources]
        if op.type == "NetOutput":
            return
        descs = op.message.output_desc
        op.values = [_value(d, op.name if i == 0 else f"{op.name}:{i}", op) for i, d in enumerate(descs)]
        attrs = [to_ir(n, m) for n, m in op.attrs.items() if not n.startswith(BOOKKEEPING)]
        op.node = ir.Node("ge", op.type, inputs, attrs, outputs=op.values, name=op.name)
        ins, outs = _slot_names(op)
        op.node.meta["ge.inputs"] = ins
        op.node.meta["ge.outputs"] = outs
        if op.control:
            op.node.meta["ge.control"] = tuple(op.control)

    def _constant(self, op: _Op) -> ir.Value | None:
        """Returns a constant's value, or None when its element type is none of ours (it stays a node then)."""
        tensor = op.attrs["value"].get("t") if "value" in op.attrs else None
        if tensor is None or not tensor.has("desc"):
            raise CorruptFile(f"{_label(op)} has no value")
        if not op.message.output_desc:
            raise CorruptFile(f"{_label(op)} has no output")
        desc = tensor.desc
        try:
            dtype = by_ge(desc.get("dtype", 0))
        except UnsupportedDType:
            return None
        if dtype.onnx is None:
            return None
        shape = _dims(desc, op)
        if any(d < 0 for d in shape):
            raise CorruptFile(f"{_label(op)} has the shape {list(shape)}: a constant must know its own")
        data = tensor.get("data", b"")
        if not len(data) and "location" in op.attrs:
            data = self._external(op)
        expected = math.prod(shape) * dtype.itemsize
        if len(data) != expected:
            raise CorruptFile(
                f"{_label(op)} has {len(data)} bytes where {dtype.name}{list(shape)} needs {expected} bytes"
            )
        array = np.frombuffer(data, dtype=dtype.numpy).reshape(shape)
        onnx_type = ir.DataType(dtype.onnx)
        return ir.Value(
            name=op.name,
            shape=ir.Shape(shape),
            type=ir.TensorType(onnx_type),
            const_value=ir.Tensor(array, dtype=onnx_type, name=op.name),
        )

    def _external(self, op: _Op) -> memoryview:
        """Returns the content of a weight file that lies beside the model."""
        location = bytes(op.attrs["location"].get("s", b"")).decode("utf-8", "replace")
        length = op.attrs["length"].get("i", -1) if "length" in op.attrs else -1
        if self.folder is None:
            raise CorruptFile(f"{_label(op)} has its content in {printable(location)}, which is not at hand")
        root = self.folder.resolve()
        target = (root / location).resolve() if location and "\0" not in location else root
        if Path(location).is_absolute() or root not in target.parents:
            raise CorruptFile(f"{_label(op)} names the weight file {printable(location)}, outside the model's folder")
        try:
            content = map_file(target)
        except (MissingFile, NotAFile) as exc:
            raise CorruptFile(f"{_label(op)} needs the weight file {printable(location)}: {exc}") from exc
        if length not in (-1, len(content)):
            raise CorruptFile(
                f"{_label(op)}: weight file {printable(location)} has {len(content)} bytes, {length} were announced"
            )
        return content

    def _data(self) -> list[_Op]:
        """Returns the inputs in the order of their `index`, if that says anything, else in file order."""
        data = [op for op in self.ops.values() if op.type == "Data"]
        index = [op.attrs["index"].get("i", 0) if "index" in op.attrs else 0 for op in data]
        if sorted(index) == list(range(len(data))):
            return [op for _, op in sorted(zip(index, data, strict=True), key=lambda pair: pair[0])]
        return data

    def _outputs(self, finals: list[_Op]) -> list[ir.Value]:
        texts = self.message.output
        if texts:
            where = "the graph's output list"
            edges = [_edge(text, where) for text in texts]
        else:
            where = "NetOutput"
            edges = [s for op in finals for s in op.sources if s is not None]
        out: list[ir.Value] = []
        for name, index in edges:
            op = self.ops.get(name)
            if op is None or not 0 <= index < len(op.values):
                raise CorruptFile(f"{where} names {printable(name)}:{index}, which does not exist")
            out.append(op.values[index])
        return out

    def _remember(self, graph: ir.Graph, finals: list[_Op]) -> None:
        self.message.set("op", [])
        graph.meta["ge.graph"] = self.message
        graph.meta["ge.order"] = tuple(self.ops)
        graph.meta["ge.final"] = [op.message for op in finals]
        graph.meta["ge.outputs"] = output_signature(graph)
        for position, op in enumerate(self._data()):
            op.values[0].meta["ge.op"] = (op.message, data_signature(op.values[0], position))
        for op in self.ops.values():
            if op.node is not None:
                op.node.meta["ge.op"] = (op.message, node_signature(op.node))
            elif op.type in CONSTANTS and "location" not in op.attrs:  # elsewhere the location would point to nothing
                op.values[0].meta["ge.op"] = (op.message, data_signature(op.values[0], None))


def _op(message: Message) -> _Op:
    name, kind = message.get("name", ""), message.get("type", "")
    if not name:
        raise CorruptFile(f"an operator of type {printable(kind) or 'unknown'} has no name")
    if not kind:
        raise CorruptFile(f"operator {printable(name)} has no type")
    op = _Op(message, name, kind, {})
    op.attrs = mapping(message.attr, _label(op))
    for text in message.input:
        if not text:
            op.sources.append(None)
            continue
        source, index = _edge(text, _label(op))
        if index < 0:
            op.control.append(source)
        else:
            op.sources.append((source, index))
    if len(op.sources) > len(message.input_desc) and op.sources != [None]:
        raise CorruptFile(f"{_label(op)} has {len(op.sources)} inputs and describes {len(message.input_desc)}")
    return op


def _edge(text: str, where: str) -> tuple[str, int]:
    """Splits ``"producer:index"`` at the last colon; index -1 is a control edge."""
    name, colon, index = text.rpartition(":")
    digits = index.removeprefix("-")
    if not colon or not name or not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise CorruptFile(f"{where} has the input {printable(text)}, which is not of the form name:index")
    number = int(index)
    if number < -1:
        raise CorruptFile(f"{where} has the input {printable(text)} with an impossible index")
    return name, number


def _label(op: _Op) -> str:
    return f"operator {printable(op.name)} ({printable(op.type)})"


def _dims(desc: Message, op: _Op) -> tuple[int, ...]:
    dims = tuple(desc.shape.dim) if desc.has("shape") else ()
    if len(dims) > _MAX_RANK:
        raise CorruptFile(f"{_label(op)} has a tensor of {len(dims)} dimensions")
    if math.prod(abs(d) for d in dims if d) >= 1 << 60:  # with a 0 among them it would pass for an empty tensor
        raise CorruptFile(f"{_label(op)} has a tensor of the impossible shape {list(dims)}")
    return dims


def _value(desc: Message, name: str, op: _Op) -> ir.Value:
    """Returns an output value; unknown dimensions (-1) become unnamed ones, unknown rank ([-2]) no shape."""
    dims = _dims(desc, op)
    if dims == (-2,):
        shape = None
    elif any(d < -1 for d in dims):
        raise CorruptFile(f"{_label(op)} has a tensor of shape {list(dims)}")
    else:
        shape = ir.Shape([None if d == -1 else d for d in dims])
    kind = None
    try:
        number = by_ge(desc.get("dtype", 0)).onnx
        kind = None if number is None else ir.TensorType(ir.DataType(number))
    except UnsupportedDType:
        pass  # a type ONNX lacks: the descriptor keeps it
    return ir.Value(name=name, shape=shape, type=kind)


def _slot_names(op: _Op) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns input and output names: from the bookkeeping attributes, else from the descriptors."""
    found: list[tuple[str, ...]] = []
    for side, descs, count in (
        ("input", op.message.input_desc, len(op.sources)),
        ("output", op.message.output_desc, len(op.message.output_desc)),
    ):
        names = [d.get("name", "") for d in descs[:count]]
        names += [""] * (count - len(names))
        keys = op.attrs.get(f"_{side}_name_key")
        slots = op.attrs.get(f"_{side}_name_value")
        if keys is not None and slots is not None and keys.has("list") and slots.has("list"):
            for key, slot in zip(keys.list.s, slots.list.i, strict=False):
                if 0 <= slot < count:
                    names[slot] = bytes(key).decode("utf-8", "replace")
        found.append(tuple(names))
    return found[0], found[1]
