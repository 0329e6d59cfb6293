"""NumPy's `.npz`: arrays by name in a zip archive, read lazily and without unpickling, written as a stream.

An array that is stored without compression (as `numpy.savez` and mindport do) is a view of the mapped file; a
compressed one is read when it is asked for. Element types that NumPy lacks are written as unsigned integers of the
same width under the name ``<name>;<dtype>``, e.g. ``conv.weight;bfloat16``.
"""

from __future__ import annotations

import ast
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np

from mindport.dtypes import DTYPES, DType, by_numpy, named
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
from mindport.tensors import ArrayRef, FileRef, Tensor, TensorRef
from mindport.wire.writer import Chunk

__all__ = ["NpzFile", "read", "write"]

_FOREIGN = {d.name for d in DTYPES if not d.native}
_LOCAL_HEADER_BYTES = 30
_MAX_RATIO = 1100  # deflate cannot compress more than 1032 times; more is a bomb or a lie
_MAX_HEADER_BYTES = 1 << 16
_MAX_RANK = 32


class NpzFile(Mapping[str, Any]):
    """An open archive: an ordered mapping from names to `Tensor`.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str, buf: memoryview, members: dict[str, tuple[zipfile.ZipInfo, DType | None]]) -> None:
        self.path = path
        self._buf = buf
        self._members = members

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __getitem__(self, name: str) -> Any:
        member, marked = self._members[name]
        try:
            data, offset = _content(self._buf, member)
            return Tensor(_tensor(name, data, offset, marked), name=name)
        except FormatError as exc:
            raise exc.at(self.path) from exc

    def verify(self) -> None:
        """Compares every member with the CRC-32 that the archive holds for it.

        Raises:
            ChecksumMismatch: they differ.
        """
        for name, (member, _) in self._members.items():
            try:
                data, offset = _content(self._buf, member)
            except FormatError as exc:
                raise exc.at(self.path) from exc
            if zlib.crc32(data) != member.CRC:
                raise ChecksumMismatch(f"array {printable(name)!r} is damaged", path=self.path, offset=offset)


def read(path: str | PathLike[str], *, verify: bool = False) -> NpzFile:
    """Opens an `.npz` file; reads the archive's directory only.

    Raises:
        MissingFile, NotAFile, NoPermission, StorageError: it cannot be read.
        CorruptFile, TruncatedFile: it is no sound archive of arrays.
        ChecksumMismatch: with `verify`, a member does not fit its CRC.
    """
    buf = map_file(path)
    try:
        members = _members(buf)
    except FormatError as exc:
        raise exc.at(path) from exc
    file = NpzFile(fspath(path), buf, members)
    if verify:
        file.verify()
    return file


class _View(io.RawIOBase):
    """A read-only file over a memoryview, for `zipfile`."""

    def __init__(self, buf: memoryview) -> None:
        self._buf = buf
        self._pos = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._pos, len(self._buf))[whence]
        if base + offset < 0:
            raise OSError("seek before the start")
        self._pos = base + offset
        return self._pos

    def tell(self) -> int:
        return self._pos

    def read(self, size: int | None = -1) -> bytes:
        end = len(self._buf) if size is None or size < 0 else self._pos + size
        data = bytes(self._buf[self._pos : end])
        self._pos += len(data)
        return data


def _members(buf: memoryview) -> dict[str, tuple[zipfile.ZipInfo, DType | None]]:
    try:
        with zipfile.ZipFile(_View(buf)) as archive:
            infos = archive.infolist()
        _check_directory(buf, len(infos))
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, UnicodeDecodeError, NotImplementedError) as exc:
        raise CorruptFile(f"the archive's directory cannot be read: {exc}") from exc
    members: dict[str, tuple[zipfile.ZipInfo, DType | None]] = {}
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise CorruptFile(f"member {printable(info.filename)!r} is no .npy array", offset=info.header_offset)
        name, _, kind = info.filename.removesuffix(".npy").rpartition(";")
        marked = named(kind) if kind in _FOREIGN and name else None
        name = name if marked else info.filename.removesuffix(".npy")
        if name in members:
            raise CorruptFile(f"the archive has {printable(name)!r} twice", offset=info.header_offset)
        members[name] = (info, marked)
    return members


def _check_directory(buf: memoryview, read_entries: int) -> None:
    """Compares the directory with what the archive's end record says of it: one flipped bit can hide the rest of it.

    `zipfile` stops without a word at the announced size, however many entries it has found by then. Source of the
    layout: PKWARE's APPNOTE.TXT, 4.3.12 to 4.3.16.
    """
    end = _last(buf, b"PK\x05\x06", 0xFFFF + 22)
    if len(buf) - end < 22:
        raise TruncatedFile("the archive's end record is cut", offset=end)
    count, size, position = struct.unpack("<HII", buf[end + 10 : end + 20])
    stop, locator = end, end - 20
    if locator >= 0 and bytes(buf[locator : locator + 4]) == b"PK\x06\x07":
        stop = _last(buf[:locator], b"PK\x06\x06", 56)
        if locator - stop < 56:
            raise CorruptFile("the archive has a zip64 locator and no zip64 end record", offset=locator)
        count, size, position = struct.unpack("<QQQ", buf[stop + 32 : stop + 56])
    at = stop - size
    if at < 0 or at < position:
        raise CorruptFile(f"the archive's directory of {size} bytes is not where its end record says", offset=end)
    found = 0
    while at < stop:
        if stop - at < 46 or bytes(buf[at : at + 4]) != b"PK\x01\x02":
            raise CorruptFile(f"entry {found} of the archive's directory is damaged", offset=at)
        at += 46 + sum(struct.unpack("<HHH", buf[at + 28 : at + 34]))
        found += 1
    if at != stop or not found == read_entries == count:
        raise CorruptFile(
            f"the archive's directory has {read_entries} entries, its end record counts {count}", offset=end
        )


def _last(buf: memoryview, mark: bytes, within_bytes: int) -> int:
    """Returns where `mark` occurs last in the last bytes of `buf`."""
    start = max(0, len(buf) - within_bytes)
    at = bytes(buf[start:]).rfind(mark)
    if at < 0:
        raise CorruptFile("the archive has no end record")
    return start + at


def _content(buf: memoryview, info: zipfile.ZipInfo) -> tuple[memoryview, int]:
    """Returns a member's bytes and their position in the file (of a compressed one: of the compressed bytes)."""
    at = info.header_offset
    shown = printable(info.filename)
    head = bytes(buf[at : at + _LOCAL_HEADER_BYTES])
    if len(head) < _LOCAL_HEADER_BYTES or not head.startswith(b"PK\x03\x04"):
        raise CorruptFile(f"member {shown!r} has no local header", offset=at)
    if info.flag_bits & 1:
        raise CorruptFile(f"member {shown!r} is encrypted", offset=at)
    name_size, extra_size = struct.unpack("<HH", head[26:30])
    start = at + _LOCAL_HEADER_BYTES + name_size + extra_size
    own = bytes(buf[at + _LOCAL_HEADER_BYTES : at + _LOCAL_HEADER_BYTES + name_size])
    if own != info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437"):
        raise CorruptFile(f"member {shown!r} is called {printable(own)!r} in its local header", offset=at)
    data = buf[start : start + info.compress_size]
    if len(data) < info.compress_size:
        raise TruncatedFile(f"member {shown!r} announces {info.compress_size} bytes, {len(data)} are left", offset=at)
    if info.compress_type == zipfile.ZIP_STORED:
        if info.file_size != info.compress_size:
            raise CorruptFile(f"member {shown!r} contradicts its size", offset=at)
        return data, start
    if info.compress_type != zipfile.ZIP_DEFLATED or info.file_size > _MAX_RATIO * info.compress_size + 1024:
        raise CorruptFile(f"member {shown!r} is compressed in an unknown or impossible way", offset=at)
    worker = zlib.decompressobj(-15)
    try:
        plain = worker.decompress(data, info.file_size + 1)
    except zlib.error as exc:
        raise CorruptFile(f"member {shown!r} cannot be decompressed", offset=at) from exc
    if len(plain) != info.file_size:
        raise CorruptFile(f"member {shown!r} has another size than announced", offset=at)
    return memoryview(bytearray(plain)), start


