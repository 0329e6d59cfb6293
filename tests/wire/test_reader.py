"""The field reader: numbers as protobuf writes them, and lies refused before anything is made of them."""

from __future__ import annotations

import pytest
from google.protobuf.internal import decoder, encoder
from hypothesis import given
from hypothesis import strategies as st

from mindport.errors import CorruptFile, TruncatedFile
from mindport.wire.reader import FIXED32, FIXED64, LENGTH, VARINT, iter_fields, read_varint, signed


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
def test_varints_are_protobufs(value: int, after: bytes) -> None:
    data = encoder._VarintBytes(value) + after
    assert read_varint(data, 0, len(data)) == (value, len(data) - len(after))
    assert decoder._DecodeVarint(data, 0)[0] == value


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_signed_is_twos_complement(value: int) -> None:
    assert signed(value & (1 << 64) - 1) == value


def test_fields_come_with_their_places() -> None:
    data = memoryview(bytes([1 << 3, 5, 2 << 3 | 2, 2, 9, 9, 3 << 3 | 5, 1, 2, 3, 4, 4 << 3 | 1, *range(8)]))
    assert list(iter_fields(data, 0, len(data))) == [
        (1, VARINT, 5, 0, 2),
        (2, LENGTH, 4, 2, 6),
        (3, FIXED32, 7, 6, 11),
        (4, FIXED64, 12, 11, 20),
    ]


@pytest.mark.parametrize(
    ("data", "error", "words", "offset"),
    [
        (b"\x80", TruncatedFile, "cut off", 0),
        (b"\x08", TruncatedFile, "cut off", 1),
        (b"\x08" + b"\xff" * 10, CorruptFile, "longer than 10 bytes", 1),
        (b"\x08" + b"\xff" * 9 + b"\x7f", CorruptFile, "more than 64 bits", 1),
        (b"\x00\x00", CorruptFile, "impossible field number 0", 0),
        (b"\x0a\xff\xff\xff\xff\x7f", TruncatedFile, "announces 34359738367 bytes, 0 are left", 0),
        (b"\x0d\x01\x02", TruncatedFile, "is cut off", 0),
        (b"\x08\x01\x0b", CorruptFile, "wire type 3", 2),
    ],
)
def test_lies_are_refused_with_their_place(data: bytes, error: type[Exception], words: str, offset: int) -> None:
    with pytest.raises(error, match=words) as caught:
        list(iter_fields(memoryview(data), 0, len(data)))
    assert caught.value.offset == offset  # type: ignore[attr-defined]
