"""The end record: what it stores, and that nothing odd in it passes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.errors import CorruptFile, FormatError, UsageError
from mindport.formats import ckpt_info
from mindport.formats.ckpt_info import DIGEST_BYTES, EndRecord, checkpoint_info, end_record, read_end_record
from mindport.wire.reader import iter_fields
from mindport.wire.writer import field_bytes, field_varint

DIGEST = bytes(range(DIGEST_BYTES))


def parsed(data: bytes) -> EndRecord:
    buf = memoryview(data)
    ((number, _, start, _, stop),) = iter_fields(buf, 0, len(buf))
    assert number == 1000
    return read_end_record(buf, start, stop)


def fields(**changes: Any) -> bytes:
    """A body with some fields replaced; None leaves one out."""
    parts: dict[str, bytes | None] = {
        "schema": field_varint(1, 1),
        "producer": field_bytes(2, b"x"),
        "records": field_varint(3, 4),
        "info": field_bytes(4, b"{}"),
        "digest": field_bytes(5, DIGEST),
    }
    return b"".join(p for p in (parts | changes).values() if p is not None)


def test_what_is_written_is_read() -> None:
    info = {"epoch": 3, "step": 4, "total_step": 44, "metrics": {"loss": 0.5, "名": 1}, "note": ["x", None]}
    data = end_record(7, info) + DIGEST
    end = parsed(data)
    assert (end.schema, end.records, end.info, end.digest) == (1, 7, info, DIGEST)
    assert data[end.digest_at :] == DIGEST
    found = checkpoint_info(end, tensor_count=6, crc=None, encrypted=None)
    assert (found.epoch, found.step, found.total_step, found.metrics) == (3, 4, 44, {"loss": 0.5, "名": 1})
    assert (found.extra, found.tensor_count, found.digest) == ({"note": ["x", None]}, 6, DIGEST.hex())


def test_the_same_info_in_another_order_gives_the_same_bytes() -> None:
    assert end_record(1, {"a": 1, "b": {"d": 2, "c": 3}}) == end_record(1, {"b": {"c": 3, "d": 2}, "a": 1})


def test_numbers_json_lacks_survive() -> None:
    end = parsed(end_record(0, {"metrics": {"loss": math.inf}}) + DIGEST)
    assert checkpoint_info(end, tensor_count=0, crc=None, encrypted=None).metrics == {"loss": math.inf}


def test_values_of_other_types_do_not_pass_as_epochs() -> None:
    end = parsed(end_record(0, {"epoch": "3", "step": True, "metrics": [1]}) + DIGEST)
    found = checkpoint_info(end, tensor_count=0, crc=None, encrypted=None)
    assert (found.epoch, found.step, found.metrics) == (None, None, {})


@pytest.mark.parametrize("info", [{"a": object()}, {"a": {1, 2}}, {"a": b"x"}, {"a": "\ud800"}])
def test_what_is_no_json_is_refused(info: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be JSON"):
        end_record(1, info)


def test_info_is_no_place_for_state() -> None:
    with pytest.raises(UsageError, match="at most 1048576 fit"):
        end_record(1, {"a": "x" * (1 << 20)})


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": None},
        {"schema": field_varint(1, 0)},
        {"schema": field_bytes(1, b"")},
        {"producer": field_bytes(2, b"\xff")},
        {"producer": None},
        {"records": None},
        {"info": field_bytes(4, b"[]")},
        {"info": field_bytes(4, b"{")},
        {"info": field_bytes(4, b"[" * 100_000)},
        {"info": field_varint(4, 1)},
        {"info": field_bytes(4, b"{}" + b" " * (1 << 20))},
        {"digest": field_bytes(5, b"short")},
        {"digest": None},
        {"more": field_varint(9, 1)},
    ],
)
def test_damaged_records_are_refused(changes: dict[str, Any]) -> None:
    body = memoryview(fields(**changes))
    with pytest.raises(CorruptFile, match="end record"):
        read_end_record(body, 0, len(body))


def test_a_later_schema_is_named() -> None:
    body = memoryview(fields(schema=field_varint(1, 2)))
    with pytest.raises(FormatError, match="schema 2; this version of mindport reads up to 1"):
        read_end_record(body, 0, len(body))


def test_a_file_of_mindspore_says_nothing() -> None:
    found = checkpoint_info(None, tensor_count=2, crc=5, encrypted="AES-GCM")
    assert found == ckpt_info.CheckpointInfo(tensor_count=2, crc=5, encrypted="AES-GCM")
    assert not found.has_checksums


SIMPLE = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=3)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), SIMPLE, max_size=4))
def test_any_json_survives(info: dict[str, Any]) -> None:
    try:
        json.dumps(info, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert parsed(end_record(3, info) + DIGEST).info == info
