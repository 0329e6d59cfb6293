"""ONNX files (`.onnx`): read with checks that onnx itself does not make, written without copying weights.

A model above protobuf's 2 GB limit is two files: the graph, and ``NAME.onnx.data`` with the weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from mindport.dtypes import by_onnx
from mindport.errors import CorruptFile, FormatError, TruncatedFile, Unsupported
from mindport.formats.mapped import map_file
from mindport.formats.onnx_check import check_model
from mindport.wire.spec import F, Message, Spec, decode, encode
from mindport.wire.writer import Chunk

__all__ = ["SPLIT_BYTES", "files", "read", "write"]

SPLIT_BYTES = (2 << 30) - (64 << 20)  # protobuf allows 2 GiB for everything together
_ALIGN = 4096  # onnxruntime maps external data by page

# just enough of onnx.proto to put weights into a model whose other fields pass through unread
_ENTRY = Spec("StringStringEntryProto", {1: F("key", "string"), 2: F("value", "string")})
_TENSOR = Spec(
    "TensorProto",
    {
        1: F("dims", "int64", many=True, packed=True),
        2: F("data_type", "int32"),
        8: F("name", "string"),
        9: F("raw_data", "bytes"),
        13: F("external_data", "message", many=True, of=lambda: _ENTRY),
        14: F("data_location", "enum"),
    },
)
_GRAPH = Spec("GraphProto", {5: F("initializer", "message", many=True, of=lambda: _TENSOR)})
_MODEL = Spec("ModelProto", {7: F("graph", "message", of=lambda: _GRAPH)})


def read(path: str | os.PathLike[str]) -> ir.Model:
    """Returns the model in an ONNX file; external weights stay in their files until they are touched.

    Raises:
        MissingFile, NotAFile, NoPermission: the file cannot be read.
        FormatError: it is no sound ONNX: bytes, names, tensor sizes or paths that contradict each other.
    """
    source = Path(path)
    view = map_file(source)
    try:
        if len(view) == 0:
            raise TruncatedFile("the file is empty")
        try:
            proto = onnx.ModelProto.FromString(view)
        except Exception as exc:  # protobuf's own error type, which must not be imported here
            raise CorruptFile(f"the file is no ONNX model: {exc}") from exc
        check_model(proto, source.parent)
        return _deserialized(proto, source.parent)
    except FormatError as exc:
        raise exc.at(source) from exc


def _deserialized(proto: onnx.ModelProto, folder: Path) -> ir.Model:
    try:
        model = ir.serde.deserialize_model(proto)
    except Exception as exc:  # onnx_ir has no exception type of its own for what check_model does not know of
        raise CorruptFile(f"the model cannot be understood: {exc}") from exc
    ir.external_data.set_base_dir(model.graph, folder)
    return model


def weights_bytes(model: ir.Model) -> int:
    """Returns the size of all initializers of the main graph together."""
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)


def write(model: ir.Model) -> Iterator[Chunk]:
    """Yields the bytes of an ONNX file; weights pass through as views of where they are.

    Raises:
        Unsupported: the weights exceed `SPLIT_BYTES` (use `files`), or a node is in the operators of another format.
    """
    size = weights_bytes(model)
    if size > SPLIT_BYTES:
        raise Unsupported(
            f"the model has {size} bytes of weights; above {SPLIT_BYTES} an ONNX model consists of two files"
        )
    yield from _encoded(_message(model, [_tensor(v) for v in model.graph.initializers.values()]))


def files(model: ir.Model, stem: str, *, split_bytes: int = SPLIT_BYTES) -> dict[str, Iterator[Chunk]]:
    """Returns what has to be written, by path relative to the target folder; weights before the graph."""
    if weights_bytes(model) <= split_bytes:
        return {f"{stem}.onnx": write(model)}
    location, offset, tensors = f"{stem}.onnx.data", 0, []
    values = list(model.graph.initializers.values())
    for value in values:
        tensor = _tensor(value)
        length = len(tensor.values.pop("raw_data"))
        where = {"location": location, "offset": str(offset), "length": str(length)}
        tensor.set("external_data", [_ENTRY.new(key=k, value=v) for k, v in where.items()])
        tensor.set("data_location", 1)
        tensors.append(tensor)
        offset += length + -length % _ALIGN
    return {location: _data(values), f"{stem}.onnx": _encoded(_message(model, tensors))}


def _encoded(message: Message) -> Iterator[Chunk]:
    """Yields the model with its short fields (versions, operator sets) first, where readers look for them."""
    yield b"".join(message.unknown)
    message.unknown = []
    yield from encode(message)


def _data(values: list[ir.Value]) -> Iterator[Chunk]:
    for value in values:
        raw = _raw(value)
        yield raw
        yield bytes(-len(raw) % _ALIGN)


def _raw(value: ir.Value) -> Any:
    tensor = value.const_value
    if tensor is None:
        raise Unsupported(f"initializer {value.name} has no content")
    dtype = by_onnx(int(tensor.dtype))
    array = np.ascontiguousarray(tensor.numpy())
    if array.dtype != dtype.numpy:
        array = array.astype(dtype.numpy)
    return memoryview(array.reshape(-1).view(np.uint8)) if array.size else b""  # type: ignore[arg-type]


def _tensor(value: ir.Value) -> Message:
    tensor = value.const_value
    if tensor is None:
        raise Unsupported(f"initializer {value.name} has no content")
    if tensor.dtype == ir.DataType.STRING or tensor.dtype.bitwidth < 8:
        # text and packed types: rare and small, onnx's own encoding
        data = ir.serde.serialize_tensor(tensor)
        data.name = str(value.name)
        return decode(_TENSOR, memoryview(data.SerializeToString()))
    dims = [int(d) for d in tensor.shape.numpy()]
    return _TENSOR.new(dims=dims, data_type=int(tensor.dtype), name=value.name, raw_data=_raw(value))


def _message(model: ir.Model, tensors: list[Message]) -> Message:
    """Returns the model's protobuf form with `tensors` as its initializers; everything else is onnx_ir's work."""
    graph = model.graph
    foreign = sorted({n.domain for n in graph} & {"mindspore", "ge"})
    if foreign:
        raise Unsupported(f"the graph is in operators of {foreign[0]!r}, not of ONNX; lift it first")
    kept = dict(graph.initializers)
    graph.initializers.clear()
    try:
        proto = ir.serde.serialize_model(model)
    finally:
        for value in kept.values():
            graph.register_initializer(value)
    message = decode(_MODEL, memoryview(proto.SerializeToString(deterministic=True)))
    message.graph.set("initializer", tensors)
    return message
