"""Checked builder of MindSpore primitives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.emit import Emit
from mindport.dialects.literals import MINDSPORE, FunctionRef, Num, has_literal, literal_of
from mindport.dialects.table import MISSING, Arg, OpRow, OpTable
from mindport.dtypes import DType
from mindport.errors import UnsupportedDType, UsageError

__all__ = ["ENUMS", "MindSporeEmit", "kind_of"]

# numbers behind the words that Python users write, by argument name
ENUMS: dict[str, dict[str, int]] = {
    "data_format": {"NCHW": 0, "NHWC": 1, "NCDHW": 14},
    "pad_mode": {"PAD": 0, "SAME": 1, "VALID": 2},
    "reduce": {"none": 0, "add": 1},
    "interpolation_mode": {"bilinear": 0, "nearest": 1},
    "padding_mode": {"zeros": 0, "border": 1, "reflection": 2},
    "reduction": {"sum": 0, "mean": 1, "none": 2},
}


def kind_of(value: ir.Value) -> str:
    """Returns what MindSpore calls the kind of this value: ``tensor``, ``tuple_any``, ``int``, …; ``?`` if unknown."""
    if has_literal(value):
        return _literal_kind(literal_of(value))
    kind: str = value.meta.get("kind", "tensor" if value.producer() is None else "?")
    return kind


def _literal_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, ir.TensorProtocol):
        return "tensor"
    if isinstance(value, (tuple, list)):
        kinds = {_literal_kind(v) for v in value}
        return f"tuple_{kinds.pop()}" if len(kinds) == 1 else "tuple_any"
    if isinstance(value, (int, float, str)):
        return type(value).__name__
    if isinstance(value, Num):
        return "number"
    return {type(None): "none", DType: "dtype", FunctionRef: "closure"}.get(type(value), "?")


class MindSporeEmit(Emit):
    """Builds primitives: ``b.Softmax(x, axis=(1,))``.

    Arguments of a *primitive function* may be given by position or name; those left out take the table's default. All
    of them become node inputs. Arguments of a classic primitive are its inputs, keywords its attributes. The result
    is one value; of primitives with several results it is a tuple: use `item`.
    """

    domain = MINDSPORE

    def __init__(self, names: Any = None) -> None:
        super().__init__(names)
        self.table = OpTable.load(MINDSPORE)

    def call(self, op: str, *args: Any, **kwargs: Any) -> ir.Value:
        """Builds primitive `op`. Raises UsageError when the table does not allow the call."""
        row = self.table.row(op)
        if row.open:
            raise UsageError(f"{op}: the table does not say how many inputs it takes, so it cannot be written")
        values = [self._argument(row, arg, given) for arg, given in _bind(row, args, kwargs)]
        attrs = {} if row.function else _attributes(row, kwargs)
        node = self.add(op, [v for v in values if v is not None], self.attrs(attrs))
        out = node.outputs[0]
        out.meta["kind"] = _result_kind(row)
        return out

    def item(self, pack: ir.Value, index: int) -> ir.Value:
        """Returns element `index` of a tuple value as a tensor."""
        out = self.call("TupleGetItem", pack, index)
        out.meta["kind"] = "tensor"
        return out

    def scalar(self, pack: ir.Value, index: int) -> ir.Value:
        """Returns element `index` of a tuple of numbers (such as `Shape` gives) as a scalar."""
        out = self.call("TupleGetItem", pack, index)
        out.meta["kind"] = "int"
        return out

    def _argument(self, row: OpRow, arg: Arg, given: Any) -> ir.Value:
        where = f"{row.name}({arg.name})"
        if isinstance(given, ir.Value):
            return self._value(where, arg, given)
        if arg.kind == "tuple_tensor" and isinstance(given, (list, tuple)):
            return self.call("MakeTuple", *given)
        return self.literal(_coerce(where, arg, given))

    def _value(self, where: str, arg: Arg, value: ir.Value) -> ir.Value:
        kind = kind_of(value)
        if kind == "tensor" and arg.kind not in ("tensor", "?"):
            # an operator wants plain numbers and gets them at run time: they are taken out of the tensor
            if arg.kind in ("tuple_int", "tuple_float", "tuple_number", "tuple_any"):
                return self.call("TensorToTuple", value)
            if arg.kind in ("int", "float", "number", "bool"):
                return self.call("TensorToScalar", value)
        if has_literal(value):
            _coerce(where, arg, literal_of(value))
        elif not _fits(kind, arg):
            raise UsageError(f"{where} takes {arg.kind}, not {kind}")
        return value


def _fits(kind: str, arg: Arg) -> bool:
    if "?" in (kind, arg.kind) or kind == arg.kind or kind in arg.accepts:
        return True
    if kind.startswith("tuple") and arg.kind.startswith("tuple"):
        return "any" in (kind[6:], arg.kind[6:]) or kind[6:] == arg.kind[6:]
    return arg.kind == "number" and kind in ("int", "float", "bool")


def _bind(row: OpRow, args: Sequence[Any], kwargs: dict[str, Any]) -> list[tuple[Arg, Any]]:
    """Returns every argument with what was given for it, in the primitive's order."""
    bound: list[tuple[Arg, Any]] = []
    rest = list(args)
    for arg in row.inputs:
        if arg.mode == "dynamic":
            bound += [(arg, value) for value in rest]
            rest = []
            continue
        if rest and arg.name not in kwargs:
            bound.append((arg, rest.pop(0)))
        elif arg.name in kwargs:
            bound.append((arg, kwargs[arg.name]))
        elif arg.default is not MISSING:
            bound.append((arg, arg.default))
        elif arg.mode == "optional":
            bound.append((arg, None))
        else:
            raise UsageError(f"{row.name}: argument {arg.name!r} is missing")
    if rest:
        raise UsageError(f"{row.name} takes {len(row.inputs)} argument(s), {len(args)} were given by position")
    known = {a.name for a in row.inputs} | (set() if row.function else set(row.attrs))
    unknown = sorted(set(kwargs) - known)
    if unknown:
        raise UsageError(f"{row.name} has no argument {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    return bound


def _attributes(row: OpRow, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Returns the attributes to write: those given and the defaults of the others (a loader fills nothing in)."""
    out: dict[str, Any] = {}
    missing = []
    for name, attr in row.attrs.items():
        if name in kwargs:
            out[name] = _plain(kwargs[name])
        elif attr.required:
            missing.append(name)
        elif attr.default is not None and attr.default is not MISSING:
            out[name] = attr.default
    if missing:
        raise UsageError(f"{row.name}: attribute {', '.join(missing)} is missing")
    return out


def _plain(value: Any) -> Any:
    """Returns NumPy numbers and sequences as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return tuple(_plain(v) for v in value)
    return value


def _coerce(where: str, arg: Arg, given: Any) -> Any:
    """Returns the literal to write for `given`. Raises UsageError if the argument cannot take it."""
    value = _plain(given)
    if value is None:
        if arg.mode == "optional" or arg.kind == "?":
            return None
        raise UsageError(f"{where} cannot be None")
    if isinstance(value, DType) and arg.handler == "dtype_to_type_id":
        if value.type_id is None:
            raise UnsupportedDType(f"MindSpore has no element type {value.name}")
        return value.type_id
    if isinstance(value, str) and arg.handler == "dtype_to_type_id":
        return {"Int32": 34, "Int64": 35, "Float16": 42}[value]
    if isinstance(value, str) and arg.kind == "int":
        return _enum(where, arg, value)
    if isinstance(value, bool):
        accepted = "bool"
    elif isinstance(value, int) and arg.kind in ("float", "tuple_float"):
        return float(value)
    elif isinstance(value, (np.ndarray, ir.TensorProtocol)):
        accepted = "tensor"
    else:
        accepted = _literal_kind(value)
    if accepted in ("tuple_any", "tuple_int") and value == () and arg.kind.startswith("tuple"):
        return value
    if not _fits(accepted, arg) or (accepted != arg.kind and arg.kind.startswith("tuple") and "tuple" not in accepted):
        raise UsageError(f"{where} takes {arg.kind}, not {accepted}")
    if arg.kind == "tensor" and accepted != "tensor":
        raise UsageError(f"{where} takes a tensor; a plain number is another kind: use b.const({value!r}, dtype)")
    return value


def _enum(where: str, arg: Arg, word: str) -> int:
    words = {k.lower(): v for k, v in ENUMS.get(arg.name, {}).items()}
    if word.lower() not in words:
        raise UsageError(f"{where}: the number behind {word!r} is not tabulated")
    return words[word.lower()]


def _result_kind(row: OpRow) -> str:
    if len(row.outputs) > 1:
        return "tuple_any"
    return row.outputs[0][1] if row.outputs else "?"
