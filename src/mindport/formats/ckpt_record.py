"""One record of a `.ckpt` file: where its parts are, and what its dims and type mean.

Nearly every record is laid out as its writers lay them out; `_usual` reads those quickly. Whatever is unusual goes
through the general reader, which knows all of protobuf's freedom and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from mindport.dtypes import DType, by_ckpt
from mindport.errors import CorruptFile, TruncatedFile, UnsupportedDType, printable
from mindport.formats.ckpt_layout import CHECKSUM_BYTES, CHECKSUM_FIELD, CHECKSUM_KEY, PADDING_KEY
from mindport.wire.reader import FIXED64, LENGTH, VARINT, iter_fields, read_varint, signed

__all__ = ["RECORD_KEY", "Record", "Shape", "bad", "map_parts", "read_record", "shape_of", "shown"]

_MAX_RANK = 32  # NumPy 1.x; MindSpore has at most 8
_MAX_TYPE_BYTES = 32
_MAP_TYPES = {name: np.dtype(name).newbyteorder("<") for name in ("int32", "int64", "float16", "float32", "float64")}
RECORD_KEY = 0x0A  # field 1, length-delimited


class Record(NamedTuple):
    """One record. Positions are bytes from the start of the file."""

    tag: bytes
    kind: str  # the type text; "map" with is_tensor False for a map parameter
    dims: tuple[int, ...]
    check_from: int  # where the part under the checksum begins
    start: int  # of the content
    stop: int
    checksum: int | None
    end: int  # of the record
    is_tensor: bool


class Shape(NamedTuple):
    """What dims and type mean: element type (None for text), shape and content size in bytes (-1: any, for text)."""

    dtype: DType | None
    shape: tuple[int, ...]
    nbytes: int


def bad(message: str, at: int) -> CorruptFile:
    """Returns the error for a contradiction at byte `at`."""
    return CorruptFile(message, offset=at)


_HEAD_BYTES = 320  # holds the header of every record whose name is not very long
_DIM, _TYPE, _CONTENT = 0x08, 0x12, 0x1A  # keys of TensorProto's fields 1 to 3
_TAG, _TENSOR = 0x0A, 0x12  # keys of Value's fields 1 and 2


def _longer(head: bytes, i: int, value: int) -> tuple[int, int]:
    """Returns `(value, next position)` of a varint whose first byte, before `i`, was `value` (128 or more)."""
    value &= 0x7F
    for shift in (7, 14, 21, 28, 35, 42, 49):
        byte = head[i]
        i += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, i
    raise IndexError


def _usual(buf: memoryview, pos: int, end: int) -> Record | None:
    """Returns the tensor record at `pos` if its fields stand as mindport and MindSpore write them, else None."""
    head = bytes(buf[pos : pos + _HEAD_BYTES])
    try:
        length, i = head[1], 2
        if length > 0x7F:
            length, i = _longer(head, i, length)
        check_from, stop = pos + i, pos + i + length
        size = head[i + 1]
        if head[i] != _TAG or size > 0x7F or stop > end:
            return None
        tag = head[i + 2 : i + 2 + size]
        i += 2 + size
        length, key = head[i + 1], head[i]
        i += 2
        if length > 0x7F:
            length, i = _longer(head, i, length)
        if key != _TENSOR or pos + i + length != stop:
            return None
        dims = []
        while head[i] == _DIM:
            dim = head[i + 1]
            i += 2
            if dim > 0x7F:
                dim, i = _longer(head, i, dim)
            dims.append(dim)
        size = head[i + 1]
        if head[i] != _TYPE or size > _MAX_TYPE_BYTES or len(dims) > _MAX_RANK:
            return None
        kind = head[i + 2 : i + 2 + size].decode("ascii")
        i += 2 + size
        if head[i : i + 2] == PADDING_KEY and head[i + 2] < 0x80:
            i += 3 + head[i + 2]
        length, key = head[i + 1], head[i]
        i += 2
        if length > 0x7F:
            length, i = _longer(head, i, length)
    except (IndexError, UnicodeDecodeError):
        return None
    start = pos + i
    after = start + length
    if key != _CONTENT:
        return None
    if after == stop:
        return Record(tag, kind, tuple(dims), check_from, start, after, None, stop, True)
    if after + CHECKSUM_BYTES != stop or buf[after : after + 2] != CHECKSUM_KEY:
        return None
    checksum = int.from_bytes(buf[after + 2 : stop], "little")
    return Record(tag, kind, tuple(dims), check_from, start, after, checksum, stop, True)


def read_record(buf: memoryview, pos: int, end: int) -> Record:
    """Returns the record that begins at `pos` (its key is known to be right).

    Raises:
        TruncatedFile, CorruptFile: the bytes are no such record.
    """
    return _usual(buf, pos, end) or _general(buf, pos, end)


def _general(buf: memoryview, pos: int, end: int) -> Record:
    length, start = read_varint(buf, pos + 1, end)
    stop = start + length
    if stop > end:
        raise TruncatedFile(f"a record announces {length} bytes, {end - start} are left", offset=pos)
    tag = value = None
    is_map = False
    for number, wire, at, field_at, after in iter_fields(buf, start, stop):
        if number > 3:
            continue  # a later version's field
        if wire != LENGTH:
            raise bad(f"field {number} of a record has wire type {wire}", field_at)
        if number == 1:
            if tag is not None:
                raise bad("a record has two names", field_at)
            tag = bytes(buf[at:after])
        else:
            if value is not None:
                raise bad("a record has two values", field_at)
            value, is_map = (at, after), number == 3
    if tag is None or value is None:
        raise bad("a record lacks its name or its value", pos)
    if is_map:
        return Record(tag, "map", (), start, value[0], value[1], None, stop, False)
    return _tensor(buf, tag, value, start, stop)


def _tensor(buf: memoryview, tag: bytes, value: tuple[int, int], start: int, stop: int) -> Record:
    kind: bytes | None = None
    dims: list[int] = []
    content: tuple[int, int] | None = None
    checksum = None
    for number, wire, at, field_at, after in iter_fields(buf, *value):
        if number == 1 and wire == VARINT:
            dims.append(signed(at))
        elif number == 1 and wire == LENGTH:  # packed: parsers accept both
            dims += islice(_packed(buf, at, after), _MAX_RANK + 1)
        elif number == 2 and wire == LENGTH and kind is None:
            if after - at > _MAX_TYPE_BYTES:
                raise bad(f"tensor {shown(tag)} has an unknown type", field_at)
            kind = bytes(buf[at:after])
        elif number == 3 and wire == LENGTH and content is None:
            content = (at, after)
        elif number == CHECKSUM_FIELD and wire == FIXED64 and checksum is None:
            checksum = int.from_bytes(buf[at:after], "little")
        elif number <= 3 or number == CHECKSUM_FIELD:
            raise bad(f"field {number} of tensor {shown(tag)} is doubled or of wire type {wire}", field_at)
        if len(dims) > _MAX_RANK:
            raise bad(f"tensor {shown(tag)} has more than {_MAX_RANK} dimensions", field_at)
    if kind is None or content is None:
        raise bad(f"tensor {shown(tag)} lacks its type or its content", start)
    text = kind.decode("ascii", "backslashreplace")
    return Record(tag, text, tuple(dims), start, content[0], content[1], checksum, stop, True)


def _packed(buf: memoryview, pos: int, stop: int) -> Iterator[int]:
    while pos < stop:
        value, pos = read_varint(buf, pos, stop)
        yield signed(value)


def shown(tag: bytes) -> str:
    """Returns a tag as it appears in messages."""
    return repr(printable(tag[:1000].decode("utf-8", "backslashreplace")))


@lru_cache(1024)
def _dtype(kind: str) -> DType | None:
    """Returns the element type spelled `kind`, None for an unknown one."""
    try:
        return by_ckpt(kind)
    except UnsupportedDType:
        return None


def shape_of(record: Record) -> Shape:
    """Returns what the record's dims and type mean (of a sliced tensor: the first record's).

    Raises:
        CorruptFile: unknown type, negative or impossible dims.
    """
    if record.kind == "str":
        return Shape(None, (), -1)
    dtype = _dtype(record.kind)
    if dtype is None:
        raise bad(f"tensor {shown(record.tag)} has the unknown type {printable(record.kind)!r}", record.check_from)
    size = dtype.numpy.itemsize
    if record.dims == (0,) and record.stop - record.start == size:
        return Shape(dtype, (), size)  # MindSpore 1.0 wrote scalars so
    return Shape(dtype, record.dims, checked_bytes(record, size))


def checked_bytes(record: Record, itemsize: int) -> int:
    """Returns dims times `itemsize`. Raises CorruptFile if the dims are negative or beyond 64 bits."""
    dims, at = record.dims, record.check_from
    nbytes = bound = itemsize
    for dim in dims:
        if dim < 0:
            raise bad(f"tensor {shown(record.tag)} has the negative dimension {dim}", at)
        nbytes *= dim
        bound *= dim or 1  # NumPy refuses (2**62, 2**62, 0) too
    if bound >= 1 << 63:
        raise bad(f"tensor {shown(record.tag)} has impossible dimensions {list(dims)}", at)
    return nbytes


def map_parts(buf: memoryview, record: Record) -> list[np.ndarray[Any, Any]]:
    """Returns keys, values and status of a map parameter's record, as views.

    Raises:
        TruncatedFile, CorruptFile: it is no such record.
    """
    parts: list[np.ndarray[Any, Any]] = []
    for number, wire, at, field_at, after in iter_fields(buf, record.start, record.stop):
        if (number, wire) != (1, LENGTH):
            raise bad(f"field {number} does not belong into map parameter {shown(record.tag)}", field_at)
        part = _tensor(buf, record.tag, (at, after), at, after)
        dtype = _MAP_TYPES.get(part.kind)
        if dtype is None:
            raise bad(f"map parameter {shown(record.tag)} has the unknown type {printable(part.kind)!r}", at)
        size, wanted = part.stop - part.start, checked_bytes(part, dtype.itemsize)
        if size != wanted:
            raise bad(f"map parameter {shown(record.tag)} holds {size} bytes, its shape needs {wanted}", at)
        parts.append(np.frombuffer(buf[part.start : part.stop], dtype).reshape(part.dims))
    if len(parts) != 3:
        raise bad(f"map parameter {shown(record.tag)} has {len(parts)} parts instead of 3", record.start)
    return parts
