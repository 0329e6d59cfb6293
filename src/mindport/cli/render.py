"""Results as text for people: aligned tables, sizes with units, untrusted names made printable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from mindport.environment import Environment
from mindport.errors import printable
from mindport.formats.ckpt import RESERVED
from mindport.results import Check, ConversionReport, GraphInfo, Inspection, ValueInfo, Verification

_MARK = {"passed": ("ok", "green"), "failed": ("FAILED", "red"), "not proved": ("not proved", "yellow")}


def size(nbytes: int) -> str:
    """Returns a size in the unit that suits it: 712 B, 4.3 kB, 94.4 MB (powers of ten)."""
    value = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{nbytes} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def count(number: int, noun: str) -> str:
    """Returns "1 tensor" or "2 tensors"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Returns aligned columns, two blanks apart; the columns in `right` are aligned to the right."""
    all_rows = [tuple(head), *(tuple(r) for r in rows)]
    widths = [max(len(r[i]) for r in all_rows) for i in range(len(head))]
    lines = []
    for row in all_rows:
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def shape_text(shape: Sequence[int | str | None] | None) -> str:
    """Returns "(2, N, 4)", "()" for a scalar, "?" for what is unknown."""
    if shape is None:
        return "?"
    dims = ["?" if d is None else printable(str(d)) for d in shape]
    return f"({dims[0]},)" if len(dims) == 1 else f"({', '.join(dims)})"


def _title(path: str, title: str, nbytes: int) -> str:
    return f"{click.style(printable(path), bold=True)}: {title}, {size(nbytes)}"


def inspection(result: Inspection) -> str:
    """Returns the text of `mindport inspect`."""
    parts = [_title(result.path, result.title, result.nbytes)]
    said = {
        k: v for k, v in result.info.items() if v not in (None, "", {}, 0)
    }  # what the file does not say is left out
    parts += [f"  {key.replace('_', ' ')}: {_info(value)}" for key, value in said.items()]
    if result.graph is not None:
        return "\n".join([*parts, _graph(result.graph)])
    shown = [t for t in result.tensors if not t.name.startswith(RESERVED)]
    if shown:
        rows = [(printable(t.name), t.dtype, shape_text(t.shape), f"{t.nbytes:,}") for t in shown]
        parts += ["", table(("name", "dtype", "shape", "bytes"), rows, right=(3,)), ""]
    parts.append(f"{count(len(shown), 'tensor')}, {sum(t.nbytes for t in shown):,} bytes of content")
    state = [t for t in result.tensors if t.name.startswith(RESERVED)]
    if state:
        parts.append(f"training state: {count(len(state), 'value')}, {sum(t.nbytes for t in state):,} bytes")
    return "\n".join(parts)


def _info(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(k))}={_info(v)}" for k, v in value.items())
    return printable(f"{value:.6g}" if isinstance(value, float) else str(value))


def _value(value: ValueInfo) -> tuple[str, str, str]:
    return printable(value.name), value.dtype or "?", shape_text(value.shape)


def _graph(graph: GraphInfo) -> str:
    versions = ", ".join(f"{printable(domain) or 'onnx'} {version}" for domain, version in graph.opsets.items())
    lines = [f"  graph: {printable(graph.name) or '(unnamed)'}"]
    if graph.producer:
        lines.append(f"  producer: {printable(graph.producer)}")
    if versions:
        lines.append(f"  operator sets: {versions}")
    lines.append(f"  weights: {count(graph.weights, 'tensor')}, {size(graph.weights_nbytes)}")
    rows = [("input", *_value(v)) for v in graph.inputs] + [("output", *_value(v)) for v in graph.outputs]
    lines += ["", table(("", "name", "dtype", "shape"), rows)]
    ops = [(printable(op), str(n)) for op, n in graph.ops.items()]
    lines += ["", table(("operator", "nodes"), ops, right=(1,)), "", count(graph.nodes, "node")]
    return "\n".join(lines)


def _checks(checks: Sequence[Check]) -> list[str]:
    lines = []
    for check in checks:
        word, colour = _MARK[check.status]
        detail = f": {printable(check.detail, 1000)}" if check.detail else ""
        lines.append(f"  {click.style(word.ljust(10), fg=colour)}  {check.name}{detail}")
    return lines


def _verdict(ok: bool, checks: Sequence[Check]) -> str:
    if not ok:
        return click.style("FAILED", fg="red", bold=True)
    unproved = sum(c.status == "not proved" for c in checks)
    passed = sum(c.status == "passed" for c in checks)
    return f"{count(passed, 'check')} passed" + (f", {unproved} not proved" if unproved else "")


def verification(result: Verification) -> str:
    """Returns the text of `mindport verify`."""
    head = _title(result.path, result.title, result.nbytes)
    return "\n".join([head, *_checks(result.checks), _verdict(result.ok, result.checks)])


def conversion(result: ConversionReport) -> str:
    """Returns the text of `mindport convert`."""
    head = (
        f"{printable(result.source)} ({result.source_format}) -> {printable(result.target)} ({result.target_format}): "
        f"{count(result.tensors, 'tensor')}, {size(result.nbytes)}, {result.seconds:.1f} s"
    )
    notes = [f"  note: {printable(note, 1000)}" for note in result.notes]
    return "\n".join([head, *notes, *_checks(result.checks), _verdict(result.ok, result.checks)])


def environment(result: Environment) -> str:
    """Returns the text of `mindport doctor`."""
    rows = []
    for d in result.dependencies:
        state = "not installed" if d.version is None else {True: "works", False: "BROKEN", None: "installed"}[d.works]
        remark = printable(d.problem) if d.problem else d.install if d.version is None else ""
        rows.append((d.name, d.version or "-", state, remark))
    lines = [f"mindport {result.mindport}, Python {result.python}, {result.platform}", ""]
    lines += [table(("package", "version", "state", ""), rows), ""]
    for c in result.capabilities:
        lines.append(
            f"{'yes' if c.ready else 'no ':3}  {c.what}" + (f" (needs {', '.join(c.missing)})" * (not c.ready))
        )
    lines += ["", "accelerators: " + (", ".join(printable(a) for a in result.accelerators) or "none seen")]
    return "\n".join(lines)
