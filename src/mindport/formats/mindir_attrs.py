"""MindIR attributes and tensors <-> literals.

A value that stands alone uses the singular field of its type (`i` of INT64), one inside a tuple the plural (`ints`);
MindSpore refuses the other way round. A tensor without `raw_data` is an element type. Whatever this table does not
know stays the message it came as, so that it is written back unchanged.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.literals import Monad, Num, dims_of
from mindport.dtypes import DType, by_mindir, by_onnx
from mindport.errors import CorruptFile, Unsupported, UnsupportedDType
from mindport.wire.schema_mindir import ATTR_TYPES, ATTRIBUTE, TENSOR, AttrType
from mindport.wire.spec import Message

__all__ = ["content_of", "literal_from", "message_for", "shape_of", "tensor_message"]

_KINDS = {kind: (number, one, many) for number, (kind, one, many) in ATTR_TYPES.items()}
_PLAIN: dict[int, tuple[str, str]] = {
    AttrType.INT64: ("i", "ints"),
    AttrType.FLOAT: ("f", "floats"),
    AttrType.BOOL: ("i", "ints"),
    AttrType.STRING: ("s", "strings"),
}


def literal_from(message: Message, *, inside: bool = False) -> Any:
    """Returns the literal an AttributeProto holds; the message itself if it holds none that we know.

    Args:
        message: a decoded AttributeProto.
        inside: the attribute is an element of a tuple or list.

    Raises:
        CorruptFile: a tensor whose content does not fit its shape.
        Unsupported: the encoding of MindSpore 1.x.
    """
    if message.has("ref_attr_name"):
        raise Unsupported(
            "the file is in the encoding of MindSpore 1.x (attributes by reference); "
            "load it in MindSpore and export it again"
        )
    kind = message.get("type", 0)
    if kind in _PLAIN:
        return _plain_from(message, kind, inside)
    if kind in (AttrType.TUPLE, AttrType.LIST):
        items = [literal_from(v, inside=True) for v in message.get("values", [])]
        if message.has("seq_info") or any(isinstance(i, Message) for i in items):
            return message
        return tuple(items) if kind == AttrType.TUPLE else items
    if kind == AttrType.TENSORS:
        tensors = message.tensors
        if len(tensors) != 1:
            return message
        return _tensor_from(tensors[0])
    if kind == AttrType.NONE:
        return None
    if kind in (AttrType.UMONAD, AttrType.IOMONAD):
        return Monad("UMONAD" if kind == AttrType.UMONAD else "IOMONAD")
    if kind in ATTR_TYPES:
        name, one, many = ATTR_TYPES[kind]
        values = message.get(many) if inside else None
        value = values[0] if values else message.get(one)
        return message if value is None else Num(value, name)
    return message


def _plain_from(message: Message, kind: int, inside: bool) -> Any:
    one, many = _PLAIN[kind]
    if inside:
        values = message.get(many, [])
        if len(values) != 1:
            return message
        value = values[0]
    else:
        value = message.get(one)
        if value is None:
            return message if message.has(many) else {"i": 0, "f": 0.0, "s": b""}[one]
    if kind == AttrType.BOOL:
        return bool(value)
    if kind == AttrType.STRING:
        return bytes(value).decode("utf-8", "surrogateescape")
    return value


def _tensor_from(message: Message) -> Any:
    dtype = by_mindir(message.get("data_type", 0))
    if not message.has("raw_data"):
        return message if message.has("dims") else dtype
    return content_of(message, dtype, message.raw_data)


_MAX_RANK = 32  # NumPy 1.x; MindSpore has at most 8


def shape_of(message: Message) -> tuple[int, ...]:
    """Returns a TensorProto's dimensions. Raises CorruptFile for impossible ones."""
    dims = tuple(message.dims)
    # an array without elements may still have dimensions whose product no system can address
    if any(d < 0 for d in dims) or len(dims) > _MAX_RANK or prod(d for d in dims if d) >= 1 << 60:
        raise CorruptFile(f"tensor {message.get('name', '')!r} has the impossible shape {list(dims)}")
    return dims


