"""Weights between formats: every dtype, what a format cannot hold, and damage that must not be laundered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from mindport import weightfiles
from mindport.adapters import torch_pt
from mindport.errors import FormatError, Unsupported
from mindport.formats import ckpt, npz, registry, safetensors
from mindport.results import Check
from mindport.storage.atomic import commit
from mindport.tensors import ArrayRef, Tensor

RNG = np.random.default_rng(11)
WEIGHTS = {"w": RNG.standard_normal((4, 5)).astype(np.float32), "n": np.array(3, np.int64)}


def write(path: Path, values: dict[str, object], **options: object) -> Path:
    path.write_bytes(b"".join(ckpt.write(values, **options)))
    return path


def test_infos_name_texts_and_hash_tables(tmp_path: Path) -> None:
    table = ckpt.MapTensor(np.arange(2, dtype=np.int32), np.ones((2, 4), np.float32), np.zeros(2, np.int32))
    path = write(tmp_path / "a.ckpt", {"w": np.zeros((2, 3), np.float16), "note": "héllo", "map": table})
    infos = weightfiles.tensor_infos(ckpt.read(path))
    assert [(i.name, i.dtype, i.shape, i.nbytes) for i in infos] == [
        ("w", "float16", (2, 3), 12),
        ("note", "str", (), 20),
        ("map", "map", (2, 4), 48),
    ]


@pytest.mark.parametrize(
    ("name", "content", "statuses", "words"),
    [
        ("ckpt", ckpt.write(WEIGHTS), ["passed", "passed", "passed"], "XXH3 of every tensor"),
        ("ckpt", ckpt.write(WEIGHTS, checksums=False, crc_check=True), ["passed", "passed"], "CRC-32 over the file"),
        ("ckpt", ckpt.write(WEIGHTS, checksums=False), ["passed", "not proved"], "holds none"),
        ("safetensors", safetensors.write(WEIGHTS, crc_check=True), ["passed", "passed"], "CRC-32 over the tensors"),
        ("safetensors", safetensors.write(WEIGHTS), ["passed", "not proved"], "holds none"),
        ("npz", npz.write(WEIGHTS), ["passed", "passed"], "every member"),
        ("pt", torch_pt.write(WEIGHTS), ["passed", "passed"], "every member"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_checks_say_what_is_proved_and_damage_is_found_where_it_can_be(
    tmp_path: Path, name: str, content: Iterator[bytes], statuses: list[str], words: str
) -> None:
    path, fmt = tmp_path / "a", registry.by_name(name)
    commit(path, content)
    data = path.read_bytes()
    found = list(weightfiles.checks(path, fmt))
    assert [c.status for c in found] == statuses
    assert words in found[1].detail
    at = data.index(WEIGHTS["w"].tobytes()) + 5
    path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
    if statuses[1] == "passed":
        with pytest.raises(FormatError):
            list(weightfiles.checks(path, fmt))
    path.write_bytes(data[:at])
    with pytest.raises(FormatError):
        list(weightfiles.checks(path, fmt))


def test_a_checkpoint_keeps_texts_and_others_leave_them_out() -> None:
    values = {"w": Tensor(np.ones(2, np.float32)), **{f"note{i}": "text" for i in range(7)}}
    kept, notes = weightfiles.transferable(values, registry.by_name("npz"))
    assert list(kept) == ["w"]
    assert notes == ("NumPy archive holds tensors only; left out: note0, note1, note2, note3, note4 and 2 more",)
    assert weightfiles.transferable(values, registry.by_name("ckpt")) == (values, ())


def test_training_state_stays_behind_and_tied_names_come_along(tmp_path: Path) -> None:
    values = {"w": np.ones(2, np.float32), f"{ckpt.RESERVED}optimizer.step": np.array(3, np.int64)}
    source = ckpt.read(write(tmp_path / "a.ckpt", values, info={"aliases": {"tied": "w"}}))
    kept, notes = weightfiles.transferable(source, registry.by_name("safetensors"))
    assert list(kept) == ["w", "tied"]
    assert notes == ("the training state (1 values) is left out: only a checkpoint holds it",)


def test_a_format_without_writer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(npz, "write")
    with pytest.raises(Unsupported, match="does not write them"):
        weightfiles.encoded({}, registry.by_name("npz"))


def test_info_travels_between_checkpoints(tmp_path: Path) -> None:
    source = ckpt.read(write(tmp_path / "a.ckpt", {"w": np.ones(3, np.float32)}, info={"epoch": 2, "mine": "x"}))
    (tmp_path / "b.ckpt").write_bytes(b"".join(weightfiles.encoded(source, registry.by_name("ckpt"), source.info)))
    copy = ckpt.read(tmp_path / "b.ckpt").info
    assert (copy.epoch, dict(copy.extra)) == (2, {"mine": "x"})


@pytest.mark.parametrize(
    ("written", "status", "words"),
    [
        ({"w": np.arange(6, dtype=np.float32).reshape(2, 3), "t": "x"}, "passed", "2 values"),
        ({"w": np.arange(6, dtype=np.float32).reshape(3, 2), "t": "x"}, "failed", "w differs"),
        ({"w": np.arange(1, 7, dtype=np.float32).reshape(2, 3), "t": "x"}, "failed", "w differs"),
        ({"w": np.arange(6, dtype=np.int32).reshape(2, 3), "t": "x"}, "failed", "w differs"),
        ({"v": np.arange(6, dtype=np.float32).reshape(2, 3), "t": "x"}, "failed", "names"),
        ({"w": np.arange(6, dtype=np.float32).reshape(2, 3), "t": "y"}, "failed", "text"),
    ],
)
def test_read_back_finds_every_difference(tmp_path: Path, written: dict, status: str, words: str) -> None:
    expected = {"w": Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), "t": "x"}
    check = weightfiles.read_back(write(tmp_path / "a.ckpt", written), registry.by_name("ckpt"), expected)
    assert (check.status, words in check.detail) == (status, True), check


def test_read_back_of_an_unreadable_file_fails(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"\x0a\x03abc")
    check = weightfiles.read_back(tmp_path / "a.ckpt", registry.by_name("ckpt"), {})
    assert isinstance(check, Check)
    assert check.status == "failed"


def test_fingerprints_see_dtype_shape_and_content() -> None:
    a = RNG.standard_normal((2, 3)).astype(np.float32)
    same = weightfiles.fingerprints([ArrayRef("a", a), ArrayRef("b", np.asfortranarray(a))])
    assert same[0] == same[1]
    others = [a.reshape(3, 2), a.view(np.int32), a + 1, a.astype(ml_dtypes.bfloat16)]
    assert all(weightfiles.fingerprints([ArrayRef("a", other)])[0] != same[0] for other in others)
