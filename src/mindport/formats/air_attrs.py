"""GE attribute messages ↔ Python literals (see `dialects.literals` for what a literal is).

================  ===========================================
`AttrDef` member  literal
================  ===========================================
s                 `str` (`bytes` where it is not UTF-8)
i / f / b         `int` / `float` / `bool`
dt                `DType` (a C++ `ge::DataType` number)
list              `tuple` of one of the above
list_list_int     `tuple` of `tuple` of `int`
list_list_float   `tuple` of `tuple` of `float`
anything else     the `AttrDef` message itself, kept as it is
================  ===========================================

An empty tuple does not say what it is a list of: the kind stands in the attribute's `meta` under `KIND`; without it
an empty list is one of integers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from mindport.dtypes import DType, by_ge_attr
from mindport.errors import CorruptFile, UnsupportedDType
from mindport.wire.schema_ge import ATTR_DEF, ATTR_ENTRY, ATTR_KINDS, LIST_VALUE, VAL_TYPES
from mindport.wire.spec import Message

__all__ = ["KIND", "attr_message", "entry", "kind_of", "list_of", "literal", "mapping", "to_ir"]

KIND = "ge.kind"
_NESTED = {"list_list_int": "list_list_i", "list_list_float": "list_list_f"}
_SCALARS = {"i": int, "f": float, "b": bool}


def mapping(entries: Iterable[Message], where: str) -> dict[str, Message]:
    """Returns a protobuf map as a dict, last entry first come as protobuf prescribes.

    Raises:
        CorruptFile: an entry has no name, or its value holds two kinds at once.
    """
    out: dict[str, Message] = {}
    for e in entries:
        name = e.get("key", "")
        value = e.get("value")
        if not name:
            raise CorruptFile(f"{where} has an attribute without a name")
        out[name] = ATTR_DEF.new() if value is None else value
        _member(out[name], f"attribute {name} of {where}")
    return out


def _member(message: Message, where: str) -> str | None:
    """Returns which member of the oneof is set, None if none is (or one newer than our schema)."""
    present = [k for k in ATTR_KINDS if message.has(k)]
    if len(present) > 1:
        raise CorruptFile(f"{where} has {len(present)} values ({', '.join(present)}) where one is allowed")
    return present[0] if present else None


def kind_of(message: Message) -> str:
    """Returns the kind of an attribute message: ``i``, ``list.f``, ``list_list_int`` …; ``""`` if it has no value."""
    member = _member(message, "an attribute")
    if member != "list":
        return member or ""
    filled = [k for k in VAL_TYPES if message.list.has(k)]
    if filled:
        return f"list.{filled[0]}"
    named = {n: k for k, n in VAL_TYPES.items()}.get(message.list.get("val_type", 0))
    return f"list.{named}" if named else "list"


def literal(message: Message) -> Any:
    """Returns the literal in an attribute message, or the message itself if no literal expresses it."""
    kind = kind_of(message)
    if kind in _SCALARS:
        return message.get(kind)
    if kind == "s":
        return _text(message.s)
    if kind == "dt":
        return _dtype(message.dt, message)
    if kind in _NESTED:
        rows = getattr(message, kind).get(_NESTED[kind], [])
        return tuple(tuple(row.get("list_i" if kind == "list_list_int" else "list_f", [])) for row in rows)
    if not kind.startswith("list.") or message.list.unknown or sum(message.list.has(k) for k in VAL_TYPES) > 1:
        return message
    member = kind[5:]
    items = message.list.get(member, [])
    if member in _SCALARS:
        return tuple(items)
    if member == "s":
        return tuple(_text(s) for s in items)
    if member == "dt":
        types = tuple(_dtype(n, message) for n in items)
        return message if any(t is message for t in types) else types
    return message


def _text(content: memoryview | bytes) -> str | bytes:
    raw = bytes(content)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _dtype(number: int, otherwise: Message) -> DType | Message:
    try:
        return by_ge_attr(number)
    except UnsupportedDType:
        return otherwise


def to_ir(name: str, message: Message) -> ir.Attr:
    """Returns an attribute message as an `onnx_ir` attribute of type UNDEFINED."""
    attr = ir.Attr(name, ir.AttributeType.UNDEFINED, literal(message))
    if attr.value == ():
        attr.meta[KIND] = kind_of(message)
    return attr


def _literal_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int):
        return "i"
    if isinstance(value, float):
        return "f"
    if isinstance(value, (str, bytes)):
        return "s"
    if isinstance(value, DType):
        return "dt"
    if isinstance(value, (tuple, list)):
        if not value:
            return "list.i"
        if isinstance(value[0], (tuple, list)):
            first = next((v for row in value for v in row), 0)
            return "list_list_float" if isinstance(first, float) else "list_list_int"
        kinds = {_literal_kind(v) for v in value}
        if len(kinds) == 1 and "." not in (kind := kinds.pop()):
            return f"list.{kind}"
    raise TypeError(f"{value!r} cannot be the value of a GE attribute")


def attr_message(value: Any, kind: str | None = None) -> Message:
    """Returns the attribute message for a literal; every list names its `val_type`.

    Raises:
        TypeError: the value is none of the literals in this module's table, or a list mixes kinds.
        UnsupportedDType: an element type has no GE number.
    """
    if isinstance(value, Message):
        return value
    kind = kind or _literal_kind(value)
    if kind.startswith("list."):
        return list_of(kind[5:], value)
    if kind in _NESTED:
        outer = ATTR_DEF.fields[ATTR_DEF.numbers[kind]].of
        assert outer is not None
        inner = outer().fields[1].of
        assert inner is not None
        field = inner().fields[1].name
        rows = [inner().new(**{field: list(row)}) for row in value]
        return ATTR_DEF.new(**{kind: outer().new(**{_NESTED[kind]: rows})})
    return ATTR_DEF.new(**{kind: _wire_value(kind, value)})


def list_of(member: str, values: Iterable[Any]) -> Message:
    """Returns a list attribute of one kind, with its `val_type`."""
    items = [_wire_value(member, v) for v in values]
    return ATTR_DEF.new(list=LIST_VALUE.new(**{member: items}, val_type=VAL_TYPES[member]))


def _wire_value(kind: str, value: Any) -> Any:
    if kind == "s":
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
    if kind == "dt":
        if value.ge_attr is None:
            raise UnsupportedDType(f"{value.name} has no GE type number")
        return value.ge_attr
    return _SCALARS[kind](value) if kind in _SCALARS else value


def entry(name: str, message: Message) -> Message:
    """Returns one entry of a map<string, AttrDef>."""
    return ATTR_ENTRY.new(key=name, value=message)
