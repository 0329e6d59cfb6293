"""Real MindSpore as the judge: it loads what mindport writes, and mindport reads what it writes, value for value."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mindport import Model
from mindport.dtypes import DTYPES, named
from mindport.errors import ChecksumMismatch
from mindport.formats import ckpt, safetensors
from mindport.storage.atomic import commit
from mindport.tensors import ArrayRef, Tensor
from mindport.train.callback import CheckpointConfig, ModelCheckpoint
from mindport.train.serialization import load_checkpoint, save_checkpoint
from oracles.ms_ckpt import MindSporeCheckpoints, MindSporeRefused

pytestmark = [pytest.mark.mindspore, pytest.mark.xdist_group("ms_ckpt")]

RNG = np.random.default_rng(8)
# MindSpore 2.10 saves these and cannot load them
ONLY_SAVED = {"complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "hifloat8"}
LOADED = [d for d in DTYPES if d.name not in ONLY_SAVED]


def content_of(dtype: Any, count: int) -> bytes:
    if dtype.name == "bool":
        return bytes(RNG.integers(0, 2, count, np.uint8))
    return RNG.integers(0, 256, count * dtype.itemsize, np.uint8).tobytes()


def must_load_equal(mindspore: MindSporeCheckpoints, path: Path, **options: Any) -> None:
    """MindSpore and mindport see the same names, types, shapes and bytes in the file, in the same order."""
    theirs = mindspore.load(path, **options)
    ours = ckpt.read(path, verify=True, dec_key=options.get("dec_key"), dec_mode=options.get("dec_mode", "AES-GCM"))
    assert list(theirs) == list(ours)
    for name, value in theirs.items():
        mine = ours[name]
        if value["kind"] == "str":
            assert mine == value["text"]
        elif value["kind"] == "map":
            assert [[a.dtype.name, a.tolist()] for a in mine] == value["lists"]
        else:
            assert (mine.dtype.ckpt, list(mine.shape)) == (value["dtype"], value["shape"]), name
            assert b"".join(mine.chunks()) == value["content"], name


@pytest.mark.parametrize("checksums", [True, False])
def test_mindspore_loads_every_dtype_it_knows(mindspore: MindSporeCheckpoints, tmp_path: Path, checksums: bool) -> None:
    refs = [ArrayRef(f"w.{d.name}", np.frombuffer(content_of(d, 6), d.numpy).reshape(2, 3), d) for d in LOADED]
    commit(tmp_path / "a.ckpt", ckpt.write(refs, checksums=checksums))
    must_load_equal(mindspore, tmp_path / "a.ckpt")


@pytest.mark.parametrize("name", sorted(ONLY_SAVED))
def test_mindspore_refuses_its_own_records_of_the_other_types(
    mindspore: MindSporeCheckpoints, tmp_path: Path, name: str
) -> None:
    dtype = named(name)
    array = np.frombuffer(content_of(dtype, 2), dtype.numpy)
    commit(tmp_path / "a.ckpt", ckpt.write([ArrayRef("w", array, dtype)]))
    with pytest.raises(MindSporeRefused, match="ValueError"):
        mindspore.load(tmp_path / "a.ckpt")
    assert b"".join(ckpt.read(tmp_path / "a.ckpt", verify=True)["w"].chunks()) == array.tobytes()


SHAPES = {
    "scalar": np.array(3.5, np.float32),
    "one": np.array([3.5], np.float32),
    "empty.rows": np.zeros((0, 3), np.float32),
    "empty.columns": np.zeros((2, 0), np.int32),
    "deep": np.arange(24, dtype=np.int16).reshape(1, 2, 1, 3, 1, 2, 2, 1),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "层.weight": np.array([True, False]),
    "with space/slash": np.array([1], np.uint64),
    "n" * 300: np.arange(70, dtype=np.float32),
}


@pytest.mark.parametrize("checksums", [True, False])
def test_mindspore_loads_every_shape_and_name(mindspore: MindSporeCheckpoints, tmp_path: Path, checksums: bool) -> None:
    commit(tmp_path / "a.ckpt", ckpt.write(SHAPES, checksums=checksums))
    must_load_equal(mindspore, tmp_path / "a.ckpt")


def test_mindspore_loads_values_that_are_no_parameters(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    table = ckpt.MapTensor(np.array([1, 5], np.int32), np.ones((2, 4), np.float32), np.zeros(2, np.int32))
    given = {"note": "héllo 😀", "none": "", "n": -3, "f": 0.5, "b": True, "table": table, "w": np.ones(3, np.float32)}
    commit(tmp_path / "a.ckpt", ckpt.write(given, info={"epoch": 3, "metrics": {"loss": 0.1}}))
    must_load_equal(mindspore, tmp_path / "a.ckpt")


def test_every_header_length_and_padding_is_skipped_by_mindspore(
    mindspore: MindSporeCheckpoints, tmp_path: Path
) -> None:
    """Names and contents of many lengths cross every border of the length prefixes (one, two, three bytes)."""
    weights = {f"{'n' * n}{n}": np.arange(size, dtype=np.uint8) for n, size in enumerate(range(1, 260, 3))}
    weights |= {f"m{size}": np.zeros(size, np.uint8) for size in range(16300, 16390, 7)}
    commit(tmp_path / "a.ckpt", ckpt.write(weights))
    must_load_equal(mindspore, tmp_path / "a.ckpt")


@pytest.mark.parametrize("checksums", [True, False])
def test_mindspore_joins_our_slices(
    mindspore: MindSporeCheckpoints, tmp_path: Path, checksums: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ONE_RECORD_BYTES", 2000), ("SLICE_BYTES", 1024), ("CHUNK_BYTES", 256)):
        monkeypatch.setattr(f"mindport.formats.ckpt_write.{name}", value)
    weights = {"a": np.arange(3, dtype=np.int8), "big": RNG.standard_normal((11, 103)), "z": np.ones(2, np.float32)}
    commit(tmp_path / "a.ckpt", ckpt.write(weights, checksums=checksums))
    must_load_equal(mindspore, tmp_path / "a.ckpt")


def test_mindspore_compares_our_crc(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    commit(path, ckpt.write(SHAPES, crc_check=True))
    must_load_equal(mindspore, path, crc_check=True)
    data = bytearray(path.read_bytes())
    data[ckpt.read(path)["deep"]._ref.offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(MindSporeRefused):
        mindspore.load(path, crc_check=True)


KEYS = [("AES-GCM", 16), ("AES-GCM", 24), ("AES-GCM", 32), ("AES-CBC", 16), ("AES-CBC", 32), ("SM4-CBC", 16)]


@pytest.mark.parametrize(("mode", "size"), KEYS)
def test_mindspore_decrypts_ours_and_we_decrypt_its_files(
    mindspore: MindSporeCheckpoints, tmp_path: Path, mode: str, size: int
) -> None:
    key = bytes(range(size))
    ours, theirs = tmp_path / "ours.ckpt", tmp_path / "theirs.ckpt"
    commit(ours, ckpt.write(SHAPES, enc_key=key, enc_mode=mode))
    must_load_equal(mindspore, ours, dec_key=key, dec_mode=mode)
    content = content_of(named("float32"), 33)
    mindspore.save(theirs, {"w": ("float32", (3, 11), content)}, enc_key=key, enc_mode=mode)
    assert b"".join(ckpt.read(theirs, dec_key=key, dec_mode=mode)["w"].chunks()) == content
    must_load_equal(mindspore, theirs, dec_key=key, dec_mode=mode)


WRITTEN = [d for d in LOADED if d.exact]


def written_content(dtype: Any, count: int) -> bytes:
    """Content that reaches MindSpore unchanged: the way to its bfloat16 alters the payload of a NaN."""
    content = content_of(dtype, count)
    return (np.frombuffer(content, "<u2") & 0xBFFF).tobytes() if dtype.name == "bfloat16" else content


@pytest.mark.parametrize("options", [{}, {"crc_check": True}, {"append_dict": {"epoch_num": 3, "lr": 0.5, "on": True}}])
def test_we_read_what_mindspore_writes(
    mindspore: MindSporeCheckpoints, tmp_path: Path, options: dict[str, Any]
) -> None:
    given = {f"w.{d.name}": (d.name, (2, 3), written_content(d, 6)) for d in WRITTEN}
    given |= {"s": ("float32", (), content_of(named("float32"), 1))}
    mindspore.save(tmp_path / "a.ckpt", given, **options)
    found = ckpt.read(tmp_path / "a.ckpt", verify=True)
    for name, (dtype, shape, content) in given.items():
        assert (found[name].dtype.name, found[name].shape) == (dtype, shape)
        assert b"".join(found[name].chunks()) == content, name
    must_load_equal(mindspore, tmp_path / "a.ckpt")
    assert [found[n].item() for n in options.get("append_dict", {})] == list(options.get("append_dict", {}).values())
    assert (found.info.crc is not None) == ("crc_check" in options)


def test_our_bytes_without_extras_are_those_mindspore_writes(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    given = {f"w.{d.name}": (d.name, (2, 3), written_content(d, 6)) for d in WRITTEN}
    mindspore.save(tmp_path / "a.ckpt", given)
    refs = [
        ArrayRef(n, np.frombuffer(content, named(d).numpy).reshape(shape), named(d))
        for n, (d, shape, content) in given.items()
    ]
    assert b"".join(ckpt.write(refs, checksums=False)) == (tmp_path / "a.ckpt").read_bytes()


def test_safetensors_both_ways(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    weights = {n: a for n, a in SHAPES.items() if a.size} | {"i4": Tensor(np.array([-3, 7], np.int8), dtype="qint4x2")}
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    commit(ours, safetensors.write(weights, crc_check=True))
    loaded = mindspore.load(ours, format="safetensors", crc_check=True)
    mine = safetensors.read(ours, verify=True)
    assert set(loaded) == set(mine) == set(weights)
    for name, value in loaded.items():
        assert (mine[name].dtype.ckpt, list(mine[name].shape)) == (value["dtype"], value["shape"]), name
        assert b"".join(mine[name].chunks()) == value["content"], name
    content = content_of(named("float16"), 5)
    mindspore.save(theirs, {"w": ("float16", (5,), content)}, format="safetensors", crc_check=True)
    assert b"".join(safetensors.read(theirs, verify=True)["w"].chunks()) == content


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(2, 3, (3, 2)), nn.BatchNorm2d(3), nn.Linear(5, 4))


@pytest.mark.parametrize(
    ("options", "reading"),
    [
        ({"crc_check": True}, {"crc_check": True}),
        ({"enc_key": bytes(range(16))}, {"dec_key": bytes(range(16))}),
        (
            {"enc_key": bytes(range(32)), "enc_mode": "AES-CBC"},
            {"dec_key": bytes(range(32)), "dec_mode": "AES-CBC"},
        ),
        (
            {"enc_key": bytes(range(16)), "enc_mode": "SM4-CBC"},
            {"dec_key": bytes(range(16)), "dec_mode": "SM4-CBC"},
        ),
        ({"format": "safetensors"}, {"format": "safetensors"}),
        ({"format": "safetensors", "crc_check": True}, {"format": "safetensors", "crc_check": True}),
    ],
)
def test_mindspore_loads_what_save_checkpoint_writes(
    mindspore: MindSporeCheckpoints, tmp_path: Path, options: dict[str, Any], reading: dict[str, Any]
) -> None:
    net = network()
    more: dict[str, Any] = {"epoch": 7, "lr": 0.25, "on": True, "note": "tëxt"}
    path = tmp_path / f"net.{options.get('format', 'ckpt')}"
    save_checkpoint(net, path, append_dict=more, **options)
    theirs, ours = mindspore.load(path, **reading), load_checkpoint(path, **reading)
    if "format" in options:  # texts live in metadata there, which MindSpore does not show
        assert ours.pop("note") == "tëxt"
    assert set(theirs) == set(ours) == {*net.state_dict(), *more} - ({"note"} if "format" in options else set())
    for name, value in theirs.items():
        if value["kind"] == "str":
            assert (value["text"], ours[name]) == ("tëxt", "tëxt")
            continue
        assert (value["dtype"], tuple(value["shape"])) == (ours[name].dtype.ckpt, ours[name].shape), name
        assert value["content"] == b"".join(ours[name].chunks()), name
    assert theirs["0.weight"]["content"] == net[0].weight.detach().numpy().tobytes()  # type: ignore[index,operator,union-attr]


def test_mindspore_checks_the_crc_of_a_training_run(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    model = Model(net, nn.MSELoss(), torch.optim.Adam(net.parameters()))
    data = [(torch.ones(4, 3), torch.zeros(4, 2)) for _ in range(3)]
    model.train(1, data, [ModelCheckpoint("run", tmp_path, CheckpointConfig(3, crc_check=True))])
    path = tmp_path / "run-1_3.ckpt"
    must_load_equal(mindspore, path, crc_check=True)
    changed = bytearray(path.read_bytes())
    changed[ckpt.read(path)["weight"]._ref.offset] ^= 1
    path.write_bytes(changed)
    with pytest.raises(MindSporeRefused):
        mindspore.load(path, crc_check=True)


def test_mindspores_crc_of_numbers_is_read_and_written(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    """For an integer without dimensions MindSpore takes as many zero bytes as its value says."""
    arrays = {"n": np.array(300), "u": np.array(7, np.uint8), "b": np.array(True), "f": np.array(-2.5, np.float32)}
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    save_checkpoint(arrays, ours, format="safetensors", crc_check=True)
    mindspore.save(
        theirs,
        {n: (a.dtype.name, a.shape, a.tobytes()) for n, a in arrays.items()},
        format="safetensors",
        crc_check=True,
    )
    assert safetensors.read(ours).info["crc_num"] == safetensors.read(theirs).info["crc_num"]
    for path in (ours, theirs):
        loaded = mindspore.load(path, format="safetensors", crc_check=True)
        assert {n: v["content"] for n, v in loaded.items()} == {n: a.tobytes() for n, a in arrays.items()}
        found = load_checkpoint(path, crc_check=True)
        assert {n: b"".join(found[n].chunks()) for n in arrays} == {n: a.tobytes() for n, a in arrays.items()}


def test_mindspore_cannot_make_the_crc_of_a_negative_number(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    with pytest.raises(MindSporeRefused, match="negative count"):
        mindspore.save(
            tmp_path / "a.safetensors",
            {"n": ("int64", (), np.array(-1).tobytes())},
            format="safetensors",
            crc_check=True,
        )


def test_mindspore_refuses_a_wrong_key_too(mindspore: MindSporeCheckpoints, tmp_path: Path) -> None:
    save_checkpoint(network(), tmp_path / "net.ckpt", enc_key=bytes(16))
    with pytest.raises(MindSporeRefused, match="ValueError"):
        mindspore.load(tmp_path / "net.ckpt", dec_key=bytes(15) + b"x")
    with pytest.raises(ChecksumMismatch, match="the key is wrong"):
        load_checkpoint(tmp_path / "net.ckpt", dec_key=bytes(15) + b"x")


@pytest.mark.parametrize(
    ("saving", "reading"),
    [
        ({"enc_key": bytes(range(24))}, {"dec_key": bytes(range(24))}),
        ({"crc_check": True}, {"crc_check": True}),
        ({"format": "safetensors", "crc_check": True}, {"crc_check": True}),
    ],
)
def test_load_checkpoint_reads_what_mindspore_saves(
    mindspore: MindSporeCheckpoints, tmp_path: Path, saving: dict[str, Any], reading: dict[str, Any]
) -> None:
    path, content = tmp_path / f"net.{saving.get('format', 'ckpt')}", content_of(named("float32"), 6)
    mindspore.save(path, {"w": ("float32", (2, 3), content)}, **saving)
    found = load_checkpoint(path, **reading)
    assert list(found) == ["w"]
    assert b"".join(found["w"].chunks()) == content


LARGE = {"one record of 600 MB": 600 << 20, "the longest record": (2 << 30) - (1 << 20), "slices": (2 << 30) + 4096}


def patterned(nbytes: int) -> np.ndarray[Any, Any]:
    return (np.arange(nbytes // 4, dtype=np.uint32) % 8191).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("what", LARGE)
def test_large_parameters_load_in_both_readers(tmp_path: Path, what: str) -> None:
    path, array = tmp_path / "big.ckpt", patterned(LARGE[what])
    digest = hashlib.sha256(array).hexdigest()
    commit(path, ckpt.write({"big": array, "after": np.ones(3, np.float32)}), durability="process")
    del array
    found = ckpt.read(path, verify=True)
    assert len(found["big"]._ref.slices) == (5 if what == "slices" else 1)
    assert hashlib.sha256(found["big"].numpy()).hexdigest() == digest
    del found
    worker = MindSporeCheckpoints()  # one that gives its memory back afterwards
    try:
        loaded = worker.load(path, digests=True)
    finally:
        worker.close()
        path.unlink()
    assert list(loaded) == ["big", "after"]
    assert (loaded["big"]["sha256"], loaded["big"]["shape"]) == (digest, [LARGE[what] // 4])


@pytest.mark.slow
def test_a_large_parameter_of_mindspore_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.ckpt"
    worker = MindSporeCheckpoints()
    try:
        digest = worker.save_large(path, (3, 100 << 20))  # 1.2 GB, in three slices
    finally:
        worker.close()
    found = ckpt.read(path)
    assert len(found["big"]._ref.slices) == 3
    assert hashlib.sha256(found["big"].numpy()).hexdigest() == digest
    path.unlink()
