"""Our codec against google.protobuf: what one writes the other reads, byte for byte, and damage ends in one error."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.errors import CorruptFile, FormatError
from mindport.wire.spec import MAX_DEPTH, F, Message, Spec, check_text, decode, encode
from wire.private_pool import message_class

LEAF = Spec("Leaf", {1: F("label", "string"), 3: F("data", "bytes"), 2000: F("rank", "int32")})
TREE: Spec = Spec(
    "Tree",
    {
        1: F("i32", "int32"),
        2: F("i64", "int64", many=True),
        3: F("u32", "uint32"),
        4: F("u64", "uint64", many=True, packed=True),
        5: F("flag", "bool"),
        6: F("mode", "enum"),
        7: F("half", "float", many=True, packed=True),
        8: F("whole", "double", many=True),
        9: F("f32", "fixed32"),
        10: F("f64", "fixed64"),
        11: F("name", "string", many=True),
        12: F("leaf", "message", of=lambda: LEAF),
        13: F("children", "message", many=True, of=lambda: TREE),
        16: F("raw", "bytes"),
    },
)
PARTIAL = Spec("Partial", {2: F("i64", "int64", many=True), 12: F("leaf", "message", of=lambda: LEAF)})
FOREIGN = message_class(TREE)

f32 = st.floats(width=32, allow_nan=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LEAVES = st.fixed_dictionaries(
    {},
    optional={"label": text, "data": st.binary(max_size=5000), "rank": st.integers(-(1 << 31), (1 << 31) - 1)},
)
FLAT = {
    "i32": st.integers(-(1 << 31), (1 << 31) - 1),
    "i64": st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=4),
    "u32": st.integers(0, (1 << 32) - 1),
    "u64": st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=4),
    "flag": st.booleans(),
    "mode": st.integers(-(1 << 31), (1 << 31) - 1),
    "half": st.lists(f32, min_size=1, max_size=4),
    "whole": st.lists(st.floats(allow_nan=False), min_size=1, max_size=4),
    "f32": st.integers(0, (1 << 32) - 1),
    "f64": st.integers(0, (1 << 64) - 1),
    "name": st.lists(text, min_size=1, max_size=3),
    "leaf": LEAVES,
    "raw": st.binary(max_size=40),
}
TREES: Any = st.recursive(
    st.fixed_dictionaries({}, optional=FLAT),
    lambda inner: st.fixed_dictionaries({}, optional={**FLAT, "children": st.lists(inner, min_size=1, max_size=2)}),
    max_leaves=4,
)


def ours(spec: Spec, values: dict[str, Any]) -> Message:
    message = spec.new()
    for name, value in values.items():
        f = spec.fields[spec.numbers[name]]
        if f.of is not None:
            value = [ours(f.of(), v) for v in value] if f.many else ours(f.of(), value)
        message.set(name, value)
    return message


def fill(message: Any, values: dict[str, Any]) -> Any:
    for name, value in values.items():
        field = getattr(message, name)
        if isinstance(value, dict):
            field.SetInParent()
            fill(field, value)
        elif isinstance(value, list) and isinstance(value[0], dict):
            for one in value:
                fill(field.add(), one)
        elif isinstance(value, list):
            field.extend(value)
        else:
            setattr(message, name, value)
    return message


@given(TREES)
@settings(max_examples=150, deadline=None)
def test_bytes_are_those_of_protobuf_both_ways(values: dict[str, Any]) -> None:
    expected = fill(FOREIGN(), values).SerializeToString(deterministic=True)
    message = ours(TREE, values)
    assert b"".join(encode(message)) == expected
    read = decode(TREE, memoryview(expected))
    assert b"".join(encode(read)) == expected


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_unknown_fields_survive(values: dict[str, Any]) -> None:
    data = fill(FOREIGN(), values).SerializeToString()
    through = b"".join(encode(decode(PARTIAL, memoryview(data))))
    assert len(through) == len(data)
    assert FOREIGN.FromString(through) == FOREIGN.FromString(data)


@given(TREES, TREES)
@settings(max_examples=60, deadline=None)
def test_a_message_given_twice_is_merged(first: dict[str, Any], second: dict[str, Any]) -> None:
    data = fill(FOREIGN(), first).SerializeToString() + fill(FOREIGN(), second).SerializeToString()
    assert b"".join(encode(decode(TREE, memoryview(data)))) == FOREIGN.FromString(data).SerializeToString()


def test_packed_and_unpacked_numbers_are_both_read() -> None:
    packed = bytes([4 << 3 | 2, 3, 1, 2, 3])
    unpacked = bytes([4 << 3, 1, 4 << 3, 2, 4 << 3, 3])
    assert decode(TREE, memoryview(packed)).u64 == decode(TREE, memoryview(unpacked)).u64 == [1, 2, 3]


SAMPLE = (
    fill(
        FOREIGN(),
        {
            "i32": -5,
            "u64": [1, 300],
            "half": [1.5, -2.0],
            "name": ["conv1.weight"],
            "leaf": {"label": "x", "data": b"\x01\x02" * 20},
            "children": [{"i64": [7], "children": [{"f64": 9}]}],
        },
    )
).SerializeToString()


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_format_error(data: bytes) -> None:
    outcome: Message | int | None
    try:
        outcome = decode(TREE, memoryview(data))
    except FormatError as error:
        outcome = error.offset
    assert outcome is not None


def test_every_cut_and_every_flipped_bit_gives_a_message_or_a_format_error() -> None:
    damaged = [SAMPLE[:n] for n in range(len(SAMPLE))]
    damaged += [
        SAMPLE[:i] + bytes([SAMPLE[i] ^ (1 << b)]) + SAMPLE[i + 1 :] for i in range(len(SAMPLE)) for b in range(8)
    ]
    refused = 0
    for data in damaged:
        try:
            decode(TREE, memoryview(data))
        except FormatError:
            refused += 1
    assert refused > len(SAMPLE) // 2


def test_nesting_has_protobufs_limit() -> None:
    data = b""
    for _ in range(MAX_DEPTH + 2):
        data = bytes([13 << 3 | 2]) + _varint(len(data)) + data
    with pytest.raises(CorruptFile, match="nested deeper"):
        decode(TREE, memoryview(data))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes([1 << 3 | 2, 0]), "wire type 2, expected 0"),
        (bytes([12 << 3]) + b"\x01", "wire type 0, expected 2"),
        (bytes([7 << 3 | 2, 3, 0, 0, 0]), "not a multiple of 4"),
    ],
)
def test_contradictions_are_named(data: bytes, words: str) -> None:
    with pytest.raises(CorruptFile, match=words):
        decode(TREE, memoryview(data))


def test_large_content_is_not_copied() -> None:
    content = memoryview(bytearray(b"\x07" * 9000))
    chunks = encode(TREE.new(leaf=LEAF.new(data=content), u32=1))
    assert any(c is content for c in chunks)
    buffer = memoryview(b"".join(chunks))
    read = decode(TREE, buffer).leaf.data
    assert isinstance(read, memoryview)
    assert read.obj is buffer.obj


def test_message_access() -> None:
    message = TREE.new(i32=0, i64=[], name=["a"])
    assert message.has("i32")
    assert not message.has("i64")
    assert (message.i64, message.u32, message.get("u32", 4)) == ([], None, 4)
    message.add("i64", 3)
    message.set("name", [])
    assert message.values == {"i32": 0, "i64": [3]}
    assert message == decode(TREE, memoryview(b"".join(encode(message))))
    assert "i64=[3]" in repr(message)
    with pytest.raises(AttributeError, match="no field nonsense"):
        _ = message.nonsense


def test_floats_are_little_endian() -> None:
    assert b"".join(encode(TREE.new(half=[1.5]))) == bytes([7 << 3 | 2, 4]) + struct.pack("<f", 1.5)


def test_text_is_checked_in_every_message_but_not_in_remarks() -> None:
    inner = Spec("Inner", {1: F("names", "string", many=True), 2: F("doc_string", "string")})
    outer = Spec(
        "Outer", {1: F("one", "message", of=lambda: inner), 2: F("many", "message", many=True, of=lambda: inner)}
    )
    check_text(outer.new(one=inner.new(names=["层", "a"], doc_string="\udcff")))
    for bad in (outer.new(one=inner.new(names=["a", "b\udcff"])), outer.new(many=[inner.new(names=["\udc80"])])):
        with pytest.raises(CorruptFile, match=r"Inner\.names .* is not UTF-8 text"):
            check_text(bad)
