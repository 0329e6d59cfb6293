"""ONNX files: valid for onnx's own checker, run by ONNX Runtime, refused when unsound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.conversion.pipeline import to_target
from mindport.errors import CorruptFile, MindportError, MissingFile, TruncatedFile, Unsupported
from mindport.formats import onnx as onnx_format
from mindport.ops.samples import build, f32, feeds, sample, weight
from oracles import ort

CASE = sample(f32(2, 3, 9, 8), weight(4, 3, 3, 2), weight(4), pads=[1, 0, 2, 3], strides=[1, 2])
MODEL = build("Conv", CASE)
DATA = b"".join(onnx_format.write(MODEL))


def test_what_is_written_is_valid_and_computes_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(DATA)
    onnx.checker.check_model(str(path), full_check=True)
    ort.agree(None, ort.run(MODEL, feeds(CASE)), ort.run(path, feeds(CASE)), "written")


def test_reading_and_writing_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(DATA)
    assert b"".join(onnx_format.write(onnx_format.read(path))) == DATA
    assert list(MODEL.graph.initializers) == ["c1", "c2"], "writing leaves the graph as it was"


def test_weights_are_not_copied_on_the_way() -> None:
    big = sample(f32(1, 3, 9, 8), weight(64, 3, 7, 9))
    model = build("Conv", big)
    content = model.graph.initializers["c1"].const_value
    assert content is not None
    shared = [c for c in onnx_format.write(model) if np.shares_memory(np.frombuffer(c, np.uint8), content.numpy())]
    assert len(shared) == 1


def test_a_model_in_two_files(tmp_path: Path) -> None:
    for name, chunks in onnx_format.files(MODEL, "net", split_bytes=10).items():
        (tmp_path / name).write_bytes(b"".join(chunks))
    path = tmp_path / "net.onnx"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    ort.agree(None, ort.run(MODEL, feeds(CASE)), ort.run(path, feeds(CASE)), "two files")
    assert b"".join(onnx_format.write(onnx_format.read(path))) == DATA


def test_limits_and_foreign_operators_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unsupported, match="not of ONNX"):
        list(onnx_format.write(to_target(MODEL, "mindspore")))
    monkeypatch.setattr(onnx_format, "SPLIT_BYTES", 10)
    with pytest.raises(Unsupported, match="two files"):
        list(onnx_format.write(MODEL))


def test_text_tensors_and_4_bit_types_survive(tmp_path: Path) -> None:
    model = build("Identity", sample(f32(2)))
    text = ir.StringTensor([b"a", b"bc"], shape=ir.Shape([2]), name="words")
    packed = ir.Tensor(np.asarray([1, 2, 3], dtype=ir.DataType.INT4.numpy()), ir.DataType.INT4, name="nibbles")
    for tensor in (text, packed):
        model.graph.register_initializer(ir.Value(name=tensor.name, const_value=tensor))
    path = tmp_path / "t.onnx"
    path.write_bytes(b"".join(onnx_format.write(model)))
    back = onnx_format.read(path).graph.initializers
    assert list(back["words"].const_value.numpy().tolist()) == [b"a", b"bc"]
    assert back["nibbles"].const_value.numpy().tolist() == [1, 2, 3]


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        onnx_format.read(tmp_path / "none.onnx")
    (tmp_path / "e.onnx").write_bytes(b"")
    with pytest.raises(TruncatedFile, match="empty"):
        onnx_format.read(tmp_path / "e.onnx")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), max_size=3), st.integers(1, len(DATA)))
def test_damage_ends_in_our_error_or_in_another_sound_model(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(DATA)
    for at, value in flips:
        data[at] = value
    path = tmp_path_factory.mktemp("damage") / "m.onnx"
    path.write_bytes(data[:end])
    try:
        model = onnx_format.read(path)
    except MindportError:
        return
    assert isinstance(model, ir.Model)


def test_garbage_is_corrupt_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(CorruptFile) as caught:
        onnx_format.read(path)
    assert caught.value.path == str(path)
