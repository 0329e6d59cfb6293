"""Reads protobuf fields from a buffer; content stays a slice of it.

Every length is compared with the bytes present before anything is made from it, so a lying file costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from mindport.errors import CorruptFile, TruncatedFile

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
_MAX_VARINT_BYTES = 10


def read_varint(buf: memoryview | bytes, pos: int, end: int) -> tuple[int, int]:
    """Returns `(value, next position)`; the value is unsigned, at most 64 bits.

    Raises:
        TruncatedFile: the number does not end before `end`.
        CorruptFile: it is longer than a 64-bit number can be.
    """
    start = pos
    result = shift = 0
    while True:
        if pos >= end:
            raise TruncatedFile("a number is cut off", offset=start)
        byte = buf[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            if result >> 64:
                raise CorruptFile("a number has more than 64 bits", offset=start)
            return result, pos
        shift += 7
        if pos - start >= _MAX_VARINT_BYTES:
            raise CorruptFile("a number is longer than 10 bytes", offset=start)


def signed(value: int) -> int:
    """Returns the two's complement reading of an unsigned 64-bit varint (protobuf int32/int64)."""
    return value - (1 << 64) if value >= 1 << 63 else value


def iter_fields(buf: memoryview, pos: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yields `(number, wire type, value, start, stop)` for each field of the message in `buf[pos:end]`.

    For VARINT `value` is the unsigned number; for the other types the content is `buf[value:stop]`.
    `start` is where the field's key begins, so `buf[start:stop]` is the whole field. Groups (deprecated, in
    none of our formats) are refused. Offsets in errors count from the start of `buf`.

    Raises:
        TruncatedFile: a field announces more bytes than there are.
        CorruptFile: an impossible field number, wire type or number.
    """
    while pos < end:
        start = pos
        key = buf[pos]  # most keys are one byte
        if key < 0x80:
            pos += 1
        else:
            key, pos = read_varint(buf, pos, end)
        number, wire = key >> 3, key & 7
        if number == 0 or number > 0x1FFFFFFF:
            raise CorruptFile(f"impossible field number {number}", offset=start)
        if wire == LENGTH:
            length, pos = read_varint(buf, pos, end)
            stop = pos + length
            if stop > end:
                raise TruncatedFile(f"field {number} announces {length} bytes, {end - pos} are left", offset=start)
            yield number, wire, pos, start, stop
        elif wire == VARINT:
            value, stop = read_varint(buf, pos, end)
            yield number, wire, value, start, stop
        elif wire in (FIXED32, FIXED64):
            stop = pos + (4 if wire == FIXED32 else 8)
            if stop > end:
                raise TruncatedFile(f"field {number} is cut off", offset=start)
            yield number, wire, pos, start, stop
        else:
            raise CorruptFile(f"field {number} has wire type {wire}, which protobuf files do not use", offset=start)
        pos = stop
