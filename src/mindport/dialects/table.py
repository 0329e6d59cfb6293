"""Operator tables of foreign dialects, read from data files when first asked for."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from mindport.dialects.literals import GE, MINDSPORE
from mindport.dtypes import DType, named
from mindport.errors import UsageError

__all__ = ["GE_TYPES", "MISSING", "Arg", "AttrRow", "OpRow", "OpTable"]


class _Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"


# GE's names of element types, as prototypes spell them (with the prefix DT_ in defaults, without it in dtype lists)
GE_TYPES: dict[str, DType] = {
    f"DT_{ge}": named(ours)
    for ge, ours in {
        "BOOL": "bool",
        "INT8": "int8",
        "INT16": "int16",
        "INT32": "int32",
        "INT64": "int64",
        "UINT8": "uint8",
        "UINT16": "uint16",
        "UINT32": "uint32",
        "UINT64": "uint64",
        "FLOAT16": "float16",
        "FLOAT": "float32",
        "DOUBLE": "float64",
        "BF16": "bfloat16",
        "COMPLEX64": "complex64",
        "COMPLEX128": "complex128",
    }.items()
}

MISSING = _Missing()  # "no default", because None is a value


@dataclass(frozen=True)
class Arg:
    """One input of an operator.

    Attributes:
        kind: MindSpore: ``tensor``, ``int``, ``tuple_int``, … or ``?`` (a classic primitive does not say).
            GE: ``tensor``.
        mode: ``required``, ``optional`` (may be absent) or ``dynamic`` (any number of values).
        accepts: further kinds that the operator converts itself.
        handler: how the Python front end turns what users write into what the operator takes.
        default: literal used when the argument is left out, or MISSING.
        dtypes: GE names of the element types, empty when unrestricted or unknown.
    """

    name: str
    kind: str = "?"
    mode: str = "required"
    accepts: tuple[str, ...] = ()
    handler: str = ""
    default: Any = MISSING
    dtypes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttrRow:
    """One attribute: `kind` as the dialect spells it (GE: Int, ListInt, Type, …).

    An attribute may be neither required nor have a default: GE prototypes hold some defaults only as C++ expressions.
    """

    name: str
    kind: str = "?"
    default: Any = MISSING
    required: bool = False


@dataclass(frozen=True)
class OpRow:
    """One operator.

    Attributes:
        inputs: in order.
        attrs: by name.
        outputs: names in order, each with its kind (MindSpore) or mode (GE: ``required`` or ``dynamic``).
        function: MindSpore "primitive function": every argument is an input, there are no attributes.
        open: the number of inputs is unknown, so the operator can be read but not built.
        cpu: MindSpore has a CPU kernel of this name.
    """

    name: str
    inputs: tuple[Arg, ...]
    attrs: Mapping[str, AttrRow]
    outputs: tuple[tuple[str, str], ...]
    function: bool = False
    open: bool = False
    cpu: bool = False

    def position(self, argument: str) -> int:
        """Returns the index of the input called `argument`. Raises UsageError."""
        for i, arg in enumerate(self.inputs):
            if arg.name == argument:
                return i
        raise UsageError(f"{self.name} has no input {argument!r}; it has {', '.join(a.name for a in self.inputs)}")


@dataclass(frozen=True)
class OpTable:
    """Every known operator of one dialect."""

    domain: str
    source: str
    raw: Mapping[str, Any] = field(repr=False)
    _rows: dict[str, OpRow] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    @cache
    def load(domain: str) -> OpTable:
        """Returns the table of ``"mindspore"`` or ``"ge"``; read once per process (about 20 ms)."""
        if domain not in (MINDSPORE, GE):
            raise UsageError(f"there is no operator table for {domain!r}")
        packed = resources.files("mindport.dialects").joinpath("data", f"{domain}.json.gz").read_bytes()
        data = json.loads(gzip.decompress(packed))
        return OpTable(domain, str(data.get("source", "")), data["ops"])

    def __contains__(self, name: object) -> bool:
        return name in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def find(self, name: str) -> OpRow | None:
        """Returns the row of operator `name`, or None."""
        row = self._rows.get(name)
        if row is None and name in self.raw:
            make = _mindspore_row if self.domain == MINDSPORE else _ge_row
            row = self._rows[name] = make(name, self.raw[name])
        return row

    def row(self, name: str) -> OpRow:
        """Returns the row of operator `name`. Raises UsageError when the dialect has no such operator."""
        row = self.find(name)
        if row is None:
            raise UsageError(f"{self.domain} has no operator {name!r}")
        return row


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _mindspore_row(name: str, raw: Mapping[str, Any]) -> OpRow:
    inputs = tuple(
        Arg(
            i["name"],
            i.get("type", "?"),
            "dynamic" if i.get("many") else "optional" if i.get("optional") else "required",
            tuple(i.get("accepts", ())),
            i.get("handler", ""),
            _frozen(i["default"]) if "default" in i else MISSING,
        )
        for i in raw.get("inputs", ())
    )
    attrs = {
        a["name"]: AttrRow(
            a["name"], "?", MISSING if a.get("required") else _frozen(a.get("default")), bool(a.get("required"))
        )
        for a in raw.get("attrs", ())
    }
    outputs = tuple((o[0], o[1]) for o in raw.get("outputs", ()))
    return OpRow(name, inputs, attrs, outputs, bool(raw.get("function")), bool(raw.get("open")), bool(raw.get("cpu")))


def _ge_row(name: str, raw: Mapping[str, Any]) -> OpRow:
    inputs = tuple(Arg(i["name"], "tensor", i["kind"], dtypes=tuple(i.get("dtypes", ()))) for i in raw["inputs"])
    attrs = {a["name"]: AttrRow(a["name"], a["type"], _ge_default(a), bool(a["required"])) for a in raw["attrs"]}
    return OpRow(name, inputs, attrs, tuple((o["name"], o["kind"]) for o in raw["outputs"]))


def _ge_default(attr: Mapping[str, Any]) -> Any:
    default = attr.get("default", MISSING)
    if isinstance(default, dict):  # {"cpp": "DT_INT8"}: only the compiler knows its value
        return MISSING
    if attr["type"] == "Type":
        return GE_TYPES.get(default, MISSING)
    return default
