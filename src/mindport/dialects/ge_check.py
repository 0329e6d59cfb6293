"""Checks a `ge.proto.ModelDef` against the operator prototypes and against itself: what a compiler would refuse later.

The graph loader of CANN accepts nearly every file; wrong operator names, missing attributes, wrong element types and
short constants show only when `atc` compiles it, on a machine that has it. `check_air` finds them here, all at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mindport.dialects.ge_attrs_check import attribute_problems, kind_of
from mindport.dialects.ge_names import match_slots
from mindport.dialects.ge_types import GE_PROTO_TYPES
from mindport.dialects.literals import GE
from mindport.dialects.table import OpRow, OpTable
from mindport.dtypes import by_ge
from mindport.errors import UnsupportedDType, printable
from mindport.wire.spec import Message

__all__ = ["Violation", "check_air"]

_CONSTANTS = ("Const", "Constant")
_BUILT_IN = ("NetOutput",)  # made by the loader, without a prototype
_UNKNOWN_RANK = [-2]


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a model.

    Attributes:
        node: name of the operator; empty when the graph as a whole is meant.
        op: its type.
        rule: what was violated: ``operator``, ``name``, ``edge``, ``input``, ``output``, ``attribute``, ``dtype``,
            ``shape``, ``constant``, ``data`` or ``graph``.
        message: what is wrong, in words.
    """

    node: str
    op: str
    rule: str
    message: str

    def __str__(self) -> str:
        where = f"{printable(self.node)} ({printable(self.op)}): " if self.node else ""
        return f"{where}{self.message}"


def check_air(model: Message) -> list[Violation]:
    """Returns everything that is wrong with a `ModelDef`, in file order; an empty list if nothing is.

    Checked for each graph: operators exist; names are unique; every input and output is one that the prototype has, in
    its order, with required ones fed and an allowed element type; no edge hangs; both ends of an edge agree; required
    attributes are there, of the right kind, and those with a dangerous default are written; constants have as many
    bytes as their shape says; the indices of Data operators are 0..n-1; every value has a type and a shape.
    """
    found: list[Violation] = []
    for graph in model.graph:
        found += _Graph(graph).violations()
    if not model.graph:
        found.append(Violation("", "", "graph", "the model has no graph"))
    return found


