"""Compares the content of a `.ckpt` file with its checksums, streaming through a small buffer."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import xxhash

from mindport.errors import ChecksumMismatch, TruncatedFile, storage_error
from mindport.formats.ckpt_record import RECORD_KEY, Record, read_record, shown
from mindport.formats.ckpt_scan import Scan

__all__ = ["Source", "first_damaged", "verify"]

BUFFER_BYTES = 1 << 20


class Source:
    """A file's bytes for one sequential pass: from the file itself where there is one, else from memory.

    Reading through a small buffer keeps memory flat and does not disturb the private map.
    """

    def __init__(self, buf: memoryview, fd: int | None) -> None:
        self.buf = buf
        self.fd = fd
        self._room = memoryview(bytearray(BUFFER_BYTES)) if fd is not None else memoryview(b"")

    def check_size(self) -> None:
        """Raises TruncatedFile if the file became shorter than its map; touching such a map would end the process."""
        if self.fd is not None and os.fstat(self.fd).st_size < len(self.buf):
            raise TruncatedFile("the file became shorter while it was open", offset=os.fstat(self.fd).st_size)

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yields the bytes from `start` to `stop`; each piece is valid until the next one is asked for."""
        while start < stop:
            if self.fd is None:
                piece = self.buf[start : min(stop, start + BUFFER_BYTES)]
            else:
                piece = self._read(start, min(stop - start, BUFFER_BYTES))
            yield piece
            start += len(piece)

    def _read(self, start: int, size: int) -> memoryview:
        assert self.fd is not None
        try:
            count = os.preadv(self.fd, [self._room[:size]], start)
        except OSError as exc:
            raise storage_error(exc, "read", "the checkpoint") from exc
        if count == 0:
            raise TruncatedFile("the file became shorter while it was open", offset=start)
        return self._room[:count]


def verify(source: Source, found: Scan) -> None:
    """Checks every record, then the CRC trailer.

    Raises:
        ChecksumMismatch: the first damaged tensor.
        TruncatedFile: somebody cut the file since it was opened.
    """
    source.check_size()
    if found.end is not None:
        damaged = first_damaged(source, found.body)
        if damaged is not None:
            raise damaged
    if found.crc is not None:
        crc = 0
        for piece in source.pieces(0, found.body):
            crc = zlib.crc32(piece, crc)
        if crc != found.crc:
            raise ChecksumMismatch(
                f"the content has CRC {crc:#010x}, the trailer says {found.crc:#x}: the file is damaged",
                offset=found.body,
            )


def first_damaged(source: Source, body: int) -> ChecksumMismatch | None:
    """Returns an error that names the first record which differs from its checksum, None if all are intact."""
    pos = 0
    while pos < body and source.buf[pos] == RECORD_KEY:
        record = read_record(source.buf, pos, body)
        if not intact(source, record):
            return ChecksumMismatch(f"tensor {shown(record.tag)} is damaged", offset=record.start)
        pos = record.end
    return None


def intact(source: Source, record: Record) -> bool:
    """True if the record equals its checksum (map parameters have none: the file's digest covers them)."""
    if not record.is_tensor:
        return True
    check = xxhash.xxh3_64()
    for piece in source.pieces(record.check_from, record.stop):
        check.update(piece)
    return check.intdigest() == record.checksum
