"""Judges AIR models: against the operator table, and declared shapes against what ONNX infers for them."""

from __future__ import annotations

import onnx_ir as ir

from mindport.conversion.lift import lift_values
from mindport.errors import UnsupportedOp, UnsupportedOps
from mindport.formats import air
from mindport.formats.air import Violation

__all__ = ["check", "refuse"]


def check(model: ir.Model) -> list[Violation]:
    """Returns everything that is wrong with a GE model: table violations first, then shapes and element types.

    Shapes are inferred by ONNX from what each operator was lifted to; an operator without a lift is not judged.
    """
    return air.check(model) + _contradictions(model)


def refuse(model: ir.Model) -> ir.Model:
    """Returns a GE model that the operator table allows.

    Raises:
        UnsupportedOps: everything that the table says against it.
    """
    found = air.check(model)
    if found:
        problems: dict[tuple[str, str], list[str]] = {}
        for v in found:
            problems.setdefault((v.op or "graph", v.message), []).append(v.node)
        raise UnsupportedOps(
            "AIR", [UnsupportedOp(op, message, tuple(nodes)) for (op, message), nodes in problems.items()]
        )
    return model


def _contradictions(model: ir.Model) -> list[Violation]:
    lifted = lift_values(model)
    found: list[Violation] = []
    for node in model.graph:
        for out in node.outputs:
            value = lifted.get(out)
            if isinstance(value, ir.Value):
                found += [Violation(str(node.name), node.op_type, "shape", text) for text in _difference(out, value)]
    return found


def _difference(declared: ir.Value, inferred: ir.Value) -> list[str]:
    problems = []
    if declared.dtype is not None and inferred.dtype is not None and declared.dtype != inferred.dtype:
        problems.append(f"declares {declared.dtype.name.lower()}, the operator gives {inferred.dtype.name.lower()}")
    if declared.shape is None or inferred.shape is None:
        return problems
    left, right = list(declared.shape), list(inferred.shape)
    differ = len(left) != len(right) or any(
        isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(left, right, strict=False)
    )
    if differ:
        problems.append(f"declares the shape {left}, the operator gives {right}")
    return problems