class _Graph:
    """Checks one graph."""

    def __init__(self, graph: Message) -> None:
        self.graph = graph
        self.table = OpTable.load(GE)
        self.ops: dict[str, Message] = {op.get("name", ""): op for op in graph.op}

    def violations(self) -> list[Violation]:
        found = list(self._names())
        for op in self.graph.op:
            found += [
                Violation(op.get("name", ""), op.get("type", ""), rule, message) for rule, message in self._operator(op)
            ]
        found += [Violation("", "", rule, message) for rule, message in self._whole()]
        return found

    def _names(self) -> Iterator[Violation]:
        seen: set[str] = set()
        for op in self.graph.op:
            name = op.get("name", "")
            if not name:
                yield Violation("?", op.get("type", ""), "name", "an operator has no name")
            elif name in seen:
                yield Violation(name, op.get("type", ""), "name", "the name belongs to another operator too")
            seen.add(name)

    def _operator(self, op: Message) -> Iterator[tuple[str, str]]:
        kind = op.get("type", "")
        sources, dangling = self._sources(op)
        yield from dangling
        if kind in _BUILT_IN:
            return
        row = self.table.find(kind)
        if row is None:
            yield "operator", "there is no such operator"
            return
        attrs = {e.get("key", ""): e.get("value") for e in op.attr}
        yield from self._inputs(op, row, sources, attrs)
        yield from _outputs(op, row, attrs)
        yield from attribute_problems(op, row, attrs)
        yield from _shared_types(op, row, self.table.raw[kind])
        if kind in _CONSTANTS:
            yield from _constant(op, attrs)
        if kind == "Data":
            yield from _data(op)

    def _sources(self, op: Message) -> tuple[list[tuple[Message, int] | None], list[tuple[str, str]]]:
        """Returns the producer of each data input (None where the slot is not linked) and edges that hang."""
        sources: list[tuple[Message, int] | None] = []
        problems: list[tuple[str, str]] = []
        for text in op.input:
            name, _, index = text.rpartition(":")
            if not text:
                sources.append(None)
            elif name not in self.ops:
                problems.append(("edge", f"takes {printable(text)}, which does not exist"))
                sources.append(None)
            elif index != "-1":
                producer = self.ops[name]
                if not index.isdigit() or int(index) >= len(producer.output_desc):
                    problems.append(("edge", f"takes {printable(text)}, but {printable(name)} has no such output"))
                    sources.append(None)
                else:
                    sources.append((producer, int(index)))
        return sources, problems

    def _inputs(
        self, op: Message, row: OpRow, sources: list[tuple[Message, int] | None], attrs: dict[str, Message]
    ) -> Iterator[tuple[str, str]]:
        if op.get("type") == "Data":
            return
        if len(op.input_desc) < len(sources):
            yield "input", f"has {len(sources)} inputs and describes {len(op.input_desc)}"
            return
        slots = [(a.name, a.mode) for a in row.inputs]
        names, problems = match_slots("input", op.input_desc[: len(sources)], slots, attrs)
        yield from problems
        fed = {name for name, source in zip(names, sources, strict=True) if source is not None}
        for name, mode in slots:
            if mode == "required" and name not in fed:
                yield "input", f"required input {name} is not fed"
            if mode == "dynamic" and f"{name}0" not in fed:
                yield "input", f"dynamic input {name} is empty"
        types = {a.name: a.dtypes for a in row.inputs}
        for name, source, desc in zip(names, sources, op.input_desc, strict=False):
            if source is None:
                continue
            yield from _described(f"input {name}", desc)
            yield from _allowed(f"input {name}", desc, types.get(name) or types.get(name.rstrip("0123456789"), ()))
            made = source[0].output_desc[source[1]]
            if made.get("dtype", 0) != desc.get("dtype", 0):
                yield "edge", f"input {name} is {_type(desc)}, but {source[0].get('name')} makes {_type(made)}"
            if _dims(made) != _dims(desc):
                yield "edge", f"input {name} has shape {_dims(desc)}, but {source[0].get('name')} makes {_dims(made)}"

    def _whole(self) -> Iterator[tuple[str, str]]:
        data = [op for op in self.graph.op if op.get("type") == "Data"]
        index = sorted(_index(op) for op in data)
        if index != list(range(len(data))):
            yield "data", f"the indices of the {len(data)} Data operators are {index}, not 0 to {len(data) - 1}"
        if not self.graph.output and not any(op.get("type") == "NetOutput" for op in self.graph.op):
            yield "graph", "the graph has no outputs"
        for side, edges in (("input", self.graph.input), ("output", self.graph.output)):
            for text in edges:
                name, _, number = text.rpartition(":")
                producer = self.ops.get(name)
                if producer is None or not number.isdigit() or int(number) >= len(producer.output_desc):
                    yield "graph", f"{side} {printable(text)} of the graph does not exist"


def _index(op: Message) -> int:
    for entry in op.attr:
        if entry.get("key") == "index" and entry.has("value"):
            return int(entry.value.get("i", 0))
    return 0


def _outputs(op: Message, row: OpRow, attrs: dict[str, Message]) -> Iterator[tuple[str, str]]:
    names, problems = match_slots("output", op.output_desc, list(row.outputs), attrs)
    yield from problems
    for name, mode in row.outputs:
        if mode != "dynamic" and name not in names:
            yield "output", f"output {name} is missing"
    raw = OpTable.load(GE).raw[row.name]
    types = {o["name"]: o.get("dtypes", ()) for o in raw["outputs"]}
    for name, desc in zip(names, op.output_desc, strict=True):
        yield from _described(f"output {name}", desc)
        yield from _allowed(f"output {name}", desc, types.get(name) or types.get(name.rstrip("0123456789"), ()))


