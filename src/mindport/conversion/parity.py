"""Proof that two models compute the same: their outputs compared number by number."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindport.adapters.mindspore import MindSporeWorker, installed
from mindport.conversion.run import Array, run_model
from mindport.errors import UsageError
from mindport.formats import registry
from mindport.results import Check, Record

__all__ = ["OutputDifference", "Parity", "compare", "prove", "tolerance"]

# element type -> (relative, absolute): rounding of two correct implementations that add in different orders
_TOLERANCE = {"float64": (1e-7, 1e-9), "float32": (1e-4, 1e-5), "float16": (5e-3, 2e-3), "bfloat16": (4e-2, 2e-2)}


def tolerance(dtype: Any) -> tuple[float, float]:
    """Returns (relative, absolute) tolerance for an element type; integers and truth values have to be equal."""
    return _TOLERANCE.get(np.dtype(dtype).name, (0.0, 0.0))


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is from the expected one.

    Attributes:
        max_abs: largest absolute difference.
        max_rel: largest difference relative to the largest expected magnitude.
        cosine: cosine of the angle between both, as vectors; 1 is equal direction.
        worst: index of the element with the largest difference.
        problem: why it failed; empty when it passed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    max_abs: float
    max_rel: float
    cosine: float
    worst: tuple[int, ...]
    problem: str = ""

    @property
    def ok(self) -> bool:
        """True if the output is within tolerance."""
        return not self.problem


@dataclass(frozen=True)
class Parity(Record):
    """The result of one comparison.

    Attributes:
        runner: what ran the file, e.g. ``MindSpore 2.10.0``.
        outputs: one entry per output.
        seconds: how long the file took to load and run.
    """

    runner: str
    outputs: tuple[OutputDifference, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """True if every output is within tolerance."""
        return all(o.ok for o in self.outputs)

    @property
    def max_abs(self) -> float:
        """Largest absolute difference of any output."""
        return max((o.max_abs for o in self.outputs), default=0.0)

    @property
    def max_rel(self) -> float:
        """Largest relative difference of any output."""
        return max((o.max_rel for o in self.outputs), default=0.0)

    @property
    def cosine(self) -> float:
        """Smallest cosine of any output."""
        return min((o.cosine for o in self.outputs), default=1.0)

    def check(self) -> Check:
        """Returns the comparison as one line of a report."""
        numbers = f"{self.runner}: max abs {self.max_abs:.3g}, max rel {self.max_rel:.3g}, cosine {self.cosine:.9f}"
        problems = "; ".join(f"{o.name}: {o.problem}" for o in self.outputs if o.problem)
        return Check(
            "same outputs", "passed" if self.ok else "failed", f"{numbers}; {problems}" if problems else numbers
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON-compatible values, the verdict included."""
        return {**super().to_dict(), "ok": self.ok}