def content_of(message: Message, dtype: DType, raw: Any) -> ir.Tensor[Any]:
    """Returns a tensor that views `raw`, whose length must be exactly what the shape needs.

    Raises:
        CorruptFile: it is not (MindSpore reads garbage behind a short one).
    """
    dims = shape_of(message)
    if message.get("compression_type", 0):
        raise Unsupported(
            f"tensor {message.get('name', '')!r} is compressed (a MindSpore Lite file); mindport cannot read it"
        )
    needed = prod(dims) * dtype.itemsize
    if len(raw) != needed:
        raise CorruptFile(
            f"tensor {message.get('name', '')!r} of shape {list(dims)} and type {dtype.name} needs {needed} bytes,"
            f" {len(raw)} are there"
        )
    if not dtype.exact or dtype.onnx is None:
        raise UnsupportedDType(
            f"tensor {message.get('name', '')!r} holds {dtype.name}, which no operator computes with"
        )
    array = np.frombuffer(raw, dtype=dtype.numpy).reshape(dims)
    return ir.Tensor(array, name=message.get("name"))


def message_for(name: str | None, value: Any, *, inside: bool = False) -> Message:
    """Returns the AttributeProto for a literal. Raises Unsupported for what MindIR cannot hold."""
    if isinstance(value, Message):
        return value
    message = ATTRIBUTE.new(name=name)
    if isinstance(value, (bool, int, float, str, bytes)):
        _put_plain(message, value, inside)
    elif isinstance(value, (tuple, list)):
        message.set("type", AttrType.TUPLE if isinstance(value, tuple) else AttrType.LIST)
        message.set("values", [message_for(None, v, inside=True) for v in value])
    elif value is None:
        message.set("type", AttrType.NONE)
    elif isinstance(value, Monad):
        message.set("type", AttrType.UMONAD if value.kind == "UMONAD" else AttrType.IOMONAD)
    elif isinstance(value, Num):
        number, one, many = _KINDS[value.kind]
        message.set("type", number)
        message.set(many if inside else one, [value.value] if inside else value.value)
    elif isinstance(value, DType):
        message.set("type", AttrType.TENSORS)
        message.set("tensors", [TENSOR.new(data_type=_number(value))])
    elif isinstance(value, ir.TensorProtocol):
        message.set("type", AttrType.TENSORS)
        message.set("tensors", [tensor_message("value0", value)])
    else:
        raise Unsupported(f"MindIR has no attribute of kind {type(value).__name__}")
    return message


def _put_plain(message: Message, value: Any, inside: bool) -> None:
    if isinstance(value, bool):
        kind, value = AttrType.BOOL, int(value)
    elif isinstance(value, int):
        kind = AttrType.INT64
        if not -(1 << 63) <= value < 1 << 63:
            raise Unsupported(f"the number {value} does not fit into 64 bits")
    elif isinstance(value, float):
        kind = AttrType.FLOAT
    else:
        kind = AttrType.STRING
        value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    one, many = _PLAIN[kind]
    message.set("type", kind)
    message.set(many if inside else one, [value] if inside else value)


def _number(dtype: DType) -> int:
    if dtype.mindir is None:
        raise UnsupportedDType(f"MindIR has no element type {dtype.name}")
    return dtype.mindir


def tensor_message(name: str, value: ir.TensorProtocol, *, content: bool = True) -> Message:
    """Returns the TensorProto for a tensor; its content is a view, not a copy, wherever the tensor allows it."""
    dtype = by_onnx(int(value.dtype))
    message = TENSOR.new(dims=list(dims_of(value)), data_type=_number(dtype), name=name)
    if content:
        message.set("raw_data", _raw(value, dtype))
    return message


def _raw(value: ir.TensorProtocol, dtype: DType) -> Any:
    array = np.ascontiguousarray(value.numpy())
    if array.dtype != dtype.numpy:
        array = array.astype(dtype.numpy)
    return memoryview(array.reshape(-1).view(np.uint8)) if array.size else b""  # type: ignore[arg-type]
