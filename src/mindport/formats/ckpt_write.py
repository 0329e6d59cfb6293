"""Writes `.ckpt` files as a stream: one small header per tensor, then the tensor's own memory, never copied."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xxhash

from mindport.errors import UsageError, WrongTypeError, printable
from mindport.formats.ckpt_info import end_record
from mindport.formats.ckpt_layout import (
    CHECKSUM_KEY,
    CRC_MARK,
    ONE_RECORD_BYTES,
    SLICE_BYTES,
    map_record,
    plain_header,
    tensor_header,
)
from mindport.tensors import ArrayRef, TensorRef, named_ref
from mindport.wire.writer import Chunk

__all__ = ["MapTensor", "write"]

CHUNK_BYTES = 1 << 20  # small enough to be hashed and written while it is in the processor's cache
_JOIN_BYTES = 1 << 16  # shorter pieces are joined into one chunk
_MAP_TYPES = ("int32", "int64", "float16", "float32", "float64")


class MapTensor(NamedTuple):
    """MindSpore's MapParameter: keys (N,), values (N, ...) and status (N,)."""

    keys: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]
    status: np.ndarray[Any, Any]


class _Text:
    """A text as `.ckpt` stores it: type ``str``, dims [0], UTF-32-LE; an empty text is one zero code point."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        try:
            self.content = text.encode("utf-32-le") or bytes(4)
        except UnicodeEncodeError as exc:
            raise UsageError(f"{printable(name)!r} is no Unicode text: {exc.reason}") from exc


_Record = TensorRef | _Text | tuple[str, MapTensor]


def write(
    weights: Iterable[TensorRef] | Mapping[str, Any],
    *,
    info: Mapping[str, Any] | None = None,
    checksums: bool = True,
    crc_check: bool = False,
    enc_key: bytes | None = None,
    enc_mode: str = "AES-GCM",
) -> Iterator[Chunk]:
    """Yields the bytes of a `.ckpt` file, which MindSpore loads as its own.

    The same input gives the same bytes.

    Args:
        weights: tensors in file order, or a mapping from names to tensors, arrays, numbers (int becomes Int64, float
            Float32, bool Bool, without dimensions), texts, or `MapTensor`.
        info: JSON values to record: ``epoch``, ``step``, ``total_step``, ``metrics``, and others.
        checksums: add alignment, checksums and the end record. False gives exactly MindSpore's bytes.
        crc_check: append MindSpore's CRC-32 trailer (MindSpore 1.x cannot read it).
        enc_key: encrypt the file with this key (AES: 16, 24 or 32 bytes; SM4: 16); its bytes then differ every time.
        enc_mode: ``"AES-GCM"``, ``"AES-CBC"`` or ``"SM4-CBC"``.

    Raises:
        UsageError: a name comes twice, `info` is no JSON or given without checksums, a key does not fit its mode, or
            key and CRC are asked for together (MindSpore cannot load such a file).
        MissingExtra: encryption needs `cryptography`.
        WrongTypeError, UnsupportedDType: a value cannot be stored.
    """
    if info and not checksums:
        raise UsageError("info is stored beside the checksums; it cannot be written with checksums=False")
    end_record(0, info or {})  # refuses what is no JSON before the first byte is written
    chunks = _joined(_Writer(checksums, info or {}).chunks(_records(weights)))
    if enc_key is not None:
        if crc_check:
            raise UsageError("a file is either encrypted or has a CRC trailer; MindSpore cannot load one with both")
        from mindport.formats import encryption

        return encryption.encrypt(chunks, enc_key, enc_mode)
    return _with_crc(chunks) if crc_check else chunks


def _records(weights: Iterable[TensorRef] | Mapping[str, Any]) -> Iterator[_Record]:
    if isinstance(weights, Mapping):
        return (_record(name, value) for name, value in weights.items())
    if not hasattr(weights, "__iter__"):
        raise WrongTypeError(f"tensors are needed, not {type(weights).__name__}")
    return (_record(getattr(ref, "name", ""), ref) for ref in weights)


def _record(name: str, value: Any) -> _Record:
    if not isinstance(name, str):
        raise WrongTypeError(f"a parameter name must be text, not {type(name).__name__}")
    if isinstance(value, str):
        return _Text(name, value)
    if isinstance(value, MapTensor):
        return name, value
    if isinstance(value, bool):
        return ArrayRef(name, np.array(value))
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise UsageError(f"{printable(name)!r}: {value} does not fit into 64 bits")
        return ArrayRef(name, np.array(value, "<i8"))
    if isinstance(value, float):
        return ArrayRef(name, np.array(value, "<f4"))
    return named_ref(value, name)


class _Writer:
    """State of one file: position, names seen, digest over everything that is no tensor content."""

    def __init__(self, checksums: bool, info: Mapping[str, Any]) -> None:
        self.checksums = checksums
        self.info = info
        self.position = 0
        self.records = 0
        self.names: set[str] = set()
        self.frame = xxhash.xxh3_128()

    def chunks(self, records: Iterable[_Record]) -> Iterator[Chunk]:
        for record in records:
            name = record[0] if isinstance(record, tuple) else record.name
            if name in self.names:
                raise UsageError(f"two tensors are called {printable(name)!r}")
            self.names.add(name)
            if isinstance(record, tuple):
                yield self._framing(_map_bytes(name, record[1]))
                self.records += 1
            elif isinstance(record, _Text):
                yield from self._tensor(_tag(name), "str", (0,), len(record.content), iter([record.content]))
            else:
                yield from self._sliced(record)
        if self.checksums:
            yield self._framing(end_record(self.records, self.info))
            yield self.frame.digest()

    def _framing(self, data: bytes) -> bytes:
        self.frame.update(data)
        self.position += len(data)
        return data

    def _sliced(self, ref: TensorRef) -> Iterator[Chunk]:
        tag, kind, dims, total = _tag(ref.name), ref.dtype.ckpt, ref.shape, ref.nbytes
        limit = ONE_RECORD_BYTES if self.checksums else SLICE_BYTES
        if total <= limit:
            yield from self._tensor(tag, kind, dims, total, ref.chunks(CHUNK_BYTES))
            return
        # chunks of a divisor of the slice size, so that no chunk crosses the border of two slices
        pieces = _exact(ref.chunks(CHUNK_BYTES), CHUNK_BYTES)
        for start in range(0, total, SLICE_BYTES):
            size = min(SLICE_BYTES, total - start)
            yield from self._tensor(tag, kind, dims, size, _take(pieces, size))

    def _tensor(
        self, tag: bytes, kind: str, dims: tuple[int, ...], nbytes: int, content: Iterator[Chunk]
    ) -> Iterator[Chunk]:
        self.records += 1
        if not self.checksums:
            yield self._framing(plain_header(tag, kind, dims, nbytes))
            yield from self._counted(content, nbytes, tag)
            return
        header, skip = tensor_header(tag, kind, dims, nbytes, self.position)
        check = xxhash.xxh3_64(header[skip:])
        yield self._framing(header)
        for piece in self._counted(content, nbytes, tag):
            check.update(piece)
            yield piece
        yield self._framing(CHECKSUM_KEY + check.intdigest().to_bytes(8, "little"))

    def _counted(self, content: Iterator[Chunk], nbytes: int, tag: bytes) -> Iterator[Chunk]:
        written = 0
        for piece in content:
            written += len(piece)
            yield piece
        self.position += written
        if written != nbytes:  # the size is already in the header: the file would be damaged
            raise UsageError(f"tensor {printable(tag.decode())!r} announced {nbytes} bytes and gave {written}")


def _tag(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"{printable(name)!r} is no Unicode text: {exc.reason}") from exc


def _exact(content: Iterator[memoryview], size: int) -> Iterator[Chunk]:
    """Yields the content in pieces of exactly `size` bytes (the last may be shorter)."""
    held = bytearray()
    for piece in content:
        if not held and len(piece) == size:
            yield piece
            continue
        held += piece
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def _take(pieces: Iterator[Chunk], total: int) -> Iterator[Chunk]:
    """Yields pieces until they make `total` bytes."""
    while total > 0:
        piece = next(pieces, b"")
        if not piece:
            return
        total -= len(piece)
        yield piece


def _map_bytes(name: str, value: MapTensor) -> bytes:
    parts = []
    for array in (np.asarray(part) for part in value):
        kind = array.dtype.name
        if kind not in _MAP_TYPES:
            raise WrongTypeError(f"{printable(name)!r}: a map parameter cannot hold {kind}")
        parts.append((kind, array.shape, array.astype(array.dtype.newbyteorder("<")).tobytes()))
    return map_record(_tag(name), parts)


def _joined(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Joins short pieces, so that a million tiny tensors are not a million system calls."""
    held = bytearray()
    for piece in chunks:
        if len(piece) < _JOIN_BYTES:
            held += piece
            if len(held) >= CHUNK_BYTES:
                yield bytes(held)
                held.clear()
            continue
        if held:
            yield bytes(held)
            held.clear()
        yield piece
    if held:
        yield bytes(held)


def _with_crc(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    crc = 0
    for piece in chunks:
        crc = zlib.crc32(piece, crc)
        yield piece
    yield CRC_MARK + crc.to_bytes(10, "big")
