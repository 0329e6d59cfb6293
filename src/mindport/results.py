"""What `inspect`, `verify` and `convert` return: plain records that print, compare and turn into JSON.

Every record has `to_dict()`; its `schema_version` rises when a key changes its meaning or goes away (new keys may
appear at any time).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

__all__ = [
    "SCHEMA_VERSION",
    "Check",
    "ConversionReport",
    "GraphInfo",
    "Inspection",
    "TensorInfo",
    "ValueInfo",
    "Verification",
    "plain",
]

SCHEMA_VERSION = 1

Status = Literal["passed", "failed", "not proved"]


def plain(value: Any) -> Any:
    """Returns `value` as what JSON can hold; records become dicts, numbers that JSON lacks become their names."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


class Record:
    """Gives a dataclass its JSON form."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON-compatible values, with `schema_version` first."""
        return {"schema_version": SCHEMA_VERSION, **plain(self)}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file: its name, dtype name, shape and size in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class ValueInfo:
    """An input or output of a graph. A dimension is a number, a symbol's name, or None; unknown parts are None."""

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class GraphInfo:
    """The outline of a model file.

    Attributes:
        name: the graph's own name.
        producer: program and version that wrote the file; empty when the file does not say.
        opsets: operator-set version by domain ("" is ONNX's own).
        inputs: what must be fed, without the weights.
        outputs: what comes back.
        ops: number of nodes by operator, most frequent first, sub-graphs included.
        nodes: number of nodes.
        weights: number of stored tensors.
        weights_nbytes: their content in bytes.
    """

    name: str
    producer: str
    opsets: Mapping[str, int]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    ops: Mapping[str, int]
    nodes: int
    weights: int
    weights_nbytes: int


@dataclass(frozen=True)
class Inspection(Record):
    """What a file holds.

    Attributes:
        path: the file.
        format: short name, e.g. ``ckpt``.
        title: the format in words.
        kind: ``weights`` or ``graph``.
        nbytes: size of the file in bytes.
        tensors: the stored tensors in file order.
        graph: the outline of a model; None for weights.
        info: what the file says about itself (epoch, step, metrics, checksums, ...).
    """

    path: str
    format: str
    title: str
    kind: str
    nbytes: int
    tensors: tuple[TensorInfo, ...] = ()
    graph: GraphInfo | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One thing that was examined: ``passed``, ``failed``, or ``not proved`` (with the reason in `detail`)."""

    name: str
    status: Status
    detail: str = ""


class _Judged(Record):
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True if no check failed. What could not be proved is listed in `checks`."""
        return all(c.status != "failed" for c in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON-compatible values, with `schema_version` first and the verdict `ok`."""
        return {**super().to_dict(), "ok": self.ok}


@dataclass(frozen=True)
class Verification(_Judged):
    """What was proved about a file. A file that is damaged never gets this far: `verify` raises instead.

    Attributes:
        path: the file.
        format: short name, e.g. ``ckpt``.
        title: the format in words.
        kind: ``weights`` or ``graph``.
        nbytes: size of the file in bytes.
        checks: one entry for each thing examined.
    """

    path: str
    format: str
    title: str
    kind: str
    nbytes: int
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class ConversionReport(_Judged):
    """What `convert` did and what was proved about the result.

    Attributes:
        source: the file read.
        source_format: its format's short name.
        target: the file written.
        target_format: its format's short name.
        kind: ``weights`` or ``graph`` (of the target).
        tensors: number of tensors carried over.
        nbytes: size of the written file in bytes.
        seconds: duration of reading, writing and checking.
        checks: one entry for each proof.
        notes: what the target cannot hold and was left out.
    """

    source: str
    source_format: str
    target: str
    target_format: str
    kind: str
    tensors: int
    nbytes: int
    seconds: float
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
