"""From a network to a model file: trace, convert, write, report."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from mindport.adapters.torch_forms import STAND_IN
from mindport.adapters.torch_trace import DynamicSpec, evaluate, leaves, trace_all
from mindport.conversion.parity import Parity, prove
from mindport.conversion.pipeline import for_onnx, to_target
from mindport.dialects.emit_onnx import HUB_OPSET
from mindport.errors import MindportError, UnsupportedOp, UnsupportedOps, UsageError, WrongTypeError
from mindport.formats import registry
from mindport.ops import TARGETS
from mindport.results import Record
from mindport.storage.atomic import commit
from mindport.wire.writer import Chunk

__all__ = ["FORMATS", "ExportReport", "export", "target_path", "write_model"]

FORMATS = ("ONNX", "MINDIR", "AIR")


@dataclass(frozen=True)
class ExportReport(Record):
    """What `export` wrote.

    Attributes:
        path: the model file.
        paths: every file written: weights beside a very large model come first, `path` last.
        format: ``ONNX``, ``MINDIR`` or ``AIR``.
        nbytes: size of all files together.
        seconds: duration without the proof.
        inputs, outputs: names, in order.
        ops: nodes of the written graph by operator.
        parity: the comparison with the network's own outputs; None if none was asked for.
    """

    path: str
    paths: tuple[str, ...]
    format: str
    nbytes: int
    seconds: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: Mapping[str, int]
    parity: Parity | None = None


def export(
    net: Any,
    *inputs: Any,
    file_name: str | os.PathLike[str],
    file_format: str = "AIR",
    dynamic: DynamicSpec | None = None,
    opset: int | None = None,
    check: bool = False,
) -> ExportReport:
    """Writes what `net` computes from `inputs` as a model file.

    The network is traced in evaluation mode and left as it was. Parameters keep their names. The file appears whole or
    not at all.

    Args:
        net: a `torch.nn.Module`.
        inputs: example arguments of its `forward`; their shapes become the file's, except for `dynamic` axes.
        file_name: where to write; the format's suffix is added when it is missing.
        file_format: ``"ONNX"``, ``"MINDIR"`` or ``"AIR"``.
        dynamic: axes that may change in size, by input: ``{0: {0: "batch"}}``.
        opset: ONNX opset of an ONNX file (default 21).
        check: run the written file and compare with the network's own outputs. The file stays whatever comes out;
            `report.parity.ok` and `CheckFailed` tell.

    Raises:
        UnsupportedOps: every operator that has no way to the format, with its place in the network.
        Unsupported: PyTorch cannot trace the network.
        UsageError: `file_format` or another argument makes no sense.
        CheckFailed: with `check`, the runtime that the file is for refused it.
        StorageError: the file system refused.
    """
    fmt = _format(file_format)
    path = target_path(file_name, fmt)
    if opset is not None and (fmt != "ONNX" or not isinstance(opset, int) or opset < 18):
        raise UsageError("opset is for ONNX files, and 18 at least")
    if not inputs:
        raise UsageError("export needs at least one example input")
    started = time.perf_counter()
    source, missing = trace_all(net, inputs, dynamic=dynamic, opset=opset or HUB_OPSET)
    if missing or source is None:
        raise UnsupportedOps(fmt, [*missing, *_lacking(source, fmt)])
    model = for_onnx(source) if fmt == "ONNX" else to_target(source, TARGETS[fmt])
    paths, nbytes = write_model(model, path, fmt)
    report = ExportReport(
        path=paths[-1],
        paths=paths,
        format=fmt,
        nbytes=nbytes,
        seconds=time.perf_counter() - started,
        inputs=tuple(str(v.name) for v in model.graph.inputs),
        outputs=tuple(str(v.name) for v in model.graph.outputs),
        ops=count_ops(model),
    )
    if not check:
        return report
    found = prove(report.path, evaluate(net, inputs), leaves(inputs), names=report.outputs)
    return replace(report, parity=found)


def _lacking(source: ir.Model | None, fmt: str) -> list[UnsupportedOp]:
    """Returns the operators that the target lacks, of a graph with stand-ins for what has no ONNX form."""
    if source is None or fmt == "ONNX":
        return []
    try:
        to_target(source, TARGETS[fmt])
    except UnsupportedOps as exc:
        return [op for op in exc.ops if not op.op.startswith(f"{STAND_IN}.")]
    except MindportError:
        return []  # more cannot be found out while there are stand-ins in the graph
    return []


def _format(file_format: str) -> str:
    if not isinstance(file_format, str):
        raise WrongTypeError(f"file_format has to be a str, not {type(file_format).__name__}")
    if file_format.upper() not in FORMATS:
        raise UsageError(f"file_format {file_format!r} is not one of {', '.join(FORMATS)}")
    return file_format.upper()


def target_path(file_name: str | os.PathLike[str], fmt: str) -> Path:
    """Returns the path to write for a format, its suffix added when missing. Raises UsageError, WrongTypeError."""
    if not isinstance(file_name, (str, os.PathLike)):
        raise WrongTypeError(f"file_name has to be a path, not {type(file_name).__name__}")
    text = os.fspath(file_name)
    suffix = f".{fmt.lower()}"
    if not text or text.endswith(("/", os.sep)) or text == suffix:
        raise UsageError(f"file_name {text!r} names no file")
    return Path(text if text.lower().endswith(suffix) else text + suffix)


def count_ops(model: ir.Model) -> dict[str, int]:
    """Returns the nodes of the main graph by operator, most frequent first; literals are not counted."""
    counted = Counter(n.op_type for n in model.graph if not (n.domain and n.op_type == "Constant"))
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def write_model(model: ir.Model, path: Path, fmt: str, *, overwrite: bool = True) -> tuple[tuple[str, ...], int]:
    """Writes a model whole or not at all; returns the paths written (the model last) and their size together.

    Nothing is written if the format cannot hold the model. Above the format's size limit weights go to a file beside
    it.
    """
    module = registry.module_of(registry.by_name(fmt.lower()))
    pieces: dict[str, Iterator[Chunk]]
    if hasattr(module, "files"):
        pieces = module.files(model, path.stem)
    else:
        # every problem shows before the first byte is written
        pieces = {path.name: iter(list(module.write(model)))}
    total = 0
    written = []
    for name, chunks in pieces.items():
        place = path if len(pieces) == 1 else path.parent / name
        if "/" in name:
            place.parent.mkdir(exist_ok=True)
        total += commit(place, chunks, overwrite=overwrite)
        written.append(str(place))
    return tuple(written), total
