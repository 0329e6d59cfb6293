"""`.safetensors` with MindSpore's conventions: read lazily from a map, write as a stream.

Layout: 8 bytes of header length (little-endian), a JSON header padded with spaces to a multiple of 8, then the
contents without gaps. MindSpore 2.10 marks its files with ``format: "ms"`` in ``__metadata__``, writes
``<name>: "Int4"`` there for tensors of two 4-bit numbers per byte, and on request ``crc_num``: CRC-32 over, in
order of names, each name and its content (for an integer without dimensions not its content but as many zero bytes as
its value says: what Python's ``bytes(array)`` gives, which MindSpore uses on both sides). mindport does the same, keeps
texts under ``mindport.text.<name>``, and orders tensors by falling item size, so that all of them are aligned.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from typing import Any

from mindport.dtypes import DType, named
from mindport.errors import (
    ChecksumMismatch,
    CorruptFile,
    FormatError,
    TruncatedFile,
    Unsupported,
    UnsupportedDType,
    UsageError,
    WrongTypeError,
    printable,
)
from mindport.formats.mapped import map_file
from mindport.tensors import FileRef, Tensor, TensorRef, named_ref
from mindport.wire.writer import Chunk

__all__ = ["SafetensorsFile", "read", "write"]

MAX_HEADER_BYTES = 100_000_000  # the reference implementation's limit
MOST_ZEROS = 64 << 20  # how much MindSpore's CRC of numbers may cost; a file must not make a reader run for ever

_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn",
    "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "U32": "uint32",
    "F32": "float32", "C64": "complex64", "F64": "float64", "I64": "int64", "U64": "uint64",
}  # fmt: skip
_DTYPES = {text: named(name) for text, name in _NAMES.items()}
_TEXTS = {d.name: text for text, d in _DTYPES.items()}
# types that stand in the file as another one, with a line of metadata to say so
_MARKED = {"Int4": (named("qint4x2"), "I8"), "HiFloat8": (named("hifloat8"), "U8")}
_MARK_OF = {d.name: (mark, text) for mark, (d, text) in _MARKED.items()}
_TEXT_KEY = "mindport.text."
_MAX_RANK = 32


class SafetensorsFile(Mapping[str, Any]):
    """An open file: an ordered mapping from names to `Tensor` (views of the map), and `str` for texts.

    Attributes:
        path: the file.
        info: the file's ``__metadata__``.
    """

    def __init__(self, path: str, buf: memoryview, index: dict[str, FileRef | str], info: Mapping[str, str]) -> None:
        self.path = path
        self.info = dict(info)
        self._buf = buf
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __getitem__(self, name: str) -> Any:
        value = self._index[name]
        return value if isinstance(value, str) else Tensor(value, name=name)

    def verify(self) -> None:
        """Compares the content with MindSpore's CRC if the file has one.

        Raises:
            ChecksumMismatch: they differ.
        """
        stored = self.info.get("crc_num")
        if stored is not None:
            found = _crc([v for v in self._index.values() if isinstance(v, FileRef)])
            if isinstance(found, str) or str(found) != stored:
                what = "no CRC that MindSpore can compute" if isinstance(found, str) else f"CRC {found}"
                raise ChecksumMismatch(
                    f"the content has {what}, the file says {printable(stored)}: it is damaged", path=self.path
                )


def _crc(refs: Iterable[TensorRef]) -> int | str:
    """Returns the CRC as MindSpore computes it, or the name of a number for which it cannot."""
    crc, left = 0, MOST_ZEROS
    for ref in sorted(refs, key=lambda r: r.name):
        crc = zlib.crc32(ref.name.encode(), crc)
        if ref.shape == () and ref.dtype.numpy.kind in "iu":
            count = int(ref.numpy())
            left -= count
            if count < 0 or left < 0:
                return ref.name
            crc = zlib.crc32(bytes(count), crc)
            continue
        for chunk in ref.chunks():
            crc = zlib.crc32(chunk, crc)
    return crc


def read(path: str | PathLike[str], *, verify: bool = False) -> SafetensorsFile:
    """Opens a `.safetensors` file; reads the header only.

    Raises:
        MissingFile, NotAFile, NoPermission, StorageError: it cannot be read.
        TruncatedFile, CorruptFile: it is no sound file of that format.
        ChecksumMismatch: with `verify`, its CRC does not fit.
    """
    buf = map_file(path)
    try:
        header, start = _header(buf)
        metadata = _metadata(header.pop("__metadata__", {}))
        index = _index(buf, header, metadata, start)
    except FormatError as exc:
        raise exc.at(path) from exc
    file = SafetensorsFile(fspath(path), buf, index, metadata)
    if verify:
        file.verify()
    return file


def _header(buf: memoryview) -> tuple[dict[str, Any], int]:
    """Returns the JSON header and the position of the first content byte."""
    if len(buf) < 8:
        raise TruncatedFile("the file is shorter than the length of its header")
    size = int.from_bytes(buf[:8], "little")
    if size > MAX_HEADER_BYTES:
        raise CorruptFile(f"the header announces {size} bytes, more than {MAX_HEADER_BYTES}", offset=0)
    if size > len(buf) - 8:
        raise TruncatedFile(f"the header announces {size} bytes, {len(buf) - 8} are left", offset=0)
    try:
        header = json.loads(bytes(buf[8 : 8 + size]), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise CorruptFile(f"the header is not JSON: {exc}", offset=8) from exc
    if not isinstance(header, dict):
        raise CorruptFile("the header is no JSON object", offset=8)
    return header, 8 + size


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise CorruptFile("the header has a name twice", offset=8)
    return found


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise CorruptFile("__metadata__ must map texts to texts", offset=8)
    return value


def _index(
    buf: memoryview, header: dict[str, Any], metadata: Mapping[str, str], start: int
) -> dict[str, FileRef | str]:
    found: list[tuple[int, int, str, DType, tuple[int, ...]]] = []
    for name, entry in header.items():
        dtype, shape, (first, last) = _entry(name, entry)
        mark = _MARKED.get(metadata.get(name, ""))
        if mark is not None and entry["dtype"] == mark[1]:
            dtype = mark[0]
        found.append((first, last, name, dtype, shape))
    found.sort(key=lambda item: item[:2])
    position, index = 0, dict[str, FileRef | str]()
    for first, last, name, dtype, shape in found:
        if first != position:  # every byte belongs to exactly one tensor
            raise CorruptFile(f"the content of {printable(name)!r} does not begin at byte {position}", offset=8)
        if last > len(buf) - start:
            raise TruncatedFile(f"the content of {printable(name)!r} goes beyond the end of the file", offset=8)
        index[name] = FileRef(name, dtype, shape, [buf[start + first : start + last]], start + first)
        position = last
    if position != len(buf) - start:
        raise CorruptFile(f"{len(buf) - start - position} bytes belong to no tensor", offset=start + position)
    for key, value in metadata.items():
        name = key.removeprefix(_TEXT_KEY)
        if name != key and name not in index:
            index[name] = value
    return index


def _entry(name: str, entry: Any) -> tuple[DType, tuple[int, ...], tuple[int, int]]:
    def bad(what: str) -> CorruptFile:
        return CorruptFile(f"tensor {printable(name)!r} has {what}", offset=8)

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise bad("no proper entry in the header")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise bad(f"the unknown type {printable(str(entry['dtype']))}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _counts(shape) or len(shape) > _MAX_RANK:
        raise bad("no proper shape")
    if not _counts(offsets) or len(offsets) != 2:
        raise bad("no proper offsets")
    nbytes = bound = dtype.itemsize
    for dim in shape:
        nbytes *= dim
        bound *= dim or 1
    if bound >= 1 << 63 or offsets[1] - offsets[0] != nbytes:
        raise bad(f"{offsets[1] - offsets[0]} bytes, its shape needs {nbytes}")
    return dtype, tuple(shape), (offsets[0], offsets[1])


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in value)


def write(
    weights: Iterable[TensorRef] | Mapping[str, Any],
    *,
    info: Mapping[str, str] | None = None,
    crc_check: bool = False,
) -> Iterator[Chunk]:
    """Yields the bytes of a `.safetensors` file. The same input gives the same bytes.

    Args:
        weights: tensors, or a mapping from names to tensors, arrays, numbers or texts.
        info: further ``__metadata__``.
        crc_check: add MindSpore's ``crc_num`` (reads all content once more).

    Raises:
        UsageError: a name comes twice or cannot be written, or `info` is not text to text.
        UnsupportedDType: a type that the format lacks (complex128).
        Unsupported: a value that is no tensor and no text, or an integer without dimensions that MindSpore's CRC
            cannot cover.
    """
    refs, metadata = _sorted(weights)
    metadata |= _checked(info or {})
    if crc_check:
        crc = _crc(refs)
        if isinstance(crc, str):
            raise Unsupported(
                f"MindSpore's CRC cannot cover the number {printable(crc)!r} (below 0, or too large); save without it"
            )
        metadata["crc_num"] = str(crc)
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    position = 0
    for ref in refs:
        text = _TEXTS.get(ref.dtype.name) or _MARK_OF[ref.dtype.name][1]
        after = position + ref.nbytes
        header[ref.name] = {"dtype": text, "shape": list(ref.shape), "data_offsets": [position, after]}
        position = after
    try:
        encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"a name is no Unicode text: {exc.reason}") from exc
    encoded += b" " * (-len(encoded) % 8)
    if len(encoded) > MAX_HEADER_BYTES:
        raise Unsupported(f"the header needs {len(encoded)} bytes; the format allows {MAX_HEADER_BYTES}")
    return _stream(encoded, refs)


def _stream(header: bytes, refs: list[TensorRef]) -> Iterator[Chunk]:
    yield len(header).to_bytes(8, "little") + header
    for ref in refs:
        yield from ref.chunks()


def _sorted(weights: Iterable[TensorRef] | Mapping[str, Any]) -> tuple[list[TensorRef], dict[str, str]]:
    """Returns the tensors by falling item size (else in the order given) and the metadata they need."""
    pairs = weights.items() if isinstance(weights, Mapping) else [(ref.name, ref) for ref in weights]
    refs: dict[str, TensorRef] = {}
    metadata = {"format": "ms"}
    for name, value in pairs:
        if not isinstance(name, str):
            raise WrongTypeError(f"a parameter name must be text, not {type(name).__name__}")
        if name in refs or name == "__metadata__":
            raise UsageError(f"the name {printable(name)!r} comes twice or is reserved")
        if isinstance(value, str):
            metadata[_TEXT_KEY + name] = value
            continue
        if isinstance(value, tuple):
            raise Unsupported(f"{printable(name)!r} is a map parameter; safetensors cannot hold it")
        ref = named_ref(value, name)
        if ref.dtype.name in _MARK_OF:
            metadata[name] = _MARK_OF[ref.dtype.name][0]
        elif ref.dtype.name not in _TEXTS:
            raise UnsupportedDType(f"{printable(name)!r} is {ref.dtype.name}, which safetensors lacks")
        refs[name] = ref
    return sorted(refs.values(), key=lambda r: -r.dtype.itemsize), metadata


def _checked(info: Mapping[str, str]) -> dict[str, str]:
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in info.items()):
        raise UsageError("info of a safetensors file must map texts to texts")
    return dict(info)
