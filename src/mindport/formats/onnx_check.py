"""What an ONNX file must not say: checks made before anything is built from it.

onnx's own checker asks for more (schemas, types) and for less (it believes sizes); these are about safety and sense.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import onnx

from mindport.errors import CorruptFile, MissingFile, NotAFile, TruncatedFile, printable

__all__ = ["check_model"]

MAX_DEPTH = 16  # graphs inside nodes inside graphs …

_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip


def check_model(proto: onnx.ModelProto, folder: Path) -> None:
    """Checks names, order, tensor sizes and external files of a model.

    Raises:
        CorruptFile, TruncatedFile: the first contradiction found.
        MissingFile, NotAFile: an external data file is not there.
    """
    _texts(proto)
    if not proto.HasField("graph"):
        raise CorruptFile("the model holds no graph")
    if proto.graph.node and not proto.opset_import:
        raise CorruptFile("the model imports no operator set")
    _graph(proto.graph, set(), folder, 0)
    for function in proto.functions:
        _nodes(function.node, set(function.input), folder, 0, f"function {function.name!r}")


def _texts(message: Any) -> None:
    """Refuses text that is no UTF-8: protobuf does not check it, and hands it out as bytes."""
    for field, repeated, text in _readable(message.DESCRIPTOR):
        if text:
            value = getattr(message, field)
            for item in value if repeated else (value,):
                if not isinstance(item, str):
                    raise CorruptFile(f"{message.DESCRIPTOR.name}.{field} {printable(item)!r} is not UTF-8 text")
        elif repeated:
            for part in getattr(message, field):
                _texts(part)
        elif message.HasField(field):
            _texts(getattr(message, field))


@cache
def _readable(descriptor: Any) -> tuple[tuple[str, bool, bool], ...]:
    """Returns name, repeated, text of the fields that are or hold text; content of tensors is not touched."""
    return tuple(
        (f.name, f.is_repeated, f.type == f.TYPE_STRING)
        for f in descriptor.fields
        if f.type in (f.TYPE_STRING, f.TYPE_MESSAGE)
    )


def _graph(graph: onnx.GraphProto, outer: set[str], folder: Path, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CorruptFile(f"graphs are nested deeper than {MAX_DEPTH}")
    known = set(outer)
    inputs = _once((v.name for v in graph.input), "graph input")
    initializers = _once((t.name for t in graph.initializer), "initializer")
    for tensor in graph.initializer:
        _tensor(tensor, folder)
    known |= inputs | initializers | {t.values.name for t in graph.sparse_initializer}
    known = _nodes(graph.node, known, folder, depth, f"graph {graph.name!r}")
    for output in graph.output:
        if output.name not in known:
            raise CorruptFile(f"output {printable(output.name)!r} is made by no node")


def _once(names: Iterable[str], what: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CorruptFile(f"{what} {printable(name)!r} occurs twice")
        seen.add(name)
    return seen


def _nodes(nodes: Iterable[onnx.NodeProto], known: set[str], folder: Path, depth: int, where: str) -> set[str]:
    """Returns all names known after the nodes. Nodes out of order, and so cycles, are refused."""
    known = set(known)
    made: set[str] = set()
    for node in nodes:
        label = printable(node.name or node.op_type)
        for name in node.input:
            if name and name not in known:
                raise CorruptFile(
                    f"{where}: node {label!r} uses {printable(name)!r} before it is made (or it is in a cycle)"
                )
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.UNDEFINED:
                raise CorruptFile(
                    f"{where}: attribute {printable(attribute.name)!r} of node {label!r} has no known type"
                )
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _graph(graph, known, folder, depth + 1)
            for tensor in (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors):
                _tensor(tensor, folder)
        for name in node.output:
            if name and name in made:
                raise CorruptFile(f"{where}: two nodes make {printable(name)!r}")
            if name:
                made.add(name)
                known.add(name)
    return known


def _tensor(tensor: onnx.TensorProto, folder: Path) -> None:
    name = printable(tensor.name) or "tensor"
    if any(d < 0 for d in tensor.dims):
        raise CorruptFile(f"{name!r} has the impossible shape {list(tensor.dims)}")
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise CorruptFile(f"{name!r} has the unknown element type {tensor.data_type}")
    count = prod(tensor.dims)
    needed = -(-count * bits // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _external(tensor, needed, folder)
    elif tensor.HasField("raw_data"):
        if len(tensor.raw_data) != needed:
            raise CorruptFile(
                f"{name!r} of shape {list(tensor.dims)} needs {needed} bytes, {len(tensor.raw_data)} are there"
            )
    else:
        _typed(tensor, count, bits, name)


def _typed(tensor: onnx.TensorProto, count: int, bits: int, name: str) -> None:
    """Numbers stored in one of the typed fields: there have to be as many as the shape says."""
    stored = max(
        len(tensor.float_data),
        len(tensor.int32_data),
        len(tensor.int64_data),
        len(tensor.double_data),
        len(tensor.uint64_data),
    )
    wanted = {count}
    if tensor.data_type in (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
        wanted = {2 * count}
    elif bits < 8:  # packed, several in one int32
        wanted = {count, -(-count * bits // 8)}
    if stored not in wanted:
        raise CorruptFile(f"{name!r} of shape {list(tensor.dims)} needs {count} elements, {stored} are there")


def _external(tensor: onnx.TensorProto, needed: int, folder: Path) -> None:
    entries = {e.key: e.value for e in tensor.external_data}
    name, location = printable(tensor.name), entries.get("location", "")
    pure = PurePosixPath(location)
    if not location or pure.is_absolute() or ".." in pure.parts or "\\" in location or "\0" in location:
        raise CorruptFile(f"{name!r} is stored in {printable(location)!r}, which is not inside the model's own folder")
    path = folder.joinpath(*pure.parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CorruptFile(f"{name!r} is stored in {printable(location)!r}, a link out of the model's folder")
    if not path.exists():
        raise MissingFile(f"the data file {printable(location)!r} that belongs to the model is missing", path=path)
    if not path.is_file():
        raise NotAFile(f"the data file {printable(location)!r} is not a regular file", path=path)
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", needed))
    except ValueError as exc:
        raise CorruptFile(f"{name!r}: offset or length of its content is no number") from exc
    if length != needed:
        raise CorruptFile(f"{name!r} of shape {list(tensor.dims)} needs {needed} bytes, {length} are announced")
    size = path.stat().st_size
    if offset < 0 or offset + length > size:
        raise TruncatedFile(f"{name!r} lies at byte {offset} of {printable(location)!r}, which has {size} bytes")
