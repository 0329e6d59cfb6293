"""MindSpore's `.ckpt`: `read` maps a file lazily, `write` streams one.

>>> import numpy as np
>>> from mindport.formats import ckpt
>>> data = b"".join(ckpt.write({"w": np.ones((2, 3), np.float32)}, info={"epoch": 1, "step": 5}))

The format, mindport's own fields in it and the differences from MindSpore's loader are in `docs/formats/ckpt.md`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np

from mindport.errors import ChecksumMismatch, CorruptFile, FormatError, TruncatedFile, UsageError
from mindport.formats import ckpt_verify, sniff
from mindport.formats.ckpt_info import CheckpointInfo, checkpoint_info
from mindport.formats.ckpt_record import RECORD_KEY, Record, map_parts, read_record, shape_of, shown
from mindport.formats.ckpt_scan import Scan, scan, trailer
from mindport.formats.ckpt_write import MapTensor, write
from mindport.formats.mapped import map_private, open_regular
from mindport.tensors import FileRef, Tensor

__all__ = ["RESERVED", "CheckpointFile", "CheckpointInfo", "MapTensor", "read", "write"]

RESERVED = "__mindport__."
"""Prefix of the names under which state that is no parameter travels in a checkpoint."""


class CheckpointFile(Mapping[str, Any]):
    """An open checkpoint: an ordered mapping from names to values, made when they are asked for.

    A value is a `Tensor` (a view of the mapped file: writable, and the file stays as it is), a `str`, or a
    `MapTensor`. Arrays stay valid as long as they live, whatever happens to the file's name meanwhile.

    Attributes:
        path: the file.
        info: what the file says about itself.
        nbytes: size of the file in bytes.
    """

    def __init__(self, path: str, fd: int | None, buf: memoryview, found: Scan, info: CheckpointInfo) -> None:
        self.path = path
        self.info = info
        self.nbytes = len(buf)
        self._buf = buf
        self._scan = found
        self._fd = fd
        if fd is not None:
            weakref.finalize(self, os.close, fd)

    def __len__(self) -> int:
        return len(self._scan.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._scan.names)

    def __contains__(self, name: object) -> bool:
        return name in self._scan.names

    def __getitem__(self, name: str) -> Any:
        pos = self._scan.names[name]
        records = self._records(pos)
        first = records[0]
        try:
            if not first.is_tensor:
                return _map_tensor(self._buf, records)
            if first.kind == "str":
                return _text(self._buf, first)
        except FormatError as exc:
            raise exc.at(self.path) from exc
        shape = shape_of(first)
        assert shape.dtype is not None
        pieces = [self._buf[r.start : r.stop] for r in records if r.stop > r.start] or [self._buf[:0]]
        return Tensor(FileRef(name, shape.dtype, shape.shape, pieces, first.start), name=name)

    def _records(self, pos: int) -> list[Record]:
        """Returns the record at `pos` and the further slices of the same tensor."""
        body = self._scan.body
        records = [read_record(self._buf, pos, body)]
        first = records[0]
        if first.is_tensor and (first.kind == "str" or first.stop - first.start == shape_of(first).nbytes):
            return records
        while (pos := records[-1].end) < body and self._buf[pos] == RECORD_KEY:
            following = read_record(self._buf, pos, body)
            if following.tag != first.tag:
                break
            records.append(following)
        return records

    def tensors(self) -> Iterator[Tensor]:
        """Yields the tensors in file order, without texts and map parameters."""
        return (value for value in self.values() if isinstance(value, Tensor))

    def verify(self) -> None:
        """Compares the whole content with its checksums (and with MindSpore's CRC, if the file has one).

        Reads the file as it is on the disk, so arrays that were written to meanwhile do not matter. A file of
        MindSpore without CRC has nothing to compare with: its structure was checked when it was opened.

        Raises:
            ChecksumMismatch: the first damaged tensor, with its position in the file.
        """
        try:
            ckpt_verify.verify(ckpt_verify.Source(self._buf, self._fd), self._scan)
        except FormatError as exc:
            raise exc.at(self.path) from exc

    def __repr__(self) -> str:
        return f"CheckpointFile({self.path!r}, {len(self)} values)"


def read(
    path: str | PathLike[str], *, verify: bool = False, dec_key: bytes | None = None, dec_mode: str = "AES-GCM"
) -> CheckpointFile:
    """Opens a `.ckpt` file of mindport or MindSpore.

    Reads the framing only; content is mapped and comes from the disk when it is touched.

    Args:
        path: a regular file.
        verify: also compare all content with its checksums.
        dec_key: key of an encrypted file (AES: 16, 24 or 32 bytes; SM4: 16 bytes).
        dec_mode: ``"AES-GCM"``, ``"AES-CBC"`` or ``"SM4-CBC"``.

    Raises:
        MissingFile, NotAFile, NoPermission, StorageError: the file cannot be read.
        TruncatedFile, CorruptFile, ChecksumMismatch, FormatError: it is no sound checkpoint; the message names the
            tensor and the byte.
        UsageError: a key for a file that is not encrypted, an unknown mode, or a key of the wrong length.
    """
    fd, size = open_regular(path)
    name = fspath(path)
    try:
        if size == 0:
            raise TruncatedFile("the file is empty")
        buf = map_private(fd, size, path)
        mode = sniff.encrypted(bytes(buf[:4]))
        if mode is not None or dec_key is not None:
            buf = _decrypted(buf, mode, dec_key, dec_mode)
        else:
            _refuse_foreign(bytes(buf[:4096]))
        found = _scanned(buf, mode)
        info = checkpoint_info(found.end, tensor_count=len(found.names), crc=found.crc, encrypted=mode)
        file = CheckpointFile(name, fd if mode is None else None, buf, found, info)
        if mode is None:
            fd = -1  # the object closes it
    except FormatError as exc:
        raise exc.at(path) from exc
    finally:
        if fd >= 0:
            os.close(fd)
    if verify:
        file.verify()
    return file


def _scanned(buf: memoryview, mode: str | None) -> Scan:
    try:
        return scan(buf)
    except ChecksumMismatch as exc:  # slow, but only now: look for the record to name
        raise ckpt_verify.first_damaged(ckpt_verify.Source(buf, None), trailer(buf)[1]) or exc from None
    except FormatError as exc:
        model = "" if mode else _model(bytes(buf[:4096]))
        if model:  # not asked before: a checkpoint with its fields in an unusual order looks like one, too
            raise FormatError(
                f"this looks like {model}, not a MindSpore checkpoint; mindport.open reads it ({exc.reason})",
                offset=exc.offset,
            ) from exc
        if mode in (None, "AES-GCM"):
            raise
        # one wrong key in 256 leaves CBC's padding intact and gives garbage
        raise type(exc)(f"the key is wrong, or the content is damaged: {exc.reason}", offset=exc.offset) from exc


def _decrypted(buf: memoryview, mode: str | None, key: bytes | None, wanted: str) -> memoryview:
    if mode is None:
        raise UsageError("a key was given, but the file is not encrypted")
    if key is None:
        raise FormatError(f"the file is encrypted ({mode}); its key is needed")
    from mindport.formats import encryption

    return encryption.decrypt(buf, key, wanted)


def _refuse_foreign(head: bytes) -> None:
    """Says what a file is that is called `.ckpt` and comes from elsewhere."""
    for what, found in (("a safetensors file", sniff.safetensors(head)), ("a NumPy archive", sniff.npz(head))):
        if found:
            raise FormatError(f"this is {what}, not a MindSpore checkpoint; mindport.open reads it")
    if sniff.pt(head):
        raise FormatError(
            "this is a PyTorch file (torch.save; Lightning and others name it .ckpt too), not a MindSpore checkpoint; "
            "mindport.open and mindport.convert read it"
        )


def _model(head: bytes) -> str:
    """Returns what the first bytes of a file that is no sound checkpoint look like, "" if like none of our models."""
    if sniff.ckpt(head):
        return ""
    kinds = (
        ("a MindSpore graph.meta file", sniff.graph_meta(head)),
        ("a MindSpore MindIR model", sniff.mindir(head)),
        ("an ONNX model", sniff.onnx(head)),
        ("an Ascend AIR model", sniff.air(head)),
    )
    return next((what for what, found in kinds if found >= 40), "")


def _text(buf: memoryview, record: Record) -> str:
    content = bytes(buf[record.start : record.stop])
    try:
        return content.decode("utf-32-le").rstrip("\0")
    except UnicodeDecodeError as exc:
        raise CorruptFile(f"text {shown(record.tag)} is not UTF-32", offset=record.start) from exc


def _map_tensor(buf: memoryview, records: list[Record]) -> MapTensor:
    """Returns the map parameter that these records hold together (they follow each other along the first axis)."""
    columns: list[list[np.ndarray[Any, Any]]] = [[], [], []]
    for record in records:
        parts = map_parts(buf, record)
        for column, array in zip(columns, parts, strict=True):
            column.append(array)
    try:
        return MapTensor(*(c[0] if len(c) == 1 else np.concatenate(c) for c in columns))
    except ValueError as exc:
        raise CorruptFile(f"the parts of a map parameter do not fit together: {exc}", offset=records[0].start) from exc
