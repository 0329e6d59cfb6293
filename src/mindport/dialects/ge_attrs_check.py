"""Attributes of a GE operator in a file, compared with its prototype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mindport.dialects.table import OpRow
from mindport.dtypes import by_ge, by_ge_attr
from mindport.errors import UnsupportedDType
from mindport.wire.schema_ge import ATTR_KINDS, VAL_TYPES
from mindport.wire.spec import Message

__all__ = ["attribute_problems", "kind_of"]

# prototype type -> member of AttrDef that carries it
_KINDS = {
    "Int": "i",
    "Float": "f",
    "Bool": "b",
    "String": "s",
    "Tensor": "t",
    "Type": "dt",
    "ListInt": "list.i",
    "ListFloat": "list.f",
    "ListBool": "list.b",
    "ListString": "list.s",
    "ListType": "list.dt",
    "ListListInt": "list_list_int",
}

# Attributes whose default is a trap: channels-last layouts, training mode, "no axes" meaning "do nothing".
# The loader would fill them in silently, so a sound file writes them.
EXPLICIT = ("data_format", "is_training", "noop_with_empty_axes")

# Int attributes that hold an element type, as a C++ ge::DataType number: it has to be that of the output
_TYPE_NUMBERS = {"Cast": "dst_type", "Shape": "dtype", "Size": "dtype", "Eye": "dtype"}
_TYPES = {"ArgMaxV2": "dtype", "ArgMin": "dtype", "NonZero": "dtype"}


def kind_of(message: Message) -> str:
    """Returns the member of `AttrDef` that is set; for a list ``list.`` and the member of `ListValue` it announces."""
    member = next((k for k in ATTR_KINDS if message.has(k)), "")
    if member != "list":
        return member
    named = {n: k for k, n in VAL_TYPES.items()}.get(message.list.get("val_type", 0))
    return f"list.{named}" if named else "list"


def attribute_problems(op: Message, row: OpRow, attrs: Mapping[str, Message]) -> Iterator[tuple[str, str]]:
    """Yields `(rule, message)` for every attribute that is missing, of the wrong kind, or contradicts the operator."""
    for name, attr in row.attrs.items():
        given = attrs.get(name)
        if given is None:
            if attr.required:
                yield "attribute", f"required attribute {name} is missing"
            elif name in EXPLICIT:
                yield "attribute", f"attribute {name} is not written; its default is {attr.default!r}"
            continue
        wanted = _KINDS.get(attr.kind)
        if wanted is not None and kind_of(given) != wanted:
            yield "attribute", f"attribute {name} is stored as {kind_of(given) or 'nothing'}, a {attr.kind} is {wanted}"
    yield from _lists(attrs)
    yield from _layouts(op, attrs)
    yield from _element_types(op, attrs)


def _lists(attrs: Mapping[str, Message]) -> Iterator[tuple[str, str]]:
    """A list without its kind is skipped by the loader, as if it were not there."""
    for name, given in attrs.items():
        if given is None or not given.has("list") or name.startswith("_"):
            continue
        filled = [k for k in VAL_TYPES if given.list.has(k)]
        if kind_of(given) == "list":
            yield "attribute", f"list attribute {name} does not say what it is a list of (val_type)"
        elif filled and f"list.{filled[0]}" != kind_of(given):
            yield "attribute", f"list attribute {name} announces {kind_of(given)} and holds list.{filled[0]}"


def _layouts(op: Message, attrs: Mapping[str, Message]) -> Iterator[tuple[str, str]]:
    """The attribute and the descriptors name one layout, and batch and channel are not windowed."""
    given = attrs.get("data_format")
    if given is None or not given.has("s"):
        return
    layout = bytes(given.s).decode("utf-8", "replace")
    for side, descs in (("input", op.input_desc), ("output", op.output_desc)):
        for desc in descs:
            rank = len(desc.shape.dim) if desc.has("shape") else 0
            told = desc.get("layout", "")
            if rank == len(layout) and told not in (layout, "ND"):
                yield "attribute", f"data_format is {layout}, but {side} {desc.get('name')} is marked {told}"
    if layout in ("NCHW", "NCDHW"):
        for name in ("strides", "dilations", "ksize"):
            window = attrs.get(name)
            values = list(window.list.i) if window is not None and window.has("list") else []
            if len(values) == len(layout) and values[:2] != [1, 1]:
                yield "attribute", f"{name} is {values}: batch and channel (the first two in {layout}) have to be 1"


def _element_types(op: Message, attrs: Mapping[str, Message]) -> Iterator[tuple[str, str]]:
    kind = op.get("type", "")
    name, member = (_TYPE_NUMBERS[kind], "i") if kind in _TYPE_NUMBERS else (_TYPES.get(kind, ""), "dt")
    given = attrs.get(name)
    if given is None or not given.has(member) or not op.output_desc:
        return
    try:
        wanted = by_ge_attr(given.get(member)).name
    except UnsupportedDType:
        wanted = f"number {given.get(member)}"
    try:
        made = by_ge(op.output_desc[0].get("dtype", 0)).name
    except UnsupportedDType:
        return  # types that NumPy lacks
    if wanted != made:
        yield "dtype", f"{name} asks for {wanted} (C++ numbering), the output is {made}"
