"""Weight files: what can be proved about one, and the way from one format to another, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import xxhash

from mindport.errors import MindportError, Unsupported, printable
from mindport.formats import registry
from mindport.formats.ckpt import RESERVED
from mindport.formats.mapped import is_zip
from mindport.formats.registry import Format
from mindport.results import Check, TensorInfo
from mindport.tensors import TensorRef
from mindport.wire.writer import Chunk

__all__ = ["checks", "encoded", "fingerprints", "read_back", "tensor_infos", "transferable"]

# (dtype name, shape, hash of the content)
Fingerprint = tuple[str, tuple[int, ...], str]


def tensor_infos(weights: Mapping[str, Any]) -> tuple[TensorInfo, ...]:
    """Returns name, dtype, shape and size of each value; nothing is read.

    Beside tensors a `.ckpt` may hold texts (dtype ``str``) and MindSpore's hash tables (dtype ``map``).
    """
    infos = []
    for name, value in weights.items():
        if isinstance(value, str):
            infos.append(TensorInfo(name, "str", (), len(value.encode("utf-32-le", "surrogatepass"))))
        elif isinstance(value, tuple):
            infos.append(TensorInfo(name, "map", tuple(value[1].shape), sum(part.nbytes for part in value)))
        else:
            infos.append(TensorInfo(name, value.dtype.name, tuple(value.shape), value.nbytes))
    return tuple(infos)


def checks(path: str | PathLike[str], fmt: Format) -> Iterator[Check]:
    """Reads every byte of a weight file and yields what that proves.

    Raises:
        FormatError: the file is damaged.
        MindportError: as the format's `read`.
    """
    weights = registry.module_of(fmt).read(path, verify=True)
    infos = tensor_infos(weights)
    sums = _checksums(path, fmt, weights)
    if not sums:
        fingerprints(v for v in weights.values() if not isinstance(v, (str, tuple)))  # only to read all of it
    nbytes = sum(i.nbytes for i in infos)
    yield Check("structure", "passed", f"{len(infos)} values, {nbytes:,} bytes, every shape fits its content")
    yield Check("checksums", "passed", sums) if sums else Check("checksums", "not proved", "the file holds none")
    if fmt.name == "ckpt" and weights.info.has_checksums:
        yield Check("completeness", "passed", "the end record is there and counts every record")


def _checksums(path: str | PathLike[str], fmt: Format, weights: Any) -> str:
    """Says which checksums the file has (`read(verify=True)` compared them); empty if none."""
    match fmt.name:
        case "ckpt" if weights.info.has_checksums:
            return "XXH3 of every tensor and of the file"
        case "ckpt" if weights.info.crc is not None:
            return "MindSpore's CRC-32 over the file"
        case "safetensors" if "crc_num" in weights.info:
            return "MindSpore's CRC-32 over the tensors"
        case "npz" | "pt" if is_zip(path):
            return "CRC-32 of every member of the archive"
    return ""


def transferable(weights: Mapping[str, Any], target: Format) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the values that `target` can hold, by name and in order, and notes on what is left out.

    A checkpoint keeps everything. Other formats take the parameters, tied ones under each of their names.
    """
    if target.name == "ckpt":
        return dict(weights), ()
    kept: dict[str, Any] = {}
    left, state = [], 0
    for name, value in weights.items():
        if name.startswith(RESERVED):
            state += 1
        elif isinstance(value, (str, tuple)):
            left.append(printable(name))
        else:
            kept[name] = value
    extra = getattr(getattr(weights, "info", None), "extra", {})
    aliases = extra.get("aliases", {}) if isinstance(extra, Mapping) else {}
    kept |= {alias: kept[owner] for alias, owner in aliases.items() if owner in kept and alias not in kept}
    notes = []
    if state:
        notes.append(f"the training state ({state} values) is left out: only a checkpoint holds it")
    if left:
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        notes.append(f"{target.title} holds tensors only; left out: {', '.join(left[:5])}{more}")
    return kept, tuple(notes)


def encoded(weights: Mapping[str, Any], target: Format, info: object = None) -> Iterator[Chunk]:
    """Yields the bytes of a file of format `target`; `info` (a `CheckpointInfo`) is carried over between checkpoints.

    Raises:
        Unsupported: mindport only reads that format.
        UnsupportedDType: a tensor's dtype has no counterpart there.
    """
    write = getattr(registry.module_of(target), "write", None)
    if write is None:
        raise Unsupported(f"mindport reads {target.title} files but does not write them")
    chunks: Iterator[Chunk] = write(weights)
    if target.name == "ckpt" and info is not None:
        known = {k: getattr(info, k, None) for k in ("epoch", "step", "total_step", "metrics")}
        record = {k: v for k, v in known.items() if v not in (None, {})} | dict(getattr(info, "extra", {}))
        chunks = write(weights, info=record or None)
    return chunks


def fingerprints(refs: Iterable[TensorRef]) -> list[Fingerprint]:
    """Returns dtype, shape and content hash of each tensor; reads every byte once."""
    found = []
    for ref in refs:
        digest = xxhash.xxh3_128()
        for chunk in ref.chunks():
            digest.update(chunk)
        found.append((ref.dtype.name, tuple(ref.shape), digest.hexdigest()))
    return found


def read_back(path: str | PathLike[str], target: Format, expected: Mapping[str, Any]) -> Check:
    """Reads the file just written and compares it with what was to be written, tensor by tensor."""
    name = "every tensor read back is equal"
    try:
        written = registry.module_of(target).read(path)
    except MindportError as exc:
        return Check(name, "failed", str(exc))
    if list(written) != list(expected) and sorted(written) != sorted(expected):
        return Check(name, "failed", "the names differ")
    plain = [n for n, v in expected.items() if not isinstance(v, (str, tuple))]
    pairs = zip(fingerprints(expected[n] for n in plain), fingerprints(written[n] for n in plain), strict=True)
    for tensor, (wanted, found) in zip(plain, pairs, strict=True):
        if wanted != found:
            return Check(
                name, "failed", f"{printable(tensor)} differs: {found[:2]} instead of {wanted[:2]}, or content"
            )
    texts = [n for n, v in expected.items() if isinstance(v, str)]
    if any(written[n] != expected[n] for n in texts):
        return Check(name, "failed", "a text differs")
    return Check(name, "passed", f"{len(expected)} values")
