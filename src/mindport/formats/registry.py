"""The file formats mindport knows, found by content when reading and by suffix when writing.

The code of a format is imported when it is first used. A module of kind ``"weights"`` offers
`read(path) -> Mapping[str, Tensor]` and `write(weights) -> Iterator[Chunk]`; one of kind ``"graph"`` offers
`read(path) -> onnx_ir.Model` and `write(model) -> Iterator[Chunk]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike, fspath
from types import ModuleType
from typing import Literal

from mindport.errors import UnrecognisedFormat, UsageError, printable
from mindport.extras import load
from mindport.formats import sniff
from mindport.formats.mapped import head_of

__all__ = ["FORMATS", "Format", "by_name", "by_suffix", "detect", "module_of"]

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        name: short name, e.g. ``"ckpt"``.
        title: the format in words.
        kind: ``"weights"`` (named tensors) or ``"graph"`` (a model).
        suffixes: file name endings, the usual one first, each with its dot.
        sniff: how sure the first bytes of a file make it that the file is of this format, 0 (no) to 100.
        module: where its `read` and `write` are.
    """

    name: str
    title: str
    kind: Literal["weights", "graph"]
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes], int]
    module: str


FORMATS: tuple[Format, ...] = (
    Format("ckpt", "MindSpore checkpoint", "weights", (".ckpt",), sniff.ckpt, "mindport.formats.ckpt"),
    Format(
        "safetensors", "safetensors", "weights", (".safetensors",), sniff.safetensors, "mindport.formats.safetensors"
    ),
    Format("npz", "NumPy archive", "weights", (".npz",), sniff.npz, "mindport.formats.npz"),
    Format(
        "pt", "PyTorch file (torch.save)", "weights", (".pt", ".pth", ".bin"), sniff.pt, "mindport.adapters.torch_pt"
    ),
    Format(
        "graph_meta", "MindSpore graph.meta", "graph", ("-graph.meta",), sniff.graph_meta, "mindport.formats.graph_meta"
    ),
    Format("onnx", "ONNX model", "graph", (".onnx",), sniff.onnx, "mindport.formats.onnx"),
    Format("mindir", "MindSpore MindIR model", "graph", (".mindir",), sniff.mindir, "mindport.formats.mindir"),
    Format("air", "Ascend AIR model", "graph", (".air",), sniff.air, "mindport.formats.air"),
)
_BY_NAME = {f.name: f for f in FORMATS}


def by_name(name: str) -> Format:
    """Returns the format called `name`. Raises UsageError."""
    found = _BY_NAME.get(name)
    if found is None:
        raise UsageError(f"unknown format {printable(str(name))!r}; known: {', '.join(_BY_NAME)}")
    return found


def by_suffix(path: str | PathLike[str]) -> Format:
    """Returns the format for a file that is to be written, by the end of its name.

    Raises:
        UsageError: no format has that ending.
    """
    name = fspath(path).lower()
    for found in FORMATS:
        if name.endswith(found.suffixes):
            return found
    known = ", ".join(s for f in FORMATS for s in f.suffixes)
    raise UsageError(f"cannot tell the format of {printable(fspath(path))} from its ending; known endings: {known}")


def detect(path: str | PathLike[str]) -> Format:
    """Returns the format of an existing file, by its content; the name plays no part.

    Raises:
        MissingFile, NoPermission, StorageError: it cannot be read.
        NotAFile: it is a directory, pipe or device.
        UnrecognisedFormat: it is empty or of no known format.
    """
    head = head_of(path, HEAD_BYTES)
    if not head:
        raise UnrecognisedFormat("the file is empty", path=path)
    best = max(FORMATS, key=lambda f: f.sniff(head))
    if best.sniff(head) == 0:
        titles = ", ".join(f.title for f in FORMATS)
        raise UnrecognisedFormat(f"the content is of no format mindport knows ({titles})", path=path)
    return best


def module_of(found: Format) -> ModuleType:
    """Returns the module with the format's `read` and `write`; imports it on first use.

    Raises:
        MissingExtra: the format needs a package that is not installed.
    """
    return load(found.module, f"{found.title} files")
