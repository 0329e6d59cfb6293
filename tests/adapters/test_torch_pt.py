"""PyTorch files: read by torch with `weights_only`, byte-equal to `torch.save` when written, never unpickled here."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mindport.adapters.torch_pt import read, write
from mindport.dtypes import DTYPES
from mindport.errors import CorruptFile, MissingExtra, MissingFile, NotAFile, Unsupported, UnsupportedDType, UsageError
from mindport.formats import ckpt, registry
from mindport.tensors import ArrayRef, Tensor

NET = {
    "conv.weight": torch.randn(2, 3, generator=torch.Generator().manual_seed(1)),
    "bf": torch.ones(3, dtype=torch.bfloat16),
}


def saved(path: Path, value: Any, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


@pytest.mark.parametrize("new", [True, False])
def test_a_state_dict_is_read(tmp_path: Path, new: bool) -> None:
    path = saved(tmp_path / "a.pt", NET, _use_new_zipfile_serialization=new)
    found = read(path, verify=True)
    assert registry.detect(path).name == "pt"
    assert list(found) == list(NET)
    assert all(torch.equal(torch.as_tensor(found[n]), t) for n, t in NET.items())
    assert [t.name for t in found.values()] == list(NET)


def test_the_network_of_a_training_checkpoint_is_found(tmp_path: Path) -> None:
    lightning = {
        "epoch": 3, "global_step": 40, "pytorch-lightning_version": "2.6.0", "state_dict": NET,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}], "hyper_parameters": {"lr": 0.1},
    }  # fmt: skip
    found = read(saved(tmp_path / "epoch=3.ckpt", lightning))
    assert list(found) == list(NET)
    assert found.info == {
        "epoch": 3, "total_step": 40, "lightning": "2.6.0", "found_in": "state_dict",
        "left_out": ["epoch", "global_step", "pytorch-lightning_version", "optimizer_states", "hyper_parameters"],
    }  # fmt: skip


def test_other_nesting_is_flattened(tmp_path: Path) -> None:
    found = read(saved(tmp_path / "a.pt", {"a": {"b": [torch.ones(1), {"c": torch.zeros(2)}]}, "n": 5}))
    assert list(found) == ["a.b.0", "a.b.1.c"]
    assert list(read(saved(tmp_path / "a.pt", torch.ones(2)))) == ["tensor"]
    inside: dict[str, Any] = {"w": torch.ones(1)}
    inside["again"] = inside
    assert list(read(saved(tmp_path / "a.pt", inside))) == ["w"]


def test_views_and_shared_tensors_are_read_as_they_look(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    found = read(
        saved(
            tmp_path / "a.pt",
            {"t": base.T, "row": base[1], "again": base, "conj": torch.ones(2, dtype=torch.cfloat).conj()},
        )
    )
    assert found["t"].numpy().tolist() == base.T.tolist()
    assert b"".join(found["row"].chunks()) == base[1].numpy().tobytes()
    assert found["again"].shape == (3, 4)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.torch], ids=lambda d: d.name)
def test_what_is_written_is_what_torch_writes(tmp_path: Path, dtype: Any) -> None:
    content = np.random.default_rng(1).integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes()
    ref = ArrayRef("w", np.frombuffer(content, dtype.numpy).reshape(2, 3), dtype)
    data = b"".join(bytes(c) for c in write([ref, Tensor(NET["bf"], name="bf")]))
    (tmp_path / "a.pt").write_bytes(data)
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    assert loaded["w"].view(torch.uint8).numpy().tobytes() == content
    out = io.BytesIO()
    torch.save(loaded, out)
    assert data == out.getvalue()


def test_a_checkpoint_turns_into_a_state_dict(tmp_path: Path) -> None:
    source = tmp_path / "a.ckpt"
    source.write_bytes(b"".join(ckpt.write(NET)))
    (tmp_path / "a.pt").write_bytes(b"".join(bytes(c) for c in write(ckpt.read(source))))
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    assert all(torch.equal(loaded[n], t) for n, t in NET.items())


def test_a_stream_given_up_half_way_leaves_no_thread() -> None:
    stream = write({n: Tensor(t) for n, t in NET.items()})
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "mindport-torch-save"]


def test_values_that_cannot_be_stored_are_refused() -> None:
    for weights, error in (
        ({"a": "text"}, Unsupported),
        ([ArrayRef("a", np.ones(1)), ArrayRef("a", np.ones(1))], UsageError),
        ({"a": Tensor(np.ones(1, np.int8), dtype="qint4x2")}, Unsupported),
    ):
        with pytest.raises(error):
            write(weights)  # type: ignore[arg-type]


class Evil:
    """Would make a file when unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    victim = tmp_path / "made"
    for new in (True, False):
        path = saved(
            tmp_path / "a.pt", {"w": torch.ones(1), "x": Evil(str(victim))}, _use_new_zipfile_serialization=new
        )
        with pytest.raises(CorruptFile, match="weights_only"):
            read(path)
    assert not victim.exists()


def test_compressed_archives_are_refused_before_torch_sees_them(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.pt", {"w": torch.zeros(1000)})
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(CorruptFile, match="is compressed"):
        read(tmp_path / "b.pt")


def test_damage_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", NET)
    data = path.read_bytes()
    at = data.index(NET["conv.weight"].numpy().tobytes())
    path.write_bytes(data[:at] + b"\x55" + data[at + 1 :])
    with pytest.raises(CorruptFile, match="does not fit its CRC"):
        read(path, verify=True)
    for size in range(0, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(CorruptFile):
            read(path)


def test_what_is_no_file_of_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        read(tmp_path / "absent.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(NotAFile):
        read(tmp_path / "pipe.pt")
    with pytest.raises(Unsupported, match="holds no tensors"):
        read(saved(tmp_path / "a.pt", {"epoch": 3}))
    with pytest.raises(Unsupported, match="'w' is sparse"):
        read(saved(tmp_path / "a.pt", {"w": torch.ones(2, 2).to_sparse()}))
    with pytest.raises(UnsupportedDType, match="'w'"):
        read(saved(tmp_path / "a.pt", {"w": torch.ones(2, dtype=torch.float8_e4m3fnuz)}))


def test_an_old_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.pt", NET)
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(MissingExtra, match=r"2\.6 or later"):
        read(path)


def test_a_flip_in_the_archives_end_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", NET)
    data = path.read_bytes()
    locator = data.rindex(b"PK\x06\x07")
    for at in range(locator, locator + 20):
        for bit in range(8):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            with contextlib.suppress(CorruptFile):  # any other error fails the test
                assert list(read(path, verify=True)) == list(NET)
    path.write_bytes(data[: locator + 16] + bytes([data[locator + 16] ^ 2]) + data[locator + 17 :])
    with pytest.raises(CorruptFile) as caught:
        read(path)
    assert caught.value.path == str(path)
