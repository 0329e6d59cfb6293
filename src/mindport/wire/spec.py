"""Field tables -> messages. A message keeps the fields it does not know, so read → write loses nothing.

A `Spec` lists fields as data::

    TENSOR = Spec("TensorProto", {1: F("dims", "int64", many=True), 9: F("raw_data", "bytes")})
    m = decode(TENSOR, memoryview(data))
    m.dims, m.get("raw_data", b""), m.has("raw_data")
    chunks = encode(m)

Kinds: int32 int64 uint32 uint64 bool enum (varints) · float double fixed32 fixed64 · string bytes · message · map.
`bytes` content stays a memoryview of the source buffer, whatever its size. A map is kept as its entries
(messages with `key` and `value`), in file order. Presence is remembered: a field is written if it was set,
also when it equals the default.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mindport.errors import CorruptFile, printable
from mindport.wire.reader import FIXED32, FIXED64, LENGTH, VARINT, iter_fields, read_varint, signed
from mindport.wire.writer import Chunk, key, total, varint

MAX_DEPTH = 100  # protobuf's own nesting limit

_VARINT_KINDS = {"int32", "int64", "uint32", "uint64", "bool", "enum"}
_FIXED = {"float": ("<f", FIXED32), "double": ("<d", FIXED64), "fixed32": ("<I", FIXED32), "fixed64": ("<Q", FIXED64)}


@dataclass(frozen=True)
class F:
    """One field: its name, kind, whether it repeats, whether numbers are packed, and its message type.

    `of` is a function so that messages may contain themselves.
    """

    name: str
    kind: str
    many: bool = False
    packed: bool = False
    of: Callable[[], Spec] | None = None


@dataclass(frozen=True)
class Spec:
    """A message type: name and fields by number."""

    name: str
    fields: dict[int, F]
    numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {f.name: n for n, f in self.fields.items()})

    def new(self, **values: Any) -> Message:
        """Returns a message with the given fields set (None values are left unset)."""
        message = Message(self)
        for name, value in values.items():
            if value is not None:
                message.set(name, value)
        return message


class Message:
    """One message: set fields by name, unknown fields as raw bytes."""

    __slots__ = ("spec", "unknown", "values")

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.values: dict[str, Any] = {}
        self.unknown: list[bytes] = []

    def has(self, name: str) -> bool:
        """True if the field was present (for repeated fields: has at least one entry)."""
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the field's value, or `default` when absent."""
        return self.values.get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Sets the field called `name`; an empty list unsets a repeated field."""
        f = self.spec.fields[self.spec.numbers[name]]
        if f.many:
            value = list(value)
            if not value:
                self.values.pop(name, None)
                return
        self.values[name] = value

    def add(self, name: str, value: Any) -> Any:
        """Appends to a repeated field and returns the value."""
        self.values.setdefault(name, []).append(value)
        return value

    def __getattr__(self, name: str) -> Any:
        """A present field's value; for an absent one: [] if repeated, else None."""
        number = self.spec.numbers.get(name)
        if number is None:
            raise AttributeError(f"{self.spec.name} has no field {name}")
        if name in self.values:
            return self.values[name]
        return [] if self.spec.fields[number].many else None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Message)
            and self.spec.name == other.spec.name
            and self.values == other.values
            and sorted(self.unknown) == sorted(other.unknown)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.spec.name}({', '.join(f'{k}={_short(v)}' for k, v in self.values.items())})"


def _short(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)) and len(value) > 32:
        return f"<{len(value)} bytes>"
    return repr(value)


def decode(spec: Spec, buf: memoryview, start: int = 0, end: int | None = None, *, depth: int = 0) -> Message:
    """Returns the message in `buf[start:end]`.

    Later scalar values replace earlier ones, and repeated occurrences of one sub-message are merged, as protobuf
    prescribes. Offsets in errors count from the start of `buf`.

    Raises:
        TruncatedFile, CorruptFile: the bytes are not such a message.
    """
    if depth > MAX_DEPTH:
        raise CorruptFile(f"messages are nested deeper than {MAX_DEPTH}", offset=start)
    stop_at = len(buf) if end is None else end
    message = Message(spec)
    values, fields = message.values, spec.fields
    for number, wire, value, at, stop in iter_fields(buf, start, stop_at):
        f = fields.get(number)
        if f is None:
            message.unknown.append(bytes(buf[at:stop]))
            continue
        if f.many:
            into = values.get(f.name)
            if into is None:
                into = values[f.name] = []
            if wire == LENGTH and (f.kind in _VARINT_KINDS or f.kind in _FIXED):
                into.extend(_unpack(f, buf, value, stop))
            else:
                into.append(_value(f, spec, buf, wire, value, at, stop, depth))
        else:
            new = _value(f, spec, buf, wire, value, at, stop, depth)
            if f.kind == "message" and f.name in values:
                _merge(values[f.name], new)
            else:
                values[f.name] = new
    return message


def _merge(into: Message, new: Message) -> None:
    for number, f in into.spec.fields.items():
        del number
        if f.name not in new.values:
            continue
        if f.many:
            into.values[f.name] = [*into.values.get(f.name, []), *new.values[f.name]]
        elif f.kind == "message" and f.name in into.values:
            _merge(into.values[f.name], new.values[f.name])
        else:
            into.values[f.name] = new.values[f.name]
    into.unknown.extend(new.unknown)