def _tensor(name: str, data: memoryview, offset: int, marked: DType | None) -> TensorRef:
    """Returns the array in the `.npy` bytes `data`, which begin at `offset` of the file."""
    stored, fortran, shape, start = _npy_header(name, data, offset)
    try:
        dtype = by_numpy(stored)
    except UnsupportedDType:
        raise CorruptFile(f"array {printable(name)!r} has element type {stored}, no number", offset=offset) from None
    if marked is not None:
        if marked.itemsize != stored.itemsize:
            raise CorruptFile(f"array {printable(name)!r} does not hold {marked.name}", offset=offset)
        dtype = marked
    nbytes = bound = stored.itemsize
    for dim in shape:
        nbytes *= dim
        bound *= dim or 1
    if bound >= 1 << 63 or nbytes != len(data) - start:
        raise CorruptFile(
            f"array {printable(name)!r} holds {len(data) - start} bytes, its shape needs {nbytes}", offset=offset
        )
    if stored.byteorder == ">" or fortran:
        array = np.frombuffer(data[start:], stored).reshape(shape, order="F" if fortran else "C")
        native = np.ascontiguousarray(array, dtype=stored.newbyteorder("<")).reshape(shape)
        return ArrayRef(name, native.view(dtype.numpy), dtype)
    return FileRef(name, dtype, shape, [data[start:]], offset + start)


