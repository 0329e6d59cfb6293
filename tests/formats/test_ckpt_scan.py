"""The structural checks of files without checksums, one contradiction at a time."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from mindport.errors import CorruptFile, FormatError, TruncatedFile
from mindport.formats.ckpt_scan import scan, trailer
from mindport.wire.writer import field_bytes, field_fixed64, field_varint


def tensor(kind: str = "Float32", dims: tuple[int, ...] = (2,), content: bytes = bytes(8)) -> bytes:
    return b"".join(field_varint(1, d) for d in dims) + field_bytes(2, kind.encode()) + field_bytes(3, content)


def record(name: str = "w", value: bytes | None = None, field: int = 2) -> bytes:
    return field_bytes(1, field_bytes(1, name.encode()) + field_bytes(field, tensor() if value is None else value))


def part(kind: str, dims: tuple[int, ...], content: bytes) -> bytes:
    return field_bytes(1, tensor(kind, dims, content))


TABLE = part("int32", (2,), bytes(8)) + part("float32", (2, 3), bytes(24)) + part("int32", (2,), bytes(8))

SOUND: dict[str, bytes] = {
    "one": record(),
    "two": record("a") + record("b"),
    "no name": record(""),
    "scalar": record(value=tensor(dims=(), content=bytes(4))),
    "old scalar": record(value=tensor(dims=(0,), content=bytes(4))),
    "empty": record(value=tensor(dims=(0,), content=b"")),
    "empty with large dims": record(value=tensor(dims=(0, 1 << 40), content=b"")),
    "packed dims": record(value=field_bytes(1, b"\x01\x02") + tensor(dims=())),
    "other field order": field_bytes(1, field_bytes(2, tensor()) + field_bytes(1, b"w")),
    "unknown fields inside": field_bytes(
        1, field_bytes(1, b"w") + field_bytes(2, tensor() + field_varint(77, 5)) + field_bytes(9, b"x")
    ),
    "slices": record(value=tensor(dims=(4,), content=bytes(6))) + record(value=tensor(dims=(4,), content=bytes(10))),
    "slices and empty ones": record(value=tensor(dims=(2,))) + record(value=tensor(dims=(2,), content=b"")) * 3,
    "text": record(value=tensor("str", (0,), "a".encode("utf-32-le"))),
    "map": record("m", TABLE, 3),
    "map in two parts": record("m", TABLE, 3) * 2,
    "old spelling": record(value=tensor("Uint16", (4,))),
    "cache name": record("emb.__param_key__12"),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_files(name: str) -> None:
    found = scan(memoryview(SOUND[name]))
    assert found.end is None
    assert found.crc is None
    assert list(found.names) == {"two": ["a", "b"], "no name": [""], "cache name": ["emb"]}.get(
        name, ["m" if name.startswith("map") else "w"]
    )


BAD: dict[str, tuple[bytes, type[FormatError], str]] = {
    "nothing": (b"", TruncatedFile, "holds nothing"),
    "only a trailer": (b"crc_num" + bytes(10), TruncatedFile, "holds nothing"),
    "too few bytes": (record(value=tensor(dims=(3,))), CorruptFile, "'w' lacks 4 of the bytes"),
    "too few, then another": (record("a", tensor(dims=(3,))) + record("b"), CorruptFile, "'a' lacks 4"),
    "too many bytes": (record(value=tensor(dims=(1,))), CorruptFile, "'w' holds 8 bytes, its shape needs 4"),
    "odd bytes": (record(value=tensor(content=bytes(7))), CorruptFile, "lacks 1"),
    "huge dims": (record(value=tensor(dims=(1 << 40, 1 << 20))), CorruptFile, "lacks 4611686018427387896"),
    "overflow": (record(value=tensor(dims=(1 << 40, 1 << 40))), CorruptFile, "impossible dimensions"),
    "overflow beside zero": (record(value=tensor(dims=(1 << 62, 1 << 62, 0), content=b"")), CorruptFile, "impossible"),
    "negative": (record(value=tensor(dims=(-1,))), CorruptFile, "negative dimension -1"),
    "many dims": (record(value=tensor(dims=(1,) * 33, content=bytes(4))), CorruptFile, "more than 32 dimensions"),
    "many packed dims": (record(value=field_bytes(1, bytes(40)) + tensor(dims=())), CorruptFile, "more than 32 dim"),
    "unknown type": (record(value=tensor("Float31")), CorruptFile, "unknown type 'Float31'"),
    "long type": (record(value=tensor("F" * 40)), CorruptFile, "unknown type"),
    "odd type": (record(value=tensor("Flo\nat")), CorruptFile, r"unknown type 'Flo\\\\nat'"),
    "doubled": (record() * 2, CorruptFile, "more bytes than its shape needs, or stands twice"),
    "doubled apart": (record("a") + record("b") + record("a"), CorruptFile, "'a' stands in the file twice .at byte 5"),
    "doubled text": (SOUND["text"] * 2, CorruptFile, "stands twice"),
    "slices of two types": (
        record(value=tensor("Int8", (16,))) + record(value=tensor("UInt8", (16,))), CorruptFile, "differ in shape",
    ),
    "slices of two shapes": (
        record(value=tensor(dims=(4,))) + record(value=tensor(dims=(2, 2))), CorruptFile, "differ in shape or type",
    ),
    "slices too long": (record(value=tensor(dims=(3,))) * 2, CorruptFile, "more bytes"),
    "tensor and map": (record("m", TABLE, 3) + record("m"), CorruptFile, "differ in shape or type"),
    "no name": (field_bytes(1, field_bytes(2, tensor())), CorruptFile, "lacks its name or its value"),
    "no value": (field_bytes(1, field_bytes(1, b"w")), CorruptFile, "lacks its name or its value"),
    "two names": (field_bytes(1, field_bytes(1, b"w") * 2 + field_bytes(2, tensor())), CorruptFile, "two names"),
    "two values": (field_bytes(1, field_bytes(1, b"w") + field_bytes(2, tensor()) * 2), CorruptFile, "two values"),
    "name is a number": (field_bytes(1, field_varint(1, 5) + field_bytes(2, tensor())), CorruptFile, "wire type 0"),
    "name is no text": (field_bytes(1, field_bytes(1, b"\xff") + field_bytes(2, tensor())), CorruptFile, "not UTF-8"),
    "no type": (record(value=field_bytes(3, b"")), CorruptFile, "lacks its type or its content"),
    "no content": (record(value=field_bytes(2, b"Int8")), CorruptFile, "lacks its type or its content"),
    "two contents": (record(value=tensor() + field_bytes(3, b"")), CorruptFile, "field 3 of tensor 'w' is doubled"),
    "two types": (record(value=tensor() + field_bytes(2, b"Int8")), CorruptFile, "field 2 of tensor 'w' is doubled"),
    "content is a number": (record(value=field_bytes(2, b"Int8") + field_varint(3, 1)), CorruptFile, "field 3"),
    "two checksums": (record(value=tensor() + field_fixed64(101, bytes(8)) * 2), CorruptFile, "field 101"),
    "cut checksum": (record(value=tensor() + b"\xa9\x06\x00"), TruncatedFile, "cut off"),
    "other field": (record() + field_bytes(2, b"x"), CorruptFile, "field 2 does not belong into a checkpoint"),
    "group": (record() + b"\x63", CorruptFile, "wire type 3"),
    "left over": (record() + b"\x00", CorruptFile, "field number 0"),
    "cut": (record()[:-1], TruncatedFile, "announces"),
    "cut number": (b"\x0a\xff", TruncatedFile, "cut off"),
    "endless number": (b"\x0a" + b"\xff" * 20, CorruptFile, "longer than 10 bytes"),
    "lying length": (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", TruncatedFile, "announces 9223372036854775807"),
    "map of two": (record("m", part("int32", (2,), bytes(8)) * 2, 3), CorruptFile, "2 parts instead of 3"),
    "map of none": (record("m", b"", 3), CorruptFile, "0 parts instead of 3"),
    "map of text": (record("m", part("str", (0,), b"") * 3, 3), CorruptFile, "unknown type 'str'"),
    "map too short": (record("m", part("int32", (3,), bytes(8)) * 3, 3), CorruptFile, "holds 8 bytes, its shape"),
    "map of something else": (record("m", field_varint(2, 1), 3), CorruptFile, "does not belong into map parameter"),
    "no record": (field_bytes(1000, b""), CorruptFile, "end record is damaged"),
    "escape codes": (record("\x1b[2J", tensor(dims=(3,))), CorruptFile, r"\\x1b\[2J' lacks"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_contradictions_are_refused(name: str) -> None:
    data, kind, words = BAD[name]
    with pytest.raises(kind, match=words) as caught:
        scan(memoryview(data))
    assert type(caught.value) is kind
    assert caught.value.offset is not None
    assert re.search(r"[\x00-\x1f]", str(caught.value)) is None


@pytest.mark.parametrize("make", [lambda: record(), lambda: record("a") + record("b")])
def test_the_trailer_is_no_part_of_the_body(make: Callable[[], bytes]) -> None:
    data = memoryview(make() + b"crc_num" + (7).to_bytes(10, "big"))
    assert trailer(data) == (7, len(data) - 17)
    assert scan(data).crc == 7
    assert scan(data).body == len(data) - 17