def _value(f: F, spec: Spec, buf: memoryview, wire: int, value: int, at: int, stop: int, depth: int) -> Any:
    kind = f.kind
    expected = LENGTH
    if kind in _VARINT_KINDS:
        expected = VARINT
    elif kind in _FIXED:
        expected = _FIXED[kind][1]
    if wire != expected:
        raise CorruptFile(f"{spec.name}.{f.name} has wire type {wire}, expected {expected}", offset=at)
    if kind in _VARINT_KINDS:
        return _number(kind, value)
    if kind in _FIXED:
        return struct.unpack_from(_FIXED[kind][0], buf, value)[0]
    if kind == "bytes":
        return buf[value:stop]
    if kind == "string":
        try:
            return str(buf[value:stop], "utf-8", "surrogateescape")
        except UnicodeDecodeError as exc:  # pragma: no cover - surrogateescape takes any bytes
            raise CorruptFile(f"{spec.name}.{f.name} is not text", offset=at) from exc
    assert f.of is not None
    return decode(f.of(), buf, value, stop, depth=depth + 1)


def _number(kind: str, value: int) -> int | bool:
    if kind == "bool":
        return value != 0
    if kind == "int64":
        return signed(value)
    if kind in ("int32", "enum"):
        low = value & 0xFFFFFFFF
        return low - (1 << 32) if low >= 1 << 31 else low
    if kind == "uint32":
        return value & 0xFFFFFFFF
    return value


def _unpack(f: F, buf: memoryview, pos: int, stop: int) -> list[Any]:
    if f.kind in _FIXED:
        code = _FIXED[f.kind][0]
        size = struct.calcsize(code)
        if (stop - pos) % size:
            raise CorruptFile(f"packed {f.name} has {stop - pos} bytes, not a multiple of {size}", offset=pos)
        return list(struct.unpack(f"<{(stop - pos) // size}{code[1]}", buf[pos:stop]))
    out: list[Any] = []
    while pos < stop:
        value, pos = read_varint(buf, pos, stop)
        out.append(_number(f.kind, value))
    return out


def encode(message: Message) -> list[Chunk]:
    """Returns the message as chunks: known fields in ascending number, then the unknown ones as they came.

    Large `bytes` values appear as they are, uncopied. `b"".join(encode(m))` is the serialized message.
    """
    out = bytearray()
    chunks: list[Chunk] = []
    _encode(message, out, chunks)
    if out:
        chunks.append(bytes(out))
    return chunks


_BIG = 1 << 12  # content below this is cheaper to copy than to carry as a chunk of its own


def _encode(message: Message, out: bytearray, chunks: list[Chunk]) -> None:
    for number, f in sorted(message.spec.fields.items()):
        if f.name not in message.values:
            continue
        value = message.values[f.name]
        if not f.many:
            _put(number, f, value, out, chunks)
        elif f.packed and (f.kind in _VARINT_KINDS or f.kind in _FIXED):
            packed = b"".join(_scalar(f.kind, v) for v in value)
            out += key(number, LENGTH) + varint(len(packed)) + packed
        else:
            for item in value:
                _put(number, f, item, out, chunks)
    for raw in message.unknown:
        out += raw


def _scalar(kind: str, value: Any) -> bytes:
    if kind in _FIXED:
        return struct.pack(_FIXED[kind][0], value)
    return varint(int(value))


def _put(number: int, f: F, value: Any, out: bytearray, chunks: list[Chunk]) -> None:
    kind = f.kind
    if kind in _VARINT_KINDS:
        out += key(number, VARINT) + varint(int(value))
    elif kind in _FIXED:
        out += key(number, _FIXED[kind][1]) + struct.pack(_FIXED[kind][0], value)
    elif kind == "message":
        sub = encode(value)
        out += key(number, LENGTH) + varint(total(sub))
        for chunk in sub:
            _append(chunk, out, chunks)
    else:
        content = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        size = content.nbytes if isinstance(content, memoryview) else len(content)
        out += key(number, LENGTH) + varint(size)
        _append(content, out, chunks)


def _append(content: Chunk, out: bytearray, chunks: list[Chunk]) -> None:
    size = content.nbytes if isinstance(content, memoryview) else len(content)
    if size < _BIG:
        out += content
        return
    if out:
        chunks.append(bytes(out))
        out.clear()
    chunks.append(content)


def check_text(message: Message) -> None:
    """Refuses text that is no UTF-8 in names and other text fields; remarks (``doc_string``) may be anything.

    Decoding keeps such bytes, so that a file can be written as it was read; a graph cannot be built from them.

    Raises:
        CorruptFile: the first such field.
    """
    for _, f in sorted(message.spec.fields.items()):
        if f.kind not in ("string", "message") or f.name not in message.values or f.name == "doc_string":
            continue
        value = message.values[f.name]
        for item in value if f.many else (value,):
            if f.kind == "message":
                check_text(item)
            elif not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                raise CorruptFile(f"{message.spec.name}.{f.name} {printable(item)!r} is not UTF-8 text")
