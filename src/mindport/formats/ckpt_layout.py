"""The bytes of a `.ckpt` record: field numbers, limits, and the header that stands before each tensor's content.

`docs/formats/ckpt.md` describes the format and its evidence. A file is a row of `Checkpoint` messages with one value
each (proto2)::

    0A len { 0A len tag  12 len { 08 dim … 12 len type [A2 06 len padding] 1A len content [A9 06 checksum] } }
    [C2 3E len end record]  [crc_num + 10 bytes]

The parts in brackets are mindport's: fields that MindSpore skips, and MindSpore's own CRC trailer.
"""

from __future__ import annotations

from functools import lru_cache

from mindport.wire.reader import FIXED64, LENGTH
from mindport.wire.writer import field_bytes, field_header, field_varint, key, varint

__all__ = [
    "ALIGNMENT",
    "CHECKSUM_BYTES",
    "CHECKSUM_FIELD",
    "CHECKSUM_KEY",
    "CRC_BYTES",
    "CRC_MARK",
    "END_FIELD",
    "ONE_RECORD_BYTES",
    "PADDING_FIELD",
    "PADDING_KEY",
    "SLICE_BYTES",
    "map_record",
    "plain_header",
    "tensor_header",
]

ALIGNMENT = 64
"""Content of each tensor begins at a multiple of this many bytes, so that it can be mapped."""

PADDING_FIELD = 100
"""In `TensorProto`: zero bytes that move the content to an aligned position."""

CHECKSUM_FIELD = 101
"""In `TensorProto`, after the content: XXH3-64 of the record from its tag to the end of its content, fixed64."""

END_FIELD = 1000
"""In `Checkpoint`, last in the file: the end record (`ckpt_info`)."""

SLICE_BYTES = 512 << 20
"""MindSpore's own limit of content in one record (`SLICE_SIZE`, 512 * 1024 KiB)."""

ONE_RECORD_BYTES = (2 << 30) - (1 << 20)
"""Up to here a tensor stays one record: protobuf refuses a message of 2 GiB, the rest is room for the header."""

CRC_MARK = b"crc_num"
CRC_BYTES = len(CRC_MARK) + 10

CHECKSUM_KEY = key(CHECKSUM_FIELD, FIXED64)
CHECKSUM_BYTES = len(CHECKSUM_KEY) + 8
PADDING_KEY = key(PADDING_FIELD, LENGTH)


@lru_cache(1024)
def _descriptor(ckpt_type: str, dims: tuple[int, ...]) -> bytes:
    """Returns `dims` (not packed, none for a scalar) and `tensor_type` of a TensorProto."""
    return b"".join(field_varint(1, d) for d in dims) + field_bytes(2, ckpt_type.encode())


def plain_header(tag: bytes, ckpt_type: str, dims: tuple[int, ...], nbytes: int) -> bytes:
    """Returns what MindSpore writes before `nbytes` of content."""
    inner = _descriptor(ckpt_type, dims) + field_header(3, nbytes)
    named = field_bytes(1, tag)
    tensor = field_header(2, len(inner) + nbytes)
    return field_header(1, len(named) + len(tensor) + len(inner) + nbytes) + named + tensor + inner


def _padding(size: int) -> bytes:
    """Returns a padding field of `size` bytes in all: 0, or 3 and more, but not 131."""
    if size == 0:
        return b""
    zeros = size - 3 if size <= 130 else size - 4
    return PADDING_KEY + varint(zeros) + bytes(zeros)


def _varint_bytes(value: int) -> int:
    return (value.bit_length() + 6) // 7 or 1


def tensor_header(tag: bytes, ckpt_type: str, dims: tuple[int, ...], nbytes: int, position: int) -> tuple[bytes, int]:
    """Returns `(header, skip)` of a record that begins at `position` of the file.

    The content follows aligned, then the checksum field. `header[skip:]` is the part under the checksum.
    """
    named, descriptor, content = field_bytes(1, tag), _descriptor(ckpt_type, dims), field_header(3, nbytes)
    padding = _padding_for(len(named), len(descriptor) + len(content), nbytes, position)
    inner = len(descriptor) + padding + len(content) + nbytes + CHECKSUM_BYTES
    tensor = field_header(2, inner)
    outer = field_header(1, len(named) + len(tensor) + inner)
    return outer + named + tensor + descriptor + _padding(padding) + content, len(outer)


def _padding_for(named: int, inner: int, nbytes: int, position: int) -> int:
    """Returns the size of the padding field; `named` and `inner` are the bytes before and inside the tensor."""

    def header(size: int) -> int:
        value = inner + size + nbytes + CHECKSUM_BYTES
        tensor = 1 + _varint_bytes(value)
        return 1 + _varint_bytes(named + tensor + value) + named + tensor + inner + size

    missing = -(position + header(0)) % ALIGNMENT
    if missing == 0:
        return 0
    # Padding may lengthen the two length prefixes before it, which then changes the padding needed. Each grows at
    # most once within this range, and one size is impossible, so four runs of sizes are left: one of them is longer
    # than the alignment, and a solution exists. Nearly always the first guess is it.
    sizes: list[int] = [missing if missing >= 3 else missing + ALIGNMENT, *range(3, 3 + 6 * ALIGNMENT)]
    for size in sizes:
        if size != 131 and (position + header(size)) % ALIGNMENT == 0:  # no field is 131 bytes long
            return size
    raise AssertionError(f"no padding aligns a record at {position}")


def map_record(tag: bytes, parts: list[tuple[str, tuple[int, ...], bytes]]) -> bytes:
    """Returns a whole MapParameter record; `parts` are (type, dims, content) of keys, values and status."""
    tensors = b"".join(field_bytes(1, _descriptor(t, dims) + field_bytes(3, content)) for t, dims, content in parts)
    body = field_bytes(1, tag) + field_bytes(3, tensors)
    return field_header(1, len(body)) + body
