"""Executes the bytes of an `.air` file by the documented meaning of each GE operator, in NumPy and torch.

Written from the operator prototypes and the vendor's documentation, not from mindport's cards: wrong attributes, orders
and numberings in the file show as wrong numbers here. The file is parsed by google.protobuf (see `ge_proto`). Every
result is compared with what the file declares for it, and an operator, attribute form or layout that the evaluator does
not know is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from oracles.ge_proto import ModelDef

# ge.proto.DataType, as descriptors use it, and C++ ge::DataType, as attributes do
PROTO_TYPES: dict[int, Any] = {
    1: np.float32,
    2: np.float16,
    3: np.int8,
    4: np.uint8,
    5: np.int16,
    6: np.uint16,
    7: np.int32,
    8: np.int64,
    9: np.uint32,
    10: np.uint64,
    11: np.bool_,
    12: np.float64,
    16: np.complex64,
    17: np.complex128,
    27: ml_dtypes.bfloat16,
}
CPP_TYPES: dict[int, Any] = {
    0: np.float32,
    1: np.float16,
    2: np.int8,
    3: np.int32,
    4: np.uint8,
    6: np.int16,
    7: np.uint16,
    8: np.uint32,
    9: np.int64,
    10: np.uint64,
    11: np.float64,
    12: np.bool_,
    16: np.complex64,
    17: np.complex128,
    27: ml_dtypes.bfloat16,
}

OPS: dict[str, Callable[..., Any]] = {}


class Refused(Exception):
    """The file is not what a GE implementation would run."""


class Call:
    """One operator: inputs by name, attributes with the prototype's defaults."""

    def __init__(self, op: Any, inputs: dict[str, np.ndarray[Any, Any]]) -> None:
        self.op, self.inputs = op, inputs

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        if name not in self.inputs:
            raise Refused(f"{self.op.name} ({self.op.type}) has no input {name}; it has {sorted(self.inputs)}")
        return self.inputs[name]

    def get(self, name: str) -> np.ndarray[Any, Any] | None:
        return self.inputs.get(name)

    def dynamic(self, name: str) -> list[np.ndarray[Any, Any]]:
        count = sum(1 for n in self.inputs if n.startswith(name) and n[len(name) :].isdigit())
        return [self[f"{name}{i}"] for i in range(count)]

    def attr(self, name: str, kind: str, default: Any = None, required: bool = False) -> Any:
        """Reads an attribute of kind ``i f b s dt list_i list_f list_b list_s``; another kind is an error."""
        if name not in self.op.attr:
            if required:
                raise Refused(f"{self.op.name} ({self.op.type}) lacks attribute {name}")
            return default
        value = self.op.attr[name]
        member = value.WhichOneof("value")
        if kind.startswith("list_"):
            want = {"list_s": 1, "list_i": 2, "list_f": 3, "list_b": 4}[kind]
            if member != "list" or value.list.val_type != want:
                return default  # a loader skips a list that does not say what it is
            found = list(getattr(value.list, kind[-1]))
            return [v.decode() for v in found] if kind == "list_s" else found
        if member != kind:
            raise Refused(f"{self.op.name}: attribute {name} is a {member}, not a {kind}")
        found = getattr(value, kind)
        return found.decode() if kind == "s" else found

    def ints(self, name: str, default: Any = None, required: bool = False) -> list[int]:
        found = self.attr(name, "list_i", default, required)
        if found is None and required:
            raise Refused(f"{self.op.name}: list {name} is skipped by the loader: it has no val_type")
        return found  # type: ignore[no-any-return]


def op(*names: str) -> Callable[[Any], Any]:
    """Registers the function that computes operators `names`; it returns one array or a list."""

    def register(function: Any) -> Any:
        for name in names:
            assert name not in OPS, name
            OPS[name] = function
        return function

    return register


def parse(data: bytes) -> Any:
    """Returns the file as a google.protobuf message."""
    return ModelDef.FromString(data)


def evaluate(data: bytes, feeds: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Returns the outputs of the root graph; `feeds[k]` goes to the Data operator whose index is k."""
    from oracles import ge_ops  # noqa: F401 - fills OPS

    graph = parse(data).graph[0]
    by_name = {o.name: o for o in graph.op}
    assert len(by_name) == len(graph.op), "operator names are not unique"
    values: dict[str, list[np.ndarray[Any, Any]]] = {}
    waiting = list(graph.op)
    while waiting:
        later = []
        for o in waiting:
            sources = [text.rpartition(":") for text in o.input if text]
            if all(name in values for name, _, _ in sources):
                values[o.name] = _run(o, sources, values, feeds)
            else:
                later.append(o)
        if len(later) == len(waiting):
            raise Refused(f"cannot be ordered: {[o.name for o in later]}")
        waiting = later
    return [values[name][int(index)] for name, _, index in (text.rpartition(":") for text in graph.output)]


def _run(o: Any, sources: Any, values: Any, feeds: Any) -> list[np.ndarray[Any, Any]]:
    if o.type == "Data":
        return [_declared(o, 0, np.asarray(feeds[o.attr["index"].i]))]
    if o.type in ("Const", "Constant"):
        return [_declared(o, 0, _constant(o))]
    slots = dict(zip(_names(o, "input"), [values[n][int(i)] for n, _, i in sources], strict=True))
    if o.type not in OPS:
        raise Refused(f"the evaluator has no {o.type}")
    with np.errstate(all="ignore"):
        found = OPS[o.type](Call(o, slots))
    results = found if isinstance(found, list) else [found]
    names = _names(o, "output")
    assert len(names) == len(o.output_desc)
    return [_declared(o, i, np.asarray(r)) if r is not None else np.zeros(0) for i, r in enumerate(results)]


def _names(o: Any, side: str) -> list[str]:
    """The names that the loader would give the slots: from the bookkeeping attributes."""
    keys = o.attr[f"_{side}_name_key"].list.s if f"_{side}_name_key" in o.attr else []
    slots = o.attr[f"_{side}_name_value"].list.i if f"_{side}_name_value" in o.attr else []
    named = {i: k.decode() for k, i in zip(keys, slots, strict=True)}
    return [named[i] for i in range(len(named))]


def _constant(o: Any) -> np.ndarray[Any, Any]:
    tensor = o.attr["value"].t
    dtype = np.dtype(PROTO_TYPES[tensor.desc.dtype])
    array = np.frombuffer(tensor.data, dtype)
    return array.reshape(tuple(tensor.desc.shape.dim))


def _declared(o: Any, index: int, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Checks a result against its descriptor: type in descriptor numbering, shape, origin shape."""
    desc = o.output_desc[index]
    where = f"{o.name} ({o.type}) output {index}"
    if np.dtype(PROTO_TYPES[desc.dtype]) != value.dtype:
        raise Refused(f"{where} declares type {desc.dtype}, the operator gives {value.dtype}")
    dims = list(desc.shape.dim)
    if len(dims) != value.ndim or any(d not in (-1, v) for d, v in zip(dims, value.shape, strict=True)):
        raise Refused(f"{where} declares shape {dims}, the operator gives {list(value.shape)}")
    if list(desc.attr["origin_shape"].list.i) != dims or desc.attr["origin_shape"].list.val_type != 2:
        raise Refused(f"{where} declares no origin shape {dims}")
    if desc.attr["origin_format"].s.decode() != desc.layout:
        raise Refused(f"{where} has layout {desc.layout} and origin format {desc.attr['origin_format'].s!r}")
    return value
