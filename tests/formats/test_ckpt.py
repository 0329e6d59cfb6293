"""Reading `.ckpt` files of our own: lazy, mapped, private, and refused when they are not what they should be."""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from mindport.dtypes import DTYPES
from mindport.errors import (
    ChecksumMismatch,
    FormatError,
    MissingFile,
    NoPermission,
    NotAFile,
    TruncatedFile,
    UsageError,
    WrongTypeError,
)
from mindport.formats import ckpt
from mindport.formats.ckpt import CheckpointFile, MapTensor
from mindport.tensors import ArrayRef, FileRef, Tensor

RNG = np.random.default_rng(11)
WEIGHTS: dict[str, Any] = {
    "conv.weight": RNG.standard_normal((4, 3, 2, 5)).astype(np.float32),
    "conv.bias": RNG.standard_normal(4).astype(ml_dtypes.bfloat16),
    "global_step": np.array(7, np.int32),
    "empty": np.zeros((0, 3), np.float16),
    "层.名": np.array([[True, False, True]]),
}


def save(path: Path, weights: Any = None, **options: Any) -> Path:
    path.write_bytes(b"".join(ckpt.write(WEIGHTS if weights is None else weights, **options)))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save(
        tmp_path / "a.ckpt", info={"epoch": 2, "step": 5, "total_step": 69, "metrics": {"loss": 0.25}, "x": [1]}
    )


def test_every_value_comes_back(path: Path) -> None:
    file = ckpt.read(path, verify=True)
    assert list(file) == list(WEIGHTS)
    for name, array in WEIGHTS.items():
        assert file[name].name == name
        assert file[name].dtype.numpy == array.dtype
        assert file[name].shape == array.shape
        np.testing.assert_array_equal(file[name].numpy(), array)
    assert len(file) == 5
    assert "empty" in file
    assert "absent" not in file
    with pytest.raises(KeyError):
        file["absent"]
    assert "5 values" in repr(file)


def test_the_file_says_what_it_is(path: Path) -> None:
    info = ckpt.read(path).info
    assert (info.epoch, info.step, info.total_step, info.metrics, info.extra) == (2, 5, 69, {"loss": 0.25}, {"x": [1]})
    assert (info.schema, info.tensor_count, info.has_checksums, info.crc, info.encrypted) == (1, 5, True, None, None)
    assert info.producer.startswith("mindport ")
    assert len(info.digest) == 32


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_every_dtype(tmp_path: Path, dtype: Any) -> None:
    content = RNG.integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes()
    array = np.frombuffer(content, dtype.numpy).reshape(2, 3)
    file = ckpt.read(save(tmp_path / "a.ckpt", [ArrayRef("w", array, dtype)]), verify=True)
    assert file["w"].dtype is dtype
    assert b"".join(file["w"].chunks()) == content


def test_content_is_aligned_and_mapped(path: Path) -> None:
    file = ckpt.read(path)
    for name in WEIGHTS:
        array = file[name].numpy()
        assert array.ctypes.data % 64 == 0 or not array.size, name
    assert np.shares_memory(file["conv.weight"].numpy(), file["conv.weight"].numpy())


def test_writing_to_an_array_leaves_the_file_alone(path: Path) -> None:
    before = path.read_bytes()
    file = ckpt.read(path)
    array = file["conv.weight"].numpy()
    array[...] = 7
    assert (file["conv.weight"].numpy() == 7).all()  # the same private memory
    assert path.read_bytes() == before
    assert ckpt.read(path)["conv.weight"].numpy()[0, 0, 0, 0] != 7
    file.verify()  # judges the file, not the memory


def test_a_replaced_or_removed_file_does_not_change_live_tensors(path: Path, tmp_path: Path) -> None:
    array = ckpt.read(path)["conv.weight"].numpy()
    os.replace(save(tmp_path / "b.ckpt", {"conv.weight": np.zeros((4, 3, 2, 5), np.float32)}), path)
    np.testing.assert_array_equal(array, WEIGHTS["conv.weight"])
    path.unlink()
    gc.collect()
    np.testing.assert_array_equal(array, WEIGHTS["conv.weight"])


