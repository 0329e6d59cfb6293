"""Inputs of GE nodes by name: a file may leave out optional inputs, and says which ones are there by their names."""

from __future__ import annotations

import re
from typing import Any

import onnx_ir as ir

from mindport.dialects.table import OpRow
from mindport.dtypes import DType

__all__ = ["arranged", "fits"]


def arranged(node: ir.Node, row: OpRow | None) -> list[ir.Value | None]:
    """Returns the node's inputs in prototype order: None for optional ones that are not fed, dynamic ones in a row.

    A node whose input names are unknown or do not fit the prototype keeps its order; the table check reports that.
    """
    names = node.meta.get("ge.inputs")
    if row is None or names is None or len(names) != len(node.inputs):
        return list(node.inputs)
    given = dict(zip(names, node.inputs, strict=True))
    out: list[ir.Value | None] = []
    for arg in row.inputs:
        if arg.mode == "dynamic":
            numbered = [
                (int(m[1]), v) for n, v in given.items() if (m := re.fullmatch(rf"{re.escape(arg.name)}(\d+)", n))
            ]
            out += [v for _, v in sorted(numbered, key=lambda pair: pair[0])]
        else:
            out.append(given.get(arg.name))
    if sum(v is not None for v in out) != sum(v is not None for v in node.inputs):
        return list(node.inputs)
    while out and out[-1] is None:
        out.pop()
    return out


_SCALARS: dict[str, type] = {"Int": int, "Float": float, "Bool": bool, "String": str, "Type": DType}


def fits(kind: str, value: Any) -> bool:
    """True if a literal is what a prototype's attribute of this kind holds."""
    if kind.startswith("List"):
        return isinstance(value, (tuple, list)) and all(fits(kind[4:], v) for v in value)
    wanted = _SCALARS.get(kind)
    return wanted is None or type(value) is wanted