def compare(
    expected: Sequence[Array],
    actual: Sequence[Array],
    names: Sequence[str] = (),
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> tuple[OutputDifference, ...]:
    """Returns one difference per output. Raises UsageError if the numbers of outputs differ.

    NaN equals NaN and infinities equal themselves. Tolerances default to those of the element type; the relative one
    counts against the larger of an element's own magnitude and 1 % of the output's largest.
    """
    if len(expected) != len(actual):
        raise UsageError(f"{len(expected)} outputs are expected, {len(actual)} came back")
    labels = [names[i] if i < len(names) else f"output {i}" for i in range(len(expected))]
    return tuple(
        _difference(label, np.asarray(e), np.asarray(a), rtol, atol)
        for label, e, a in zip(labels, expected, actual, strict=True)
    )


def _difference(name: str, expected: Array, actual: Array, rtol: float | None, atol: float | None) -> OutputDifference:
    def made(
        problem: str, max_abs: float = 0.0, max_rel: float = 0.0, cosine: float = 1.0, worst: Any = ()
    ) -> OutputDifference:
        return OutputDifference(name, actual.shape, actual.dtype.name, max_abs, max_rel, cosine, worst, problem)

    if expected.shape != actual.shape:
        return made(f"shape {list(actual.shape)} instead of {list(expected.shape)}", np.inf, np.inf, 0.0)
    if expected.dtype != actual.dtype:
        return made(f"type {actual.dtype.name} instead of {expected.dtype.name}", np.inf, np.inf, 0.0)
    if expected.size == 0:
        return made("")
    rel, absolute = tolerance(expected.dtype)
    rel, absolute = rel if rtol is None else rtol, absolute if atol is None else atol
    kind = np.complex128 if np.issubdtype(expected.dtype, np.complexfloating) else np.float64
    e, a = expected.astype(kind), actual.astype(kind)
    with np.errstate(all="ignore"):
        gap = np.where((e == a) | (np.isnan(e) & np.isnan(a)), 0.0, np.abs(e - a))
        gap = np.where(np.isnan(gap), np.inf, gap)
        finite = np.abs(e[np.isfinite(e)])
        largest = float(finite.max()) if finite.size else 0.0
        allowed = absolute + rel * np.maximum(np.where(np.isfinite(e), np.abs(e), 0.0), 0.01 * largest)
    worst = np.unravel_index(int(gap.argmax()), gap.shape)
    max_abs = float(gap.max())
    max_rel = max_abs / largest if largest else max_abs
    bad = int((gap > allowed).sum())
    problem = f"{bad} of {gap.size} elements differ by more than rounding" if bad else ""
    return made(problem, max_abs, max_rel, _cosine(e, a), tuple(int(i) for i in worst))


def _cosine(e: Array, a: Array) -> float:
    both = np.isfinite(e) & np.isfinite(a)
    x, y = e[both].ravel(), a[both].ravel()
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.real(np.vdot(x, y))) / norm if norm else 1.0


def prove(
    path: str | os.PathLike[str],
    expected: Sequence[Array],
    inputs: Sequence[Array],
    *,
    names: Sequence[str] = (),
    rtol: float | None = None,
    atol: float | None = None,
    worker: MindSporeWorker | None = None,
    mindspore: bool = True,
) -> Parity:
    """Runs the model in `path` on `inputs` and compares with `expected` (what the source computed).

    A MindIR runs in real MindSpore when that is installed, in a process of its own; everything else, and MindIR without
    MindSpore, in ONNX Runtime (lifted to ONNX where needed).

    Args:
        path: the file to run.
        expected: outputs of the source, in order.
        inputs: arrays in the order of the graph's inputs.
        names: names of the outputs, for the report.
        rtol: relative tolerance instead of the element type's own.
        atol: absolute tolerance instead of the element type's own.
        worker: a running MindSpore process to use; one is started and ended otherwise.
        mindspore: False keeps MindSpore out.

    Raises:
        CheckFailed: MindSpore refused or crashed.
        Unsupported: the file cannot be run here.
    """
    started = time.perf_counter()
    if registry.detect(path).name == "mindir" and mindspore and installed():
        actual, runner = _in_mindspore(path, inputs, worker)
    else:
        actual, runner = run_model(path, inputs), _onnxruntime()
    seconds = time.perf_counter() - started
    return Parity(runner, compare(expected, actual, names, rtol=rtol, atol=atol), seconds)


def _onnxruntime() -> str:
    from importlib.metadata import version

    return f"ONNX Runtime {version('onnxruntime')}"


def _in_mindspore(
    path: str | os.PathLike[str], inputs: Sequence[Array], worker: MindSporeWorker | None
) -> tuple[list[Array], str]:
    if worker is not None:
        outputs = worker.run(path, list(inputs))
        return outputs, f"MindSpore {worker.version}"
    with MindSporeWorker() as own:
        outputs = own.run(path, list(inputs))
        return outputs, f"MindSpore {own.version}"
