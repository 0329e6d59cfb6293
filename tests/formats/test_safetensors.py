"""`.safetensors` against the reference library, both ways; headers that lie are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from mindport.dtypes import DTYPES
from mindport.errors import (
    ChecksumMismatch,
    CorruptFile,
    FormatError,
    TruncatedFile,
    Unsupported,
    UnsupportedDType,
    UsageError,
    WrongTypeError,
)
from mindport.formats import ckpt
from mindport.formats.safetensors import read, write
from mindport.tensors import ArrayRef, Tensor

RNG = np.random.default_rng(2)
WEIGHTS: dict[str, Any] = {
    "b": RNG.standard_normal(3).astype(np.float16),
    "a": RNG.standard_normal((2, 3)).astype(np.float32),
    "step": np.array(7, np.int64),
    "empty": np.zeros((0, 2), np.float32),
    "flag": np.array([True, False, True]),
}
IN_BOTH = [d for d in DTYPES if d.exact and d.name != "complex128"]


def save(path: Path, weights: Any, **options: Any) -> Path:
    path.write_bytes(b"".join(write(weights, **options)))
    return path


def raw(path: Path, header: Any, content: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


@pytest.mark.parametrize("dtype", IN_BOTH, ids=lambda d: d.name)
def test_the_reference_library_reads_every_dtype(tmp_path: Path, dtype: Any) -> None:
    content = RNG.integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes()
    path = save(tmp_path / "a.safetensors", [ArrayRef("w", np.frombuffer(content, dtype.numpy).reshape(2, 3), dtype)])
    loaded = safetensors.torch.load_file(path)["w"]
    assert str(loaded.dtype) == f"torch.{dtype.name}"
    assert loaded.view(torch.uint8).numpy().tobytes() == content
    mine = read(path)["w"]
    assert (mine.dtype, mine.shape, b"".join(mine.chunks())) == (dtype, (2, 3), content)


def test_files_of_the_reference_library_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(WEIGHTS, path, metadata={"k": "v"})
    found = read(path, verify=True)
    assert set(found) == set(WEIGHTS)
    assert found.info == {"k": "v"}
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
        assert found[name].shape == array.shape
    safetensors.torch.save_file({"w": torch.ones(3, dtype=torch.bfloat16)}, path)
    assert read(path)["w"].numpy().dtype == ml_dtypes.bfloat16


def test_what_is_written_is_aligned_ordered_and_the_same_every_time(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", WEIGHTS, info={"epoch": "3"})
    found = read(path)
    assert list(found) == ["step", "a", "empty", "b", "flag"]
    for tensor in found.values():
        assert tensor._ref.offset % tensor.dtype.itemsize == 0
    with safe_open(path, "np") as reference:
        assert reference.metadata() == {"format": "ms", "epoch": "3"}
        assert set(reference.keys()) == set(WEIGHTS)
    assert path.read_bytes() == b"".join(write(dict(WEIGHTS), info={"epoch": "3"}))


def test_values_are_private_views(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", WEIGHTS)
    before = path.read_bytes()
    found = read(path)
    found["a"].numpy()[...] = 5
    assert (found["a"].numpy() == 5).all()
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [-1, 1 << 40])
def test_a_number_that_mindspores_crc_cannot_cover(value: int, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="CRC cannot cover the number 'step'"):
        write({"step": np.array(value)}, crc_check=True)
    assert np.asarray(read(save(tmp_path / "a.safetensors", {"step": np.array(value)}), verify=True)["step"]) == value
    lying = save(tmp_path / "b.safetensors", {"step": np.array(value)}, info={"crc_num": "5"})
    with pytest.raises(ChecksumMismatch):
        read(lying, verify=True)


def test_crc_and_marked_types(tmp_path: Path) -> None:
    weights = {**WEIGHTS, "i4": Tensor(np.array([1, -2], np.int8), dtype="qint4x2"), "note": "héllo"}
    path = save(tmp_path / "a.safetensors", weights, crc_check=True)
    found = read(path, verify=True)
    assert (found["i4"].dtype.name, found["note"]) == ("qint4x2", "héllo")
    assert found.info["i4"] == "Int4"
    data = bytearray(path.read_bytes())
    data[found["a"]._ref.offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match="it is damaged"):
        read(path, verify=True)


def test_a_checkpoint_turns_into_safetensors_and_back(tmp_path: Path) -> None:
    source = tmp_path / "a.ckpt"
    source.write_bytes(b"".join(ckpt.write({**WEIGHTS, "note": "x"})))
    there = read(save(tmp_path / "a.safetensors", ckpt.read(source)))
    source.write_bytes(b"".join(ckpt.write(there)))
    back = ckpt.read(source, verify=True)
    assert back["note"] == "x"
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(back[name].numpy(), array)


@pytest.mark.parametrize(
    ("weights", "options", "error", "words"),
    [
        ([ArrayRef("a", np.ones(1)), ArrayRef("a", np.ones(1))], {}, UsageError, "'a' comes twice"),
        ({"__metadata__": np.ones(1)}, {}, UsageError, "reserved"),
        ({3: np.ones(1)}, {}, WrongTypeError, "must be text"),
        ({"a": np.ones(1, complex)}, {}, UnsupportedDType, "'a' is complex128"),
        ({"a": ckpt.MapTensor(np.ones(1), np.ones(1), np.ones(1))}, {}, Unsupported, "map parameter"),
        ({"\ud800": np.ones(1)}, {}, UsageError, "no Unicode text"),
        ({}, {"info": {"a": 1}}, UsageError, "map texts to texts"),
    ],
)
def test_what_cannot_be_stored_is_refused(weights: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        write(weights, **options)


def entry(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


BAD: dict[str, tuple[Any, bytes, type[FormatError], str]] = {
    "no json": (b"{x", b"", CorruptFile, "not JSON"),
    "no object": (b"[]", b"", CorruptFile, "no JSON object"),
    "deep": (b"[" * 100_000, b"", CorruptFile, "not JSON"),
    "twice": (b'{"w":{},"w":{}}', b"", CorruptFile, "a name twice"),
    "bad text": (b'{"\xff":{}}', b"", CorruptFile, "not JSON"),
    "metadata": ({"__metadata__": {"a": 1}}, b"", CorruptFile, "map texts to texts"),
    "no entry": ({"w": 5}, b"", CorruptFile, "no proper entry"),
    "more keys": (entry(x=1), bytes(8), CorruptFile, "no proper entry"),
    "type": (entry(dtype="F31"), bytes(8), CorruptFile, "unknown type F31"),
    "type is a list": (entry(dtype=[1]), bytes(8), CorruptFile, "unknown type"),
    "negative": (entry(shape=[-2]), bytes(8), CorruptFile, "no proper shape"),
    "bool": (entry(shape=[True]), bytes(8), CorruptFile, "no proper shape"),
    "many dims": (entry(shape=[1] * 40), bytes(8), CorruptFile, "no proper shape"),
    "huge": (entry(shape=[1 << 62, 1 << 62, 0], data_offsets=[0, 0]), b"", CorruptFile, "its shape needs"),
    "offsets": (entry(data_offsets=[0]), bytes(8), CorruptFile, "no proper offsets"),
    "backwards": (entry(data_offsets=[8, 0]), bytes(8), CorruptFile, "-8 bytes"),
    "short": (entry(data_offsets=[0, 4]), bytes(4), CorruptFile, "4 bytes, its shape needs 8"),
    "beyond": (entry(), bytes(7), TruncatedFile, "beyond the end"),
    "left over": (entry(), bytes(9), CorruptFile, "1 bytes belong to no tensor"),
    "hole": (entry(data_offsets=[4, 12]), bytes(12), CorruptFile, "does not begin at byte 0"),
    "overlap": ({**entry(), "v": entry()["w"]}, bytes(8), CorruptFile, "does not begin at byte 8"),
}


@pytest.mark.parametrize("name", BAD)
def test_contradictions_are_refused(tmp_path: Path, name: str) -> None:
    header, content, kind, words = BAD[name]
    path = raw(tmp_path / "a.safetensors", header, content)
    with pytest.raises(kind, match=words) as caught:
        read(path)
    assert caught.value.path == str(path)


def test_lengths_that_lie_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for data, error in ((b"", TruncatedFile), (b"\x10" + bytes(7), TruncatedFile), (b"\xff" * 9, CorruptFile)):
        path.write_bytes(data)
        with pytest.raises(error):
            read(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_files_give_values_or_format_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    changed = bytearray(b"".join(write({**WEIGHTS, "note": "x"}, crc_check=True)))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    path.write_bytes(changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed)
    try:
        found = read(path, verify=True)
    except FormatError:
        return
    assert all(isinstance(v, str) or v.numpy().nbytes == v.nbytes for v in found.values())