def test_torch_takes_the_values_without_a_copy(path: Path) -> None:
    file = ckpt.read(path)
    weight, bias = torch.as_tensor(file["conv.weight"]), torch.as_tensor(file["conv.bias"])
    assert weight.data_ptr() == file["conv.weight"].numpy().ctypes.data
    assert bias.dtype == torch.bfloat16
    assert bias.data_ptr() == file["conv.bias"].numpy().ctypes.data
    parameter = torch.nn.Parameter(torch.zeros(4, 3, 2, 5))
    parameter.data.copy_(torch.as_tensor(file["conv.weight"]))
    np.testing.assert_array_equal(parameter.detach().numpy(), WEIGHTS["conv.weight"])
    assert torch.from_numpy(np.asarray(file["conv.weight"])).data_ptr() == weight.data_ptr()


def test_unaligned_tensors_of_mindspore_work_in_torch(tmp_path: Path) -> None:
    file = ckpt.read(save(tmp_path / "a.ckpt", checksums=False))
    weight = torch.as_tensor(file["conv.weight"])
    assert weight.data_ptr() == file["conv.weight"].numpy().ctypes.data
    array = WEIGHTS["conv.weight"]
    np.testing.assert_allclose((weight @ weight.mT).numpy(), array @ np.swapaxes(array, 2, 3), rtol=1e-5)


def test_texts_numbers_and_map_parameters(tmp_path: Path) -> None:
    table = MapTensor(np.array([1, 5], np.int32), np.ones((2, 4), np.float32), np.zeros(2, np.int32))
    given = {"note": "héllo 😀", "none": "", "n": -3, "f": 0.5, "b": True, "table": table}
    file = ckpt.read(save(tmp_path / "a.ckpt", given), verify=True)
    assert (file["note"], file["none"]) == ("héllo 😀", "")
    assert [(file[n].dtype.name, file[n].shape, file[n].item()) for n in "nfb"] == [
        ("int64", (), -3),
        ("float32", (), 0.5),
        ("bool", (), True),
    ]
    assert [a.tolist() for a in file["table"]] == [a.tolist() for a in table]
    assert [t.name for t in file.tensors()] == ["n", "f", "b"]


def test_map_parameters_in_parts_are_joined(tmp_path: Path) -> None:
    def part(n: int) -> bytes:
        table = MapTensor(np.full(n, n, "i4"), np.full((n, 2), n, "f4"), np.zeros(n, "i4"))
        return b"".join(ckpt.write({"table.__param_key__0": table}, checksums=False))

    path = tmp_path / "a.ckpt"
    path.write_bytes(part(1) + part(2))
    assert ckpt.read(path)["table"].keys.tolist() == [1, 2, 2]
    assert ckpt.read(path)["table"].values.shape == (3, 2)


def test_slices_become_one_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindport.formats.ckpt_write.ONE_RECORD_BYTES", 100)
    monkeypatch.setattr("mindport.formats.ckpt_write.SLICE_BYTES", 64)
    monkeypatch.setattr("mindport.formats.ckpt_write.CHUNK_BYTES", 16)
    file = ckpt.read(save(tmp_path / "a.ckpt"), verify=True)
    assert file.info.tensor_count == 5
    assert len(file["conv.weight"]._ref.slices) == 8
    np.testing.assert_array_equal(file["conv.weight"].numpy(), WEIGHTS["conv.weight"])
    assert b"".join(file["conv.weight"].chunks(13)) == WEIGHTS["conv.weight"].tobytes()


