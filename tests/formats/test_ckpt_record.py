"""The quick reader of usual records says exactly what the general one says, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.errors import CorruptFile, FormatError
from mindport.formats import ckpt, ckpt_record
from mindport.formats.ckpt_record import Record, bad, map_parts, read_record, shape_of, shown
from oracles.golden import FILES, FOLDER

BASES = [(FOLDER / n).read_bytes() for n in FILES if n.endswith(".ckpt") and "mode" not in FILES[n]]
BASES.append(b"".join(ckpt.write({"conv.weight": np.ones((2, 300), np.float32), "b": np.zeros((0, 3)), "t": "text"})))
BASES.append(b"".join(ckpt.write({"n" * 130: np.ones(3, np.int8), "m" * 500: np.ones(1)})))


def outcome(read: Any, data: bytes) -> Record | str | None:
    try:
        return read(memoryview(data), 0, len(data))  # type: ignore[no-any-return]
    except FormatError as exc:
        return f"{type(exc).__name__}: {exc}"


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_both_readers_agree(data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(BASES)))
    for _ in range(data.draw(st.integers(0, 2))):
        if changed:
            changed[data.draw(st.integers(0, min(len(changed) - 1, 120)))] = data.draw(st.integers(0, 255))
    if changed[:1] == b"\x0a":
        changed = changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed
        quick = outcome(ckpt_record._usual, bytes(changed))
        if quick is not None:
            assert quick == outcome(ckpt_record._general, bytes(changed))


def test_the_usual_records_take_the_quick_way() -> None:
    for data in BASES:
        buf, pos, quick, slow = memoryview(data), 0, 0, 0
        try:
            while pos < len(data) and data[pos] == 0x0A:
                usual = ckpt_record._usual(buf, pos, len(buf))
                record = read_record(buf, pos, len(buf))
                quick += usual is not None
                slow += usual is None and record.is_tensor and len(record.tag) < 100
                pos = record.end
        except FormatError:
            continue
        assert slow == 0
        assert quick or not data or b"map" in data or b"n" * 130 in data or b"a" * 300 in data


def record(**changes: Any) -> Record:
    base = Record(b"w", "Float32", (2, 3), 2, 40, 64, None, 64, True)
    return base._replace(**changes)


def test_shapes() -> None:
    assert shape_of(record())[1:] == ((2, 3), 24)
    assert shape_of(record(dims=()))[1:] == ((), 4)
    assert shape_of(record(dims=(0,), stop=44))[1:] == ((), 4)
    assert shape_of(record(dims=(0,), stop=40))[1:] == ((0,), 0)
    assert shape_of(record(kind="str", dims=(0,))) == (None, (), -1)
    for changes in ({"kind": "F"}, {"dims": (-1,)}, {"dims": (1 << 62, 2)}):
        with pytest.raises(CorruptFile):
            shape_of(record(**changes))


def test_messages_are_short_and_printable() -> None:
    assert shown(b"conv.weight") == "'conv.weight'"
    assert shown(b"\xff\x1b") == "'\\\\xff\\\\x1b'"
    assert len(shown(b"n" * 10_000_000)) < 300
    assert bad("x", 5).offset == 5


def test_map_parts_are_views() -> None:
    table = ckpt.MapTensor(np.array([4, 5], np.int64), np.ones((2, 3), np.float16), np.zeros(2, np.int32))
    buf = memoryview(bytearray(b"".join(ckpt.write({"t": table}, checksums=False))))
    parts = map_parts(buf, read_record(buf, 0, len(buf)))
    assert [p.tolist() for p in parts] == [t.tolist() for t in table]
    parts[0][0] = 9
    assert map_parts(buf, read_record(buf, 0, len(buf)))[0][0] == 9
