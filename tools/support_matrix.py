"""Writes the operator tables in the documentation from the op cards: `python tools/support_matrix.py [--check]`.

The text between `<!-- operators:begin -->` and `<!-- operators:end -->` of each page is replaced. With --check nothing
is written; the exit code is 1 when a page is not current.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mindport import ops
from mindport.dialects.literals import GE, MINDSPORE

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- operators:begin -->", "<!-- operators:end -->"


def mark(yes: bool) -> str:
    return "yes" if yes else "–"


def to_target(domain: str, op: str) -> bool:
    return ops.lower_rule(domain, op) is not None


def by_family() -> Iterator[str]:
    """A short table: one row per family of operators."""
    families: dict[str, list[str]] = {}
    for card in ops.cards():
        families.setdefault(card.family, []).append(card.op)
    yield "| family | ONNX operators that become native MINDIR and AIR operators |"
    yield "|---|---|"
    for family, names in sorted(families.items()):
        shown = []
        for op in names:
            lacks = [t for t, domain in ops.TARGETS.items() if not to_target(domain, op)]
            shown.append(f"{op} (not {', '.join(lacks)})" if lacks else op)
        yield f"| {family} | {', '.join(shown)} |"
    lifted = {t: len(ops.lifted_ops(domain)) for t, domain in ops.TARGETS.items()}
    yield ""
    counts = [sum(to_target(domain, c.op) for c in ops.cards()) for domain in (MINDSPORE, GE)]
    yield (
        f"ONNX → MINDIR: {counts[0]} operators; ONNX → AIR: {counts[1]}. "
        f"Back to ONNX: {lifted['MINDIR']} MINDIR operators, {lifted['AIR']} AIR operators. "
        "Others are first rewritten by ONNX's own function bodies; what then remains is refused, all of it at once."
    )


def in_full() -> Iterator[str]:
    """One row per card."""
    yield "| ONNX operator | MINDIR | AIR | samples | remarks |"
    yield "|---|---|---|---|---|"
    for card in ops.cards():
        columns = [mark(to_target(domain, card.op)) for domain in (MINDSPORE, GE)]
        yield f"| {card.op} | {' | '.join(columns)} | {len(card.samples)} | {card.notes} |"
    for target, domain in ops.TARGETS.items():
        yield ""
        yield f"{target} operators that become ONNX: {', '.join(ops.lifted_ops(domain)) or 'none'}."


PAGES: dict[str, Callable[[], Iterator[str]]] = {"README.md": by_family, "docs/support.md": in_full}


def current(text: str, lines: Iterator[str]) -> str:
    """Returns the page's text with the generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"the page lacks {BEGIN} ... {END}"
    return before + BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + END + after


def main(check: bool) -> int:
    stale = 0
    for name, generate in PAGES.items():
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        new = current(text, generate())
        if new != text:
            stale += 1
            print(f"{name} is not current" if check else f"{name} rewritten")
            if not check:
                page.write_text(new, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
