"""From a model file to a model file of another format, with a proof."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from mindport.conversion.export import count_ops, write_model
from mindport.conversion.lift import dialect_of
from mindport.conversion.parity import Parity, prove
from mindport.conversion.pipeline import for_onnx, to_onnx, to_target
from mindport.conversion.run import random_inputs, run_graph
from mindport.errors import CorruptFile, MindportError, Unsupported, UsageError, printable
from mindport.formats import registry
from mindport.ops import TARGETS
from mindport.results import Check, Record

__all__ = ["ConvertedModel", "convert_model", "converted"]


@dataclass(frozen=True)
class ConvertedModel(Record):
    """What `convert_model` wrote.

    Attributes:
        path: the model file; `paths` lists all files, the model last.
        nbytes: size of all files together.
        weights: number of weights carried over.
        ops: nodes of the written graph by operator.
        seconds: duration, the proof included.
        parity: the comparison of both files' outputs on random inputs; None if none was made.
        check: the same as a line of a report, ``not proved`` with the reason where no comparison was possible.
    """

    path: str
    paths: tuple[str, ...]
    nbytes: int
    weights: int
    ops: Mapping[str, int]
    seconds: float
    parity: Parity | None
    check: Check | None


def convert_model(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    to: str | None = None,
    check: bool = True,
    overwrite: bool = True,
) -> ConvertedModel:
    """Converts a model among ONNX, MINDIR and AIR.

    Args:
        src: the file to read; its format is found by content.
        dst: the file to write; its format by suffix, unless `to` names it.
        to: short name of the target format (``"onnx"``, ``"mindir"``, ``"air"``).
        check: run both files on the same random inputs and compare.
        overwrite: replace an existing file.

    Raises:
        UnsupportedOps: every operator that has no way to the target; nothing is written then.
        UsageError: one of the files is no model.
        FormatError, StorageError: as reading and writing raise them.
    """
    started = time.perf_counter()
    source, target = registry.detect(src), registry.by_suffix(dst) if to is None else registry.by_name(to)
    for fmt in (source, target):
        if fmt.name not in ("onnx", "mindir", "air"):
            raise UsageError(f"{fmt.title} is no model format; models go among ONNX, MINDIR and AIR")
    model = registry.module_of(source).read(src)
    try:
        result = converted(model, target.name)
        paths, nbytes = write_model(result, Path(dst), target.name, overwrite=overwrite)
    except ir.serde.SerdeError as exc:  # values that only show when they are put into protobuf
        raise CorruptFile(f"the model contradicts itself: {printable(str(exc.__cause__ or exc))}", path=src) from exc
    found, line = _proof(model, paths[-1]) if check else (None, None)
    return ConvertedModel(
        path=paths[-1],
        paths=paths,
        nbytes=nbytes,
        weights=len(result.graph.initializers),
        ops=count_ops(result),
        seconds=time.perf_counter() - started,
        parity=found,
        check=line,
    )


def converted(model: ir.Model, target: str) -> ir.Model:
    """Returns `model` (of any dialect) in the operators of the format `target` (``onnx``, ``mindir`` or ``air``)."""
    domain = TARGETS.get(target.upper(), "")
    if dialect_of(model) == domain:
        return model
    hub = to_onnx(model)
    return to_target(hub, domain) if domain else for_onnx(hub)


def _proof(model: ir.Model, path: str) -> tuple[Parity | None, Check]:
    """Runs source and result; a model that cannot be run here is not proved, one that differs has failed."""
    try:
        inputs = random_inputs(model)
        expected = run_graph(model, inputs)
    except MindportError as exc:
        return None, Check("same outputs", "not proved", f"the source cannot be run: {exc}")
    try:
        found = prove(path, expected, inputs)
    except Unsupported as exc:
        return None, Check("same outputs", "not proved", f"the result cannot be run: {exc}")
    except MindportError as exc:
        return None, Check("same outputs", "failed", str(exc))
    return found, found.check()
