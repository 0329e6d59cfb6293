"""The header arithmetic: aligned content whatever the position, name and size; lengths that add up."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mindport.formats import ckpt_layout as layout
from mindport.wire.reader import LENGTH, iter_fields
from mindport.wire.writer import field_bytes, varint

DIMS = st.lists(st.integers(0, 1 << 40), max_size=4).map(tuple)


def test_field_numbers_are_those_of_the_documentation() -> None:
    assert (layout.PADDING_FIELD, layout.CHECKSUM_FIELD, layout.END_FIELD) == (100, 101, 1000)
    assert layout.CHECKSUM_KEY == b"\xa9\x06"
    assert layout.SLICE_BYTES == 536_870_912
    assert layout.ONE_RECORD_BYTES < 1 << 31


def test_the_plain_header_is_the_documented_example() -> None:
    header = layout.plain_header(b"a", "Float32", (2, 3), 0)
    assert header.hex(" ") == "0a 14 0a 01 61 12 0f 08 02 08 03 12 07 46 6c 6f 61 74 33 32 1a 00"


@given(
    tag=st.text(max_size=300).map(str.encode),
    dims=DIMS,
    nbytes=st.integers(0, 400) | st.integers(0, 1 << 31) | st.sampled_from([2**7, 2**14, 2**21, 2**28]),
    position=st.integers(0, 200) | st.integers(0, 1 << 45),
)
@example(tag=b"n" * 20, dims=(), nbytes=64, position=0)
def test_content_is_aligned_and_lengths_add_up(tag: bytes, dims: tuple[int, ...], nbytes: int, position: int) -> None:
    header, skip = layout.tensor_header(tag, "Float32", dims, nbytes, position)
    assert (position + len(header)) % layout.ALIGNMENT == 0
    rest = nbytes + layout.CHECKSUM_BYTES
    outer = field_bytes(1, b"")[:1]  # the key of field 1
    assert header.startswith(outer)
    assert header[1:skip] == varint(len(header) - skip + rest)
    assert header[skip : skip + 1] == b"\x0a"
    assert header.endswith(b"\x1a" + varint(nbytes))


@pytest.mark.parametrize("name", range(140))
def test_every_border_of_the_length_prefixes(name: int) -> None:
    for nbytes in (*range(70), *range(16300, 16390)):
        header, _ = layout.tensor_header(b"n" * name, "Int8", (nbytes,), nbytes, 7)
        whole = memoryview(header + bytes(nbytes) + layout.CHECKSUM_KEY + bytes(8))
        ((number, wire, start, _, stop),) = iter_fields(whole, 0, len(whole))
        assert (number, wire, stop) == (1, LENGTH, len(whole))
        assert (7 + len(header)) % 64 == 0
        assert len(list(iter_fields(whole, start, stop))) == 2


def test_map_records_hold_three_tensors() -> None:
    parts = [("int32", (2,), bytes(8)), ("float32", (2, 1), bytes(8)), ("int32", (2,), bytes(8))]
    data = memoryview(layout.map_record(b"t", parts))
    ((_, _, start, _, stop),) = iter_fields(data, 0, len(data))
    tag, tensors = iter_fields(data, start, stop)
    assert (tag[0], tensors[0]) == (1, 3)
    assert [f[0] for f in iter_fields(data, tensors[2], tensors[4])] == [1, 1, 1]
