"""The field writer against google.protobuf's own encoder."""

from __future__ import annotations

import struct

from google.protobuf.internal import encoder, wire_format
from hypothesis import given
from hypothesis import strategies as st

from mindport.wire import writer

NUMBERS = st.integers(1, (1 << 29) - 1)


@given(NUMBERS, st.integers(-(1 << 63), (1 << 64) - 1))
def test_integers(number: int, value: int) -> None:
    tag = encoder.TagBytes(number, wire_format.WIRETYPE_VARINT)
    expected = tag + encoder._VarintBytes(value & (1 << 64) - 1)
    assert writer.field_varint(number, value) == expected


@given(NUMBERS, st.binary(max_size=300))
def test_content(number: int, content: bytes) -> None:
    expected = encoder.TagBytes(number, wire_format.WIRETYPE_LENGTH_DELIMITED)
    expected += encoder._VarintBytes(len(content)) + content
    assert writer.field_bytes(number, content) == expected
    assert writer.field_header(number, len(content)) + content == expected


def test_fixed_width_fields() -> None:
    assert writer.field_fixed32(9, struct.pack("<I", 7)) == b"\x4d\x07\x00\x00\x00"
    assert writer.field_fixed64(10, struct.pack("<d", 1.0)) == b"\x51" + struct.pack("<d", 1.0)


def test_total_counts_bytes_of_every_chunk_kind() -> None:
    four_bytes = memoryview(struct.pack("<f", 1.0)).cast("f")
    assert writer.total([b"ab", bytearray(3), four_bytes]) == 9
