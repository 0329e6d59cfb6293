"""Checked builder of GE (Ascend IR) operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.emit import Emit
from mindport.dialects.literals import GE
from mindport.dialects.table import GE_TYPES, MISSING, Arg, AttrRow, OpRow, OpTable
from mindport.dtypes import DType
from mindport.errors import UsageError

__all__ = ["GeEmit", "dynamic_counts"]

_SCALARS: dict[str, tuple[type, ...]] = {
    "Int": (int,),
    "Float": (float, int),
    "Bool": (bool,),
    "String": (str,),
    "Type": (DType,),
    "Tensor": (ir.TensorProtocol, np.ndarray),
}


class GeEmit(Emit):
    """Builds GE operators: ``b.Conv2D(x, w, bias, strides=[1, 1, 1, 2], pads=[0, 1, 2, 3], ...)``.

    Inputs are given in prototype order: an optional one that is not fed is None (or left out at the end), a
    dynamic one is a list. Every attribute is written, also when it equals its default, because defaults differ between
    GE and ONNX (NHWC, training mode). Operators with dynamic outputs take ``outputs=n``.
    The result is one value, or a tuple of values when the operator has several outputs.

    `dynamic_counts(node)` tells how many values each dynamic input has.
    """

    domain = GE

    def __init__(self, names: Any = None) -> None:
        super().__init__(names)
        self.table = OpTable.load(GE)

    def call(self, op: str, *args: Any, outputs: int | None = None, **kwargs: Any) -> Any:
        """Builds operator `op`. Raises UsageError when the prototype does not allow the call."""
        row = self.table.row(op)
        values, counts = self._inputs(row, args)
        attrs = {name: self._attr(row, attr, kwargs.pop(name, MISSING)) for name, attr in row.attrs.items()}
        if kwargs:
            raise UsageError(f"{op} has no attribute {', '.join(sorted(kwargs))}; it has {', '.join(row.attrs)}")
        node = self.add(
            op, values, self.attrs({k: v for k, v in attrs.items() if v is not MISSING}), _output_count(row, outputs)
        )
        node.meta["dynamic"] = counts
        _remember_slots(node, row, counts)
        return node.outputs[0] if len(node.outputs) == 1 and outputs is None else tuple(node.outputs)

    def _inputs(self, row: OpRow, args: Sequence[Any]) -> tuple[list[ir.Value | None], dict[str, int]]:
        if len(args) > len(row.inputs):
            raise UsageError(f"{row.name} takes {len(row.inputs)} input(s), {len(args)} were given")
        values: list[ir.Value | None] = []
        counts: dict[str, int] = {}
        for arg, given in zip(row.inputs, [*args, *[None] * (len(row.inputs) - len(args))], strict=True):
            if arg.mode == "dynamic":
                if not isinstance(given, (list, tuple)):
                    raise UsageError(f"{row.name}({arg.name}) takes a list of values")
                values += [self._input(row, arg, v) for v in given]
                counts[arg.name] = len(given)
            else:
                values.append(self._input(row, arg, given))
        while values and values[-1] is None:
            values.pop()
        return values, counts

    def _input(self, row: OpRow, arg: Arg, given: Any) -> ir.Value | None:
        if given is None:
            if arg.mode != "optional":
                raise UsageError(f"{row.name}: input {arg.name!r} is missing")
            return None
        if isinstance(given, ir.Value):
            return given
        if isinstance(given, (np.ndarray, ir.TensorProtocol)):
            return self.literal(given)
        raise UsageError(f"{row.name}({arg.name}) takes a tensor, not {type(given).__name__}")

    def _constant(self, value: Any) -> ir.Value:
        out = super()._constant(value)
        node = out.producer()
        assert node is not None
        node.op_type = "Constant"
        return out

    @staticmethod
    def _attr(row: OpRow, attr: AttrRow, given: Any) -> Any:
        where = f"{row.name}.{attr.name}"
        if given is MISSING:
            if attr.required:
                raise UsageError(f"{row.name}: attribute {attr.name!r} is missing")
            return attr.default
        return _checked(where, attr.kind, given)


def _checked(where: str, kind: str, value: Any) -> Any:
    """Returns the attribute value as its kind wants it. Raises UsageError."""
    given: Any = value
    if kind.startswith("List"):
        if not isinstance(given, (list, tuple)):
            raise UsageError(f"{where} is a {kind}, not {type(given).__name__}")
        return [_checked(where, kind[4:], v) for v in given]
    if isinstance(given, np.generic):
        given = given.item()
    if kind == "Type" and isinstance(given, str) and given in GE_TYPES:
        given = GE_TYPES[given]
    wanted = _SCALARS.get(kind)
    if wanted is None or not isinstance(given, wanted) or (isinstance(given, bool) and kind != "Bool"):
        raise UsageError(f"{where} is a {kind}, not {type(given).__name__}")
    return float(value) if kind == "Float" else given


# how an attribute of each prototype type stands in the file; needed where the value alone does not tell (empty lists)
_FILE_KINDS = {
    "Int": "i",
    "Float": "f",
    "Bool": "b",
    "String": "s",
    "Type": "dt",
    "ListInt": "list.i",
    "ListFloat": "list.f",
    "ListBool": "list.b",
    "ListString": "list.s",
    "ListType": "list.dt",
    "ListListInt": "list_list_int",
}


def _remember_slots(node: ir.Node, row: OpRow, counts: dict[str, int]) -> None:
    """Notes what `formats.air` writes beside the edges: names of inputs and outputs, list lengths, attribute kinds."""
    ins: list[str] = []
    for arg in row.inputs:
        ins += [f"{arg.name}{i}" for i in range(counts[arg.name])] if arg.name in counts else [arg.name]
    spare = len(node.outputs) - (len(row.outputs) - 1)
    outs: list[str] = []
    lengths = {f"__dynamic_input_{name}_cnt": count for name, count in counts.items()}
    for name, mode in row.outputs:
        outs += [f"{name}{i}" for i in range(spare)] if mode == "dynamic" else [name]
        if mode == "dynamic":
            lengths[f"__dynamic_output_{name}_cnt"] = spare
    node.meta["ge.inputs"] = tuple(ins[: len(node.inputs)])
    node.meta["ge.outputs"] = tuple(outs)
    node.meta["ge.optional"] = tuple(arg.name for arg in row.inputs if arg.mode == "optional")
    node.meta["ge.counts"] = lengths
    for name, attr in node.attributes.items():
        attr.meta["ge.kind"] = _FILE_KINDS.get(row.attrs[name].kind)


def _output_count(row: OpRow, outputs: int | None) -> int:
    dynamic = sum(mode == "dynamic" for _, mode in row.outputs)
    if not dynamic:
        if outputs is not None:
            raise UsageError(f"{row.name} has a fixed number of outputs")
        return len(row.outputs)
    if outputs is None or dynamic > 1:
        raise UsageError(f"{row.name} has dynamic outputs: say outputs=<how many>")
    return len(row.outputs) - 1 + outputs


def dynamic_counts(node: ir.Node) -> dict[str, int]:
    """Returns how many values each dynamic input of a GE node has, by input name.

    Nodes made by `GeEmit` remember it. For others it follows from the prototype when only one input is dynamic.
    """
    known = node.meta.get("dynamic")
    if known is not None:
        return dict(known)
    row = OpTable.load(GE).row(node.op_type)
    dynamic = [a.name for a in row.inputs if a.mode == "dynamic"]
    if len(dynamic) > 1:
        raise UsageError(f"{node.op_type} has several dynamic inputs and does not say how long each is")
    return {name: len(node.inputs) - (len(row.inputs) - 1) for name in dynamic}