def test_a_flipped_content_bit_is_found_by_verify_and_named(path: Path) -> None:
    offset = ckpt.read(path)["conv.bias"]._ref.offset
    data = bytearray(path.read_bytes())
    data[offset + 3] ^= 1
    path.write_bytes(data)
    opened = ckpt.read(path)  # content is not touched
    with pytest.raises(ChecksumMismatch, match=f"'conv.bias' is damaged .at byte {offset}") as caught:
        opened.verify()
    assert caught.value.path == str(path)
    with pytest.raises(ChecksumMismatch, match=r"'conv\.bias'"):
        ckpt.read(path, verify=True)


def test_a_lost_end_is_found_at_once(path: Path) -> None:
    data = path.read_bytes()
    end = data.rindex(b"\xc2\x3e")
    path.write_bytes(data[:end])
    with pytest.raises(TruncatedFile, match="end record is missing; 5 whole records"):
        ckpt.read(path)


def test_a_checkpoint_without_tensors(tmp_path: Path) -> None:
    file = ckpt.read(save(tmp_path / "a.ckpt", {}), verify=True)
    assert (len(file), file.info.tensor_count) == (0, 0)


def test_reading_content_needs_no_memory_for_the_rest(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", {f"w{i}": np.zeros(1 << 18, np.float32) for i in range(16)})
    tracemalloc.start()
    try:
        file = ckpt.read(path, verify=True)
        assert file["w9"].numpy()[5] == 0
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()


def test_no_descriptor_stays_open(path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    before = count()
    for _ in range(3):
        ckpt.read(path, verify=True)
        with pytest.raises(UsageError):
            ckpt.read(path, dec_key=bytes(16))
    gc.collect()
    assert count() == before


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device", "denied"])
def test_what_cannot_be_read_is_said(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.ckpt"
    errors = {
        "missing": MissingFile,
        "directory": NotAFile,
        "fifo": NotAFile,
        "device": NotAFile,
        "denied": NoPermission,
    }
    if kind == "directory":
        target.mkdir()
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "device":
        target = Path("/dev/zero")
    elif kind == "denied":
        real = os.open

        def refuse(name: Any, *args: Any, **kwargs: Any) -> int:
            if name == str(target):
                raise PermissionError(13, "Permission denied", name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(errors[kind], match=str(target)):
        ckpt.read(target)


def test_what_is_no_path_is_refused() -> None:
    for value, error in ((5, WrongTypeError), (b"a", WrongTypeError), ("", UsageError), ("a\0b", UsageError)):
        with pytest.raises(error):
            ckpt.read(value)  # type: ignore[arg-type]


def test_files_of_others_called_ckpt_are_named(tmp_path: Path) -> None:
    path = tmp_path / "epoch=1.ckpt"
    for new in (True, False):
        torch.save({"state_dict": {"w": torch.ones(3)}}, path, _use_new_zipfile_serialization=new)
        with pytest.raises(FormatError, match=r"PyTorch file .*Lightning"):
            ckpt.read(path)
    np.savez(tmp_path / "a.npz", w=np.ones(3))
    with pytest.raises(FormatError, match="NumPy archive"):
        ckpt.read(tmp_path / "a.npz")


def test_a_checkpoint_is_a_source_for_another(path: Path, tmp_path: Path) -> None:
    file = ckpt.read(path)
    again = b"".join(
        ckpt.write(file, info={"epoch": 2, "step": 5, "total_step": 69, "metrics": {"loss": 0.25}, "x": [1]})
    )
    assert again == path.read_bytes()


def test_values_are_views_of_their_own_kind(path: Path) -> None:
    file: CheckpointFile = ckpt.read(path)
    assert all(isinstance(v, Tensor) and isinstance(v._ref, FileRef) for v in file.values())


def test_reserved_names_travel_beside_the_parameters(tmp_path: Path) -> None:
    file = ckpt.read(
        save(tmp_path / "a.ckpt", {"w": np.ones(3, "f4"), ckpt.RESERVED + "rng": np.arange(9, dtype="u1")})
    )
    assert [n for n in file if n.startswith(ckpt.RESERVED)] == ["__mindport__.rng"]
