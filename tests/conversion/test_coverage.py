"""The coverage table says what the registry holds."""

from __future__ import annotations

import pytest

from mindport import ops
from mindport.conversion.coverage import as_markdown, coverage, lift_coverage


@pytest.mark.parametrize("target", ["MINDIR", "AIR"])
def test_every_binding_of_a_hub_operator_has_a_row(target: str) -> None:
    rows = {row.op: row for row in coverage(target)}
    native = {c.op for c in ops.cards() if ops.lower_rule(ops.TARGETS[target], c.op) and c.op in rows}
    assert {op for op, row in rows.items() if row.way == "native"} >= native
    assert rows["Conv"].way == "native"
    assert rows["Conv"].samples >= 5
    assert rows["MeanVarianceNormalization"].way in ("native", "composed")
    assert rows["StringSplit"].way == "none"
    assert list(rows) == sorted(rows)


def test_the_page_has_one_row_per_operator() -> None:
    lines = as_markdown().splitlines()
    assert len(lines) == len(coverage("MINDIR")) + 2
    assert any(line.startswith("| Relu | yes (2) |") for line in lines)


def test_lifts_are_listed() -> None:
    assert "Conv2D" in lift_coverage("MINDIR")
    assert len(lift_coverage("MINDIR")) > 150