def _described(what: str, desc: Message) -> Iterator[tuple[str, str]]:
    """A descriptor names type and shape, and its origin form agrees with them."""
    dims = _dims(desc)
    if dims == _UNKNOWN_RANK:
        yield "shape", f"{what} has no shape"
    elif any(d < -1 for d in dims):
        yield "shape", f"{what} has the shape {dims}"
    if not desc.get("dtype", 0):
        yield "dtype", f"{what} has no element type"
    for entry in desc.attr:
        value = entry.get("value")
        if entry.get("key") == "origin_shape" and value is not None and value.has("list"):
            origin = list(value.list.i)
            if origin != dims and desc.get("layout") == _origin_format(desc):
                yield "shape", f"{what} has shape {dims} and origin shape {origin} in one layout"


def _origin_format(desc: Message) -> str | None:
    for entry in desc.attr:
        if entry.get("key") == "origin_format" and entry.has("value"):
            return bytes(entry.value.get("s", b"")).decode("utf-8", "replace")
    return None


def _allowed(what: str, desc: Message, allowed: Iterable[str]) -> Iterator[tuple[str, str]]:
    names = tuple(allowed)
    number = desc.get("dtype", 0)
    if number and names and _type(desc) not in names:
        yield "dtype", f"{what} is {_type(desc)}; allowed: {', '.join(names)}"


# names of ge.proto.DataType, by number
_TYPE_NAMES = dict(enumerate(GE_PROTO_TYPES))


def _type(desc: Message) -> str:
    return _TYPE_NAMES.get(desc.get("dtype", 0), f"type {desc.get('dtype', 0)}")


def _dims(desc: Message) -> list[int]:
    return list(desc.shape.dim) if desc.has("shape") else []


def _shared_types(op: Message, row: OpRow, raw: dict[str, list[dict[str, str]]]) -> Iterator[tuple[str, str]]:
    """Slots that share one type symbol, and the two operands of a binary operator, have one element type."""
    by_symbol: dict[str, set[str]] = {}
    for side, descs in (("inputs", op.input_desc), ("outputs", op.output_desc)):
        symbols = {s["name"]: s["type_symbol"] for s in raw[side] if "type_symbol" in s}
        for desc in descs:
            symbol = symbols.get(desc.get("name", ""))
            if symbol and desc.get("dtype", 0):
                by_symbol.setdefault(symbol, set()).add(_type(desc))
    for types in by_symbol.values():
        if len(types) > 1:
            yield "dtype", f"{' and '.join(sorted(types))} stand where one element type is needed"
    if [a.name for a in row.inputs[:2]] == ["x1", "x2"] and len(op.input_desc) > 1:
        left, right = _type(op.input_desc[0]), _type(op.input_desc[1])
        if left != right:
            yield "dtype", f"x1 is {left} and x2 is {right}; they have to be equal"


def _constant(op: Message, attrs: dict[str, Message]) -> Iterator[tuple[str, str]]:
    value = attrs.get("value")
    if value is None or kind_of(value) != "t" or not value.t.has("desc"):
        yield "constant", "has no value"
        return
    desc = value.t.desc
    if op.output_desc:
        out = op.output_desc[0]
        if _type(out) != _type(desc) or _dims(out) != _dims(desc):
            yield "constant", f"declares {_type(out)}{_dims(out)}, its value is {_type(desc)}{_dims(desc)}"
    data = value.t.get("data", b"")
    if "location" in attrs and not len(data):
        return  # the content lies in a file of its own; the reader compares the lengths
    try:
        width = by_ge(desc.get("dtype", 0)).itemsize
    except UnsupportedDType:
        return
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size != math.prod(_dims(desc)) * width:
        yield "constant", f"has {size} bytes where {_type(desc)}{_dims(desc)} needs {math.prod(_dims(desc)) * width}"


def _data(op: Message) -> Iterator[tuple[str, str]]:
    if op.input_desc and op.output_desc:
        x, y = op.input_desc[0], op.output_desc[0]
        if _type(x) != _type(y) or _dims(x) != _dims(y):
            yield "data", f"takes {_type(x)}{_dims(x)} and gives {_type(y)}{_dims(y)}"
