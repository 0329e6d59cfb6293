"""Which operators go where, derived from the cards and from ONNX's own function bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from mindport import ops
from mindport.dialects.emit_onnx import HUB_OPSET
from mindport.results import Record

__all__ = ["OpCoverage", "as_markdown", "coverage", "lift_coverage"]


@dataclass(frozen=True)
class OpCoverage(Record):
    """How one ONNX operator is converted to one target.

    Attributes:
        way: ``native`` (a card), ``composed`` (through ONNX's own function body), or ``none``.
        samples: how many sample models of it are tried on this target.
        notes: where the target is known to differ.
    """

    op: str
    target: str
    way: str
    samples: int
    notes: str


def coverage(target: str) -> list[OpCoverage]:
    """Returns one row per ONNX operator of the hub opset, for ``"MINDIR"`` or ``"AIR"``, sorted by operator."""
    domain = ops.TARGETS[target]
    cards = {card.op: card for card in ops.cards()}
    rows = []
    for op, schema in sorted(_schemas().items()):
        card = cards.get(op)
        native = ops.lower_rule(domain, op) is not None
        composed = not native and (bool(schema.has_function) or bool(schema.has_context_dependent_function))
        way = "native" if native else "composed" if composed else "none"
        samples = 0 if card is None or not native else sum(target in s.targets for s in card.samples)
        rows.append(OpCoverage(op, target, way, samples, card.notes if card and native else ""))
    return rows


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}  # OpSchema; its stubs do not list what is used here
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain != "" or schema.since_version > HUB_OPSET or schema.deprecated:
            continue
        known = found.get(schema.name)
        if known is None or known.since_version < schema.since_version:
            found[schema.name] = schema
    return found


def lift_coverage(target: str) -> list[str]:
    """Returns the operators of ``"MINDIR"`` or ``"AIR"`` files that have a way to ONNX, sorted."""
    return ops.lifted_ops(ops.TARGETS[target])


def as_markdown() -> str:
    """Returns the table of all operators and both targets as a Markdown page body."""
    tables = {target: {row.op: row for row in coverage(target)} for target in ops.TARGETS}
    lines = ["| ONNX operator | MINDIR | AIR | notes |", "| --- | --- | --- | --- |"]
    for op, row in tables["MINDIR"].items():
        other = tables["AIR"][op]
        notes = " ".join(dict.fromkeys(filter(None, (row.notes, other.notes))))
        lines.append(f"| {op} | {_cell(row)} | {_cell(other)} | {notes} |")
    return "\n".join(lines) + "\n"


def _cell(row: OpCoverage) -> str:
    return {"native": f"yes ({row.samples})", "composed": "composed", "none": "–"}[row.way]