def _npy_header(name: str, data: memoryview, offset: int) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """Returns `(element type, column-major, shape, start of the content)` of `.npy` bytes."""

    def bad(what: str) -> CorruptFile:
        return CorruptFile(f"array {printable(name)!r} {what}", offset=offset)

    head = bytes(data[:12])
    if len(head) < 10 or not head.startswith(b"\x93NUMPY") or head[6] not in (1, 2, 3):
        raise bad("is no .npy array")
    start = 10 if head[6] == 1 else 12
    size = int.from_bytes(head[8:start], "little")
    if size > min(len(data) - start, _MAX_HEADER_BYTES):
        raise bad("announces more header than there is")
    try:
        fields = ast.literal_eval(bytes(data[start : start + size]).decode("latin-1").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as exc:
        raise bad("has a header that is no plain dictionary") from exc
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise bad("has an incomplete header")
    shape, dtype = fields["shape"], _NPY_TYPES.get(str(fields["descr"]))
    if dtype is None:
        raise bad(f"has element type {printable(str(fields['descr']))}, which is no plain number")
    whole = isinstance(shape, tuple) and all(isinstance(d, int) and not isinstance(d, bool) and d >= 0 for d in shape)
    if not whole or len(shape) > _MAX_RANK:
        raise bad("has no proper shape")
    return dtype, fields["fortran_order"] is True, shape, start + size


# what may stand as `descr`: a fixed table, so that a file cannot make NumPy build a type
_NPY_TYPES = {
    order + code: np.dtype(code).newbyteorder("<" if order == "|" else order)
    for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
    for order in ("<", ">", "|")
}


def write(weights: Iterable[TensorRef] | Mapping[str, Any]) -> Iterator[Chunk]:
    """Yields the bytes of an `.npz` archive (stored, not compressed). The same input gives the same bytes.

    Each content is read twice: zip wants its CRC before it.

    Raises:
        UsageError: a name comes twice.
        Unsupported: a value that is no tensor.
    """
    pairs = weights.items() if isinstance(weights, Mapping) else [(ref.name, ref) for ref in weights]
    refs: dict[str, TensorRef] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise WrongTypeError(f"a parameter name must be text, not {type(name).__name__}")
        if isinstance(value, (str, tuple)):
            raise Unsupported(f"{printable(name)!r} is no tensor; an .npz file cannot hold it")
        if name in refs:
            raise UsageError(f"two tensors are called {printable(name)!r}")
        refs[name] = Tensor(value, name=name)
    return _archive(refs)


def _archive(refs: Mapping[str, TensorRef]) -> Iterator[Chunk]:
    directory, position = [], 0
    for name, ref in refs.items():
        foreign = ref.dtype.name in _FOREIGN
        member = (f"{name};{ref.dtype.name}.npy" if foreign else f"{name}.npy").encode("utf-8", "surrogatepass")
        head = _npy_bytes(ref, foreign)
        crc = zlib.crc32(head)
        for chunk in ref.chunks():
            crc = zlib.crc32(chunk, crc)
        size = len(head) + ref.nbytes
        local = _local_header(member, crc, size, position)
        directory.append(_directory_entry(member, crc, size, position))
        yield local + head
        yield from ref.chunks()
        position += len(local) + size
    listing = b"".join(directory)
    yield listing + _end_of_archive(len(directory), len(listing), position)


def _npy_bytes(ref: TensorRef, foreign: bool) -> bytes:
    """Returns the `.npy` header (version 1, its length a multiple of 64)."""
    stored = np.dtype(f"<u{ref.dtype.itemsize}") if foreign else ref.dtype.numpy
    fields = f"{{'descr': {stored.str!r}, 'fortran_order': False, 'shape': {tuple(ref.shape)!r}, }}"
    text = fields + " " * (-(len(fields) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin-1")


_UTF8, _VERSION, _STORED, _DATE = 0x0800, 45, 0, 0x21  # 1980-01-01: the same bytes every time
_BIG32 = 0xFFFFFFFF


def _local_header(member: bytes, crc: int, size: int, position: int) -> bytes:
    """Returns a local header with zip64 sizes, padded so that the array behind it begins at a multiple of 64."""
    zip64 = struct.pack("<HHQQ", 1, 16, size, size)
    missing = -(position + _LOCAL_HEADER_BYTES + len(member) + len(zip64) + 4) % 64
    extra = zip64 + struct.pack("<HH", 0x4D50, missing) + bytes(missing)
    fixed = struct.pack(
        "<4sHHHHHIIIHH",
        b"PK\x03\x04", _VERSION, _UTF8, _STORED, 0, _DATE, crc, _BIG32, _BIG32, len(member), len(extra),
    )  # fmt: skip
    return fixed + member + extra


def _directory_entry(member: bytes, crc: int, size: int, position: int) -> bytes:
    extra = struct.pack("<HHQQQ", 1, 24, size, size, position)
    fixed = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        b"PK\x01\x02", _VERSION, _VERSION, _UTF8, _STORED, 0, _DATE, crc, _BIG32, _BIG32,
        len(member), len(extra), 0, 0, 0, 0, _BIG32,
    )  # fmt: skip
    return fixed + member + extra


def _end_of_archive(count: int, size: int, position: int) -> bytes:
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, _VERSION, _VERSION, 0, 0, count, count, size, position)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, position + size, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, _BIG32, _BIG32, 0)
    return end64 + locator + end
