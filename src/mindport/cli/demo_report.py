"""What `mindport demo` found out, as a record and as tables."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindport.cli.render import count, size, table
from mindport.extras import available, need
from mindport.results import Check, Record

__all__ = ["DemoReport", "Export", "Stage", "render"]

_PLAIN_WIDTH = 160  # columns of tables that go to no terminal
_MARK = {"passed": "ok", "failed": "FAILED", "not proved": "not proved"}


@dataclass(frozen=True)
class Stage:
    """One part of the demo and its duration in seconds."""

    name: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Export:
    """One exported file and how it was proved.

    Attributes:
        format: ``ONNX``, ``MINDIR`` or ``AIR``.
        file: its name.
        nbytes: its size.
        seconds: duration of the export; `proof_seconds` that of the run that proves it.
        max_abs, max_rel: largest difference from PyTorch's outputs; `max_rel` relative to the largest output.
        cosine: cosine of the angle between both outputs.
        proof: what ran the file, and what else was checked.
        ok: the file gives the network's outputs, and no check of its structure failed.
    """

    format: str
    file: str
    nbytes: int
    seconds: float
    proof_seconds: float
    max_abs: float
    max_rel: float
    cosine: float
    proof: str
    ok: bool


@dataclass(frozen=True)
class DemoReport(Record):
    """The result of the demo.

    Attributes:
        network: its name; `epochs` the number of epochs trained.
        accuracy: share of the 360 test images that the restored network gets right.
        checks: what was promised, and whether it held.
        exports: one entry per file format.
        stages: durations.
        folder: where the files are; None if they were deleted.
    """

    network: str
    epochs: int
    accuracy: float
    checks: tuple[Check, ...]
    exports: tuple[Export, ...]
    stages: tuple[Stage, ...]
    folder: str | None

    @property
    def ok(self) -> bool:
        """True if everything held."""
        return all(c.status == "passed" for c in self.checks) and all(e.ok for e in self.exports)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON-compatible values, with the verdict `ok`."""
        return {**super().to_dict(), "ok": self.ok}


def render(report: DemoReport, width: int | None = None) -> str:
    """Returns the tables of the demo; drawn by `rich` where that is installed.

    Args:
        report: the result.
        width: columns of the terminal, which gets colours; None for a file or pipe, which gets none.
    """
    seconds = sum(stage.seconds for stage in report.stages)
    checks = [(c.name, _MARK[c.status], c.detail) for c in report.checks]
    exports = [
        (
            e.format,
            size(e.nbytes),
            f"{e.seconds:.1f}",
            f"{e.max_abs:.1e}",
            f"{e.max_rel:.1e}",
            f"{e.cosine:.9f}",
            "ok" if e.ok else "FAILED",
            e.proof,
        )
        for e in report.exports
    ]
    stages = [(s.name, f"{s.seconds:.1f}", s.note) for s in report.stages]
    verdict = "Everything held" if report.ok else "NOT everything held"
    return "\n\n".join(
        (
            _table("Training, killed and resumed", ("what was promised", "", "what happened"), checks, (), width),
            _table(
                "Exported files, run on 16 real test images and compared with PyTorch",
                ("format", "size", "export s", "max abs", "max rel", "cosine", "", "proved by"),
                exports,
                (1, 2, 3, 4, 5),
                width,
            ),
            _table("Time", ("stage", "seconds", ""), stages, (1,), width),
            f"{verdict}: {report.network}, {count(report.epochs, 'epoch')} on real digits, {seconds:.0f} s in all.\n"
            + (f"Files: {report.folder}" if report.folder else "The files were deleted; --out DIR keeps them."),
        )
    )


def _table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int], width: int | None
) -> str:
    """Returns one table; `right` are the columns aligned to the right."""
    if not available("rich"):
        return f"{title}\n\n{table(head, rows, right)}"
    drawn = need("rich.table").Table(title=title, title_justify="left", box=need("rich.box").SIMPLE_HEAD)
    for i, text in enumerate(head):
        drawn.add_column(text, justify="right" if i in right else "left", overflow="fold")
    plain = need("rich.text").Text
    styles = {"ok": "green", "FAILED": "bold red", "not proved": "yellow"}
    for row in rows:
        drawn.add_row(*(plain(cell, style=styles.get(cell, "")) for cell in row))
    terminal = width is not None
    output = io.StringIO()
    console = need("rich.console").Console(
        file=output,
        width=width or _PLAIN_WIDTH,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
    )
    console.print(drawn)
    return "\n".join(line.rstrip() for line in output.getvalue().rstrip().splitlines())
