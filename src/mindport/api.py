"""`mindport.open`, `inspect`, `verify` and `convert`: any format, found by content, as plain functions.

Everything is lazy: a call imports the code of the formats it meets, nothing else.
"""

from __future__ import annotations

import os.path
import time
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mindport.errors import AlreadyExists, Unsupported, printable
from mindport.extras import load
from mindport.formats import registry
from mindport.formats.registry import Format
from mindport.results import ConversionReport, Inspection, Verification, plain
from mindport.storage.atomic import commit

__all__ = ["convert", "inspect", "open", "verify"]

MODELS = ("onnx", "mindir", "air")  # graphs that can be run; a graph.meta is an outline without weights


def open(path: str | PathLike[str]) -> Any:  # noqa: A001 - the documented public name
    """Opens a checkpoint, weight or model file of any known format; the format is found by content.

    Returns:
        For weights an ordered mapping from name to `Tensor`, whose content stays in the file until it is touched;
        checksums are left to `verify`. For a model an `onnx_ir.Model` in the operators of its own format.

    Raises:
        MissingFile, NotAFile, NoPermission: the file cannot be read.
        FormatError: it is damaged or of no known format.
        MissingExtra: reading this format needs a package that is not installed.
    """
    return registry.module_of(registry.detect(path)).read(path)


def inspect(path: str | PathLike[str]) -> Inspection:
    """Returns what a file holds: tensors with dtype and shape, or inputs, outputs and operators. Reads no content.

    Raises:
        MindportError: as `open`.
    """
    fmt = registry.detect(path)
    content = registry.module_of(fmt).read(path)
    common = _common(path, fmt)
    if fmt.kind == "weights":
        from mindport.weightfiles import tensor_infos

        return Inspection(**common, tensors=tensor_infos(content), info=plain(getattr(content, "info", {})))
    from mindport.conversion.outline import outline, weights_of

    return Inspection(**common, tensors=weights_of(content), graph=outline(content))


def verify(path: str | PathLike[str]) -> Verification:
    """Reads a whole file and returns what was proved about it: structure, checksums, operators.

    Returns:
        The checks made. `ok` is False when a sound file fails one of them, such as a model whose operators contradict
        the operator table. What could not be proved (a file without checksums, a runtime that is not installed) is
        listed as ``not proved``.

    Raises:
        FormatError: the file is damaged; the message names the place.
        MindportError: else as `open`.
    """
    fmt = registry.detect(path)
    if fmt.kind == "weights":
        from mindport.weightfiles import checks

        return Verification(**_common(path, fmt), checks=tuple(checks(path, fmt)))
    model = registry.module_of(fmt).read(path)
    graph_checks = load("mindport.conversion.checks", "checking a model").graph_checks
    found = graph_checks(model, path, has_weights=fmt.name in MODELS)
    return Verification(**_common(path, fmt), checks=tuple(found))


def convert(
    src: str | PathLike[str],
    dst: str | PathLike[str],
    *,
    to: str | None = None,
    check: bool = True,
    overwrite: bool = True,
) -> ConversionReport:
    """Converts a file into another format and proves the result.

    Weights go to every weight format, models to ONNX, MINDIR and AIR, and the weights of a model to a weight file.

    Args:
        src: the file to read; its format is found by content.
        dst: the file to write; its format is found by suffix.
        to: name of the target format (``"ckpt"``, ``"onnx"``, ...), instead of the suffix.
        check: read the result back and compare every tensor; run models on both sides where a runtime is installed.
        overwrite: replace an existing `dst`; if False that is an error.

    Returns:
        What was done and proved. `ok` is False when a proof failed.

    Raises:
        UsageError: the target format cannot be told.
        Unsupported: the target cannot express the source; nothing is written.
        AlreadyExists: `dst` exists and `overwrite` is False.
        MindportError: else as `open`, and what the file system refuses.
    """
    started = time.perf_counter()
    source = registry.detect(src)
    target = registry.by_suffix(dst) if to is None else registry.by_name(to)
    if not overwrite and os.path.lexists(dst):
        raise AlreadyExists(f"{printable(fspath(dst))} exists already; nothing was written", path=dst)
    for fmt in (source, target):
        if fmt.kind == "graph" and fmt.name not in MODELS:
            raise Unsupported(f"a {fmt.title} is the outline of a network without its weights; it cannot be converted")
    job = _to_weights if target.kind == "weights" else _to_graph
    done = job(Path(src), source, Path(dst), target, check, overwrite)
    return replace(done, seconds=time.perf_counter() - started)


def _to_weights(src: Path, source: Format, dst: Path, target: Format, check: bool, overwrite: bool) -> ConversionReport:
    from mindport import weightfiles

    read = registry.module_of(source).read
    if source.kind == "graph":
        from mindport.conversion.outline import tensors_of

        content = tensors_of(read(src))
    else:
        content = read(src, verify=True)  # new checksums over old damage would hide it
    values, notes = weightfiles.transferable(content, target)
    nbytes = commit(dst, weightfiles.encoded(values, target, getattr(content, "info", None)), overwrite=overwrite)
    proof = (weightfiles.read_back(dst, target, values),) if check else ()
    return _report(src, source, dst, target, tensors=len(values), nbytes=nbytes, checks=proof, notes=notes)


def _to_graph(src: Path, source: Format, dst: Path, target: Format, check: bool, overwrite: bool) -> ConversionReport:
    if source.kind == "weights":
        raise Unsupported(
            f"{printable(str(src))} holds weights only ({source.title}); a {target.title} needs the network too: "
            "load the weights into it and use mindport.train.serialization.export"
        )
    for fmt in (source, target):
        registry.module_of(fmt)  # says what is missing, by name
    convert_model = load("mindport.conversion.files", "converting models").convert_model
    done = convert_model(src, dst, to=target.name, check=check, overwrite=overwrite)
    checks = () if done.check is None else (done.check,)
    return _report(src, source, dst, target, tensors=done.weights, nbytes=done.nbytes, checks=checks)


def _report(src: Path, source: Format, dst: Path, target: Format, **rest: Any) -> ConversionReport:
    return ConversionReport(
        source=str(src),
        source_format=source.name,
        target=str(dst),
        target_format=target.name,
        kind=target.kind,
        seconds=0.0,
        **rest,
    )


def _common(path: str | PathLike[str], fmt: Format) -> dict[str, Any]:
    size = Path(path).stat().st_size
    return {"path": fspath(path), "format": fmt.name, "title": fmt.title, "kind": fmt.kind, "nbytes": size}
