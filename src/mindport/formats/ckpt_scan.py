"""Reads the framing of a `.ckpt` file: one pass over the records, content untouched.

The structure is checked as far as a file can be checked without checksums: known type, dims times item size equal to
the content, slices adjacent and of one type and shape, no name twice, nothing left over. Errors name the tensor and
the byte. A file with mindport's own fields is also compared with its digest: a lost, doubled, moved or damaged record
is found here, only flipped content bits wait for `ckpt_verify`.
"""

from __future__ import annotations

from dataclasses import dataclass

import xxhash

from mindport.errors import ChecksumMismatch, FormatError, TruncatedFile
from mindport.formats.ckpt_info import EndRecord, read_end_record
from mindport.formats.ckpt_layout import CRC_BYTES, CRC_MARK, END_FIELD
from mindport.formats.ckpt_record import RECORD_KEY, Record, bad, map_parts, read_record, shape_of, shown
from mindport.wire.reader import LENGTH, iter_fields

__all__ = ["Scan", "scan", "trailer"]

_CACHE_MARK = b".__param_key__"  # MindSpore's embedding caches append it, and a number, to the name


@dataclass
class Scan:
    """What one pass found.

    Attributes:
        names: position of the (first) record of each name, in file order.
        end: mindport's end record, None for other files.
        crc: number in MindSpore's CRC trailer, None without one.
        body: number of bytes before the CRC trailer.
    """

    names: dict[str, int]
    end: EndRecord | None
    crc: int | None
    body: int


def trailer(buf: memoryview) -> tuple[int | None, int]:
    """Returns `(CRC number or None, size without the trailer)`."""
    size = len(buf)
    if size >= CRC_BYTES and bytes(buf[size - CRC_BYTES : size - 10]) == CRC_MARK:
        return int.from_bytes(buf[size - 10 :], "big"), size - CRC_BYTES
    return None, size


def scan(buf: memoryview) -> Scan:
    """Returns the names and positions of a whole `.ckpt` file.

    Raises:
        TruncatedFile, CorruptFile, ChecksumMismatch, FormatError: the file is not sound. A ChecksumMismatch says that
            the list of tensors differs; `ckpt_verify.first_damaged` can often name the tensor.
    """
    crc, stop = trailer(buf)
    if stop == 0:
        raise TruncatedFile("the file holds nothing", offset=0)
    state = _State(buf, stop)
    state.run()
    state.finish()
    return Scan(state.names, state.end, crc, stop)


class _State:
    """The pass over one file."""

    def __init__(self, buf: memoryview, stop: int) -> None:
        self.buf, self.stop = buf, stop
        self.names: dict[str, int] = {}
        self.end: EndRecord | None = None
        self.frame = xxhash.xxh3_128()
        self.framed = 0  # everything before is hashed, or is content
        self.pos = self.records = self.with_checksum = self.without_checksum = 0
        self.open: Record | None = None  # the latest record
        self.missing = 0  # bytes that its tensor still lacks

    def run(self) -> None:
        """Walks over all records."""
        buf, stop, pos, update = self.buf, self.stop, 0, self.frame.update
        while pos < stop:
            if buf[pos] != RECORD_KEY:
                self._end_field(pos)
                return
            last = self.open
            try:
                record = read_record(buf, pos, stop)
            except FormatError as exc:
                raise self._placed(exc) from exc
            self.records += 1
            if last is not None and record.tag == last.tag:
                self._slice(record, last, pos)
            else:
                self._begin(record, pos)
            if record.is_tensor:
                if record.checksum is None:
                    self.without_checksum += 1
                else:
                    self.with_checksum += 1
                update(buf[self.framed : record.start])
                self.framed = record.stop
            pos = record.end
        self.pos = pos

    def _placed(self, exc: FormatError) -> FormatError:
        """Returns the error with the last sound tensor named."""
        if self.open is None:
            return exc
        return type(exc)(f"{exc.reason}, after tensor {shown(self.open.tag)}", offset=exc.offset)

    def _begin(self, record: Record, pos: int) -> None:
        """A record with another name than the one before."""
        if self.missing:
            self._incomplete()
        try:
            name = record.tag.decode()
        except UnicodeDecodeError:
            raise bad(f"the name {shown(record.tag)} is not UTF-8", pos) from None
        if _CACHE_MARK in record.tag:
            name = name.partition(_CACHE_MARK.decode())[0]
        if name in self.names:
            raise bad(f"tensor {shown(record.tag)} stands in the file twice", pos)
        self.names[name] = pos
        self.open = record
        size = record.stop - record.start
        if not record.is_tensor:
            map_parts(self.buf, record)
            self.missing = 0
            return
        wanted = shape_of(record).nbytes
        self.missing = 0 if wanted < 0 else wanted - size
        if self.missing < 0:
            raise bad(f"tensor {shown(record.tag)} holds {size} bytes, its shape needs {wanted}", pos)

    def _slice(self, record: Record, last: Record, pos: int) -> None:
        """A further record of the same name."""
        same = record.kind == last.kind and record.dims == last.dims and record.is_tensor == last.is_tensor
        if not same:
            raise bad(f"the slices of tensor {shown(record.tag)} differ in shape or type", pos)
        size = record.stop - record.start
        if not record.is_tensor:
            map_parts(self.buf, record)
        else:
            if record.kind == "str" or size > self.missing:
                raise bad(f"tensor {shown(record.tag)} has more bytes than its shape needs, or stands twice", pos)
            self.missing -= size

    def _incomplete(self) -> None:
        assert self.open is not None
        tag = shown(self.open.tag)
        raise bad(f"tensor {tag} lacks {self.missing} of the bytes its shape needs", self.open.start)

    def _end_field(self, pos: int) -> None:
        """Something that is no record: the end record, or what does not belong there."""
        for number, wire, at, _, after in iter_fields(self.buf, pos, self.stop):
            if (number, wire) != (END_FIELD, LENGTH):
                raise bad(f"field {number} does not belong into a checkpoint", pos)
            self.end = read_end_record(self.buf, at, after)
            self.frame.update(self.buf[self.framed : self.end.digest_at])
            if after != self.stop:
                raise bad(f"{self.stop - after} bytes follow the end record", after)
            self.pos = after

    def finish(self) -> None:
        """Checks what only the whole file shows."""
        if self.missing:
            self._incomplete()
        if self.end is None:
            if self.with_checksum:
                raise TruncatedFile(
                    f"the end record is missing; {self.records} whole records are there", offset=self.pos
                )
            return
        if self.end.digest != self.frame.digest() or self.end.records != self.records or self.without_checksum:
            raise ChecksumMismatch(
                "the list of tensors is not what was written: a record was lost, doubled, moved or damaged", offset=0
            )
