"""MindIR files (`.mindir`): what MindSpore's `export(..., file_format="MINDIR")` writes and `mindspore.load` reads.

One protobuf message, `mind_ir.ModelProto`; see ``docs/formats/mindir.md``. Models with more than `SPLIT_BYTES` of
weights are two things: ``NAME_graph.mindir`` and the folder ``NAME_variables`` with data files, as MindSpore does it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx_ir as ir

from mindport.errors import CorruptFile, FormatError, MissingFile, TruncatedFile, Unsupported
from mindport.formats.mapped import map_file
from mindport.formats.mindir_read import to_graph
from mindport.formats.mindir_write import from_model
from mindport.wire.schema_mindir import EXTERNAL, MODEL
from mindport.wire.spec import decode, encode
from mindport.wire.writer import Chunk

__all__ = ["SPLIT_BYTES", "files", "loads", "read", "weights_bytes", "write"]

SPLIT_BYTES = 1 << 30
_ALIGN = 64
_ENCRYPTED = {b"\xd8\x5e\x3a\x7f": "AES-GCM", b"\xd9\x5e\x3a\x7f": "AES-CBC", b"\xda\x5e\x3a\x7f": "SM4-CBC"}


def read(path: str | os.PathLike[str]) -> ir.Model:
    """Returns the model in a MindIR file: a graph of domain ``"mindspore"`` whose weights are views of the file.

    Raises:
        MissingFile, NotAFile, NoPermission: the file cannot be read.
        FormatError: it is no sound MindIR.
        Unsupported: it is encrypted, compressed, or in an encoding of MindSpore 1.x.
    """
    source = Path(path)
    try:
        return loads(map_file(source), source.parent)
    except FormatError as exc:
        raise exc.at(source) from exc


def loads(content: bytes | memoryview, folder: Path | None = None) -> ir.Model:
    """Returns the model in the bytes of a MindIR file; `folder` is where data files would lie. Raises as `read`."""
    view = memoryview(content)
    mode = _ENCRYPTED.get(bytes(view[:4]))
    if mode is not None:
        raise Unsupported(f"this is an encrypted MindIR ({mode}); decrypt it with MindSpore first")
    if len(view) == 0:
        raise TruncatedFile("the file is empty")
    return to_graph(decode(MODEL, view), _Beside(Path() if folder is None else folder))


class _Beside:
    """Gives the bytes of parameters stored in data files beside the model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.maps: dict[str, memoryview] = {}

    def __call__(self, location: str, offset: int, length: int) -> memoryview:
        view = self.maps.get(location)
        if view is None:
            view = self.maps[location] = self._open(location)
        if offset < 0 or length < 0 or offset + length > len(view):
            raise TruncatedFile(f"data file {location!r} has {len(view)} bytes; {offset} + {length} are asked for")
        return view[offset : offset + length]

    def _open(self, location: str) -> memoryview:
        pure = PurePosixPath(location)
        inside = location and "\\" not in location and "\0" not in location and not pure.is_absolute()
        if not inside or ".." in pure.parts:
            raise CorruptFile(f"the model asks for the data file {location!r}, which is not inside its own folder")
        path = self.folder.joinpath(*pure.parts)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise CorruptFile(f"the data file {location!r} is a link out of the model's folder")
        try:
            view = map_file(path)
        except MissingFile as exc:
            raise MissingFile(f"the data file {location!r} that belongs to the model is missing", path=path) from exc
        if not len(view) or view[0] != 1:
            raise CorruptFile(f"data file {location!r} does not begin with MindSpore's mark for little-endian data")
        return view


def weights_bytes(model: ir.Model) -> int:
    """Returns the size of all parameters together."""
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)


def write(model: ir.Model) -> Iterator[Chunk]:
    """Yields the bytes of a MindIR file; weights pass through as views of where they are.

    Raises:
        Unsupported: the weights exceed `SPLIT_BYTES` (use `files`), or the graph holds what MindIR cannot express.
    """
    size = weights_bytes(model)
    if size > SPLIT_BYTES:
        raise Unsupported(
            f"the model has {size} bytes of weights; above {SPLIT_BYTES} a MindIR consists of several files"
        )
    yield from encode(from_model(model))


def files(model: ir.Model, stem: str, *, split_bytes: int = SPLIT_BYTES) -> dict[str, Iterator[Chunk]]:
    """Returns what has to be written, by path relative to the target folder; data files before the graph.

    Up to `split_bytes` of weights it is ``{stem}.mindir`` alone; above, ``{stem}_variables/data_0`` and
    ``{stem}_graph.mindir``.
    """
    if weights_bytes(model) <= split_bytes:
        return {f"{stem}.mindir": iter(encode(from_model(model)))}
    message = from_model(model, content=False)
    location = f"{stem}_variables/data_0"
    by_name = {p.get("name"): p for p in message.graph.parameter}
    order = sorted(model.graph.initializers.values(), key=lambda v: str(v.name))
    names = {
        v: str(v.meta.get("mindir.name") or (f"mindport:{v.name}" if ":" in str(v.name) else v.name)) for v in order
    }
    offset = _ALIGN
    for value in order:
        assert value.const_value is not None
        length = value.const_value.nbytes
        by_name[names[value]].set("external_data", EXTERNAL.new(location=location, offset=offset, length=length))
        offset += length + -length % _ALIGN
    return {location: _data(order), f"{stem}_graph.mindir": iter(encode(message))}


def _data(order: list[ir.Value]) -> Iterator[Chunk]:
    from mindport.formats.mindir_attrs import tensor_message

    yield b"\x01" + bytes(_ALIGN - 1)
    for value in order:
        assert value.const_value is not None
        raw = tensor_message("", value.const_value).get("raw_data")
        yield raw
        yield bytes(-len(raw) % _ALIGN)
