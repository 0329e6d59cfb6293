"""Builds protobuf messages as lists of chunks, so that large content is never copied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from mindport.wire.reader import FIXED32, FIXED64, LENGTH, VARINT

Chunk: TypeAlias = "bytes | bytearray | memoryview"


def varint(value: int) -> bytes:
    """Returns `value` as a varint; negative numbers as 10 bytes, as protobuf int32/int64 are."""
    if value < 0:
        value += 1 << 64
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def key(number: int, wire: int) -> bytes:
    """Returns the key that starts field `number`."""
    return varint(number << 3 | wire)


def field_varint(number: int, value: int) -> bytes:
    """Returns a whole integer, bool or enum field."""
    return key(number, VARINT) + varint(value)


def field_bytes(number: int, content: bytes) -> bytes:
    """Returns a whole string, bytes or message field (copies `content`; use `field_header` for large ones)."""
    return key(number, LENGTH) + varint(len(content)) + content


def field_header(number: int, length: int) -> bytes:
    """Returns what stands before `length` bytes of content of a string, bytes or message field."""
    return key(number, LENGTH) + varint(length)


def field_fixed32(number: int, content: bytes) -> bytes:
    """Returns a 4-byte field (float, fixed32); `content` is little-endian."""
    return key(number, FIXED32) + content


def field_fixed64(number: int, content: bytes) -> bytes:
    """Returns an 8-byte field (double, fixed64); `content` is little-endian."""
    return key(number, FIXED64) + content


def total(chunks: Iterable[Chunk]) -> int:
    """Returns the number of bytes in `chunks`."""
    return sum(c.nbytes if isinstance(c, memoryview) else len(c) for c in chunks)
