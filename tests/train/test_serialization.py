"""`save_checkpoint`, `load_checkpoint`, `load_param_into_net`, `export`: MindSpore's own tests and the tutorial's."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from mindport import Tensor
from mindport.errors import (
    ChecksumMismatch,
    CorruptFile,
    FormatError,
    MatchError,
    MindportError,
    MissingFile,
    NoSpace,
    NotAFile,
    TruncatedFile,
    Unsupported,
    UsageError,
    WrongTypeError,
)
from mindport.formats import ckpt
from mindport.naming.network import map_names
from mindport.storage import system
from mindport.storage.atomic import commit
from mindport.train.serialization import export, load_checkpoint, load_param_into_net, save_checkpoint
from train.worlds import Net

F = np.float32


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def state(net: nn.Module) -> dict[str, Any]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


# --- saving ---------------------------------------------------------------------------------------------------------


def test_save_checkpoint_for_list(tmp_path: Path) -> None:
    shapes = {"a": (1, 3, 8, 4), "b": (12, 24), "c": (12, 24, 1)}
    save_checkpoint([{"name": n, "data": Tensor(np.full(s, 2.5, F))} for n, s in shapes.items()], tmp_path / "x.ckpt")
    found = load_checkpoint(tmp_path / "x.ckpt")
    assert isinstance(found, dict)
    assert [(n, v.name, v.dtype.name, v.shape) for n, v in found.items()] == [
        (n, n, "float32", s) for n, s in shapes.items()
    ]


@pytest.mark.parametrize(
    "data",
    [
        Tensor(np.ones((2, 1), F), name="other"),
        np.ones((2, 1), F),
        torch.ones(2, 1),
        nn.Parameter(torch.ones(2, 1)),
        [[1.0], [1.0]],
    ],
)
def test_every_kind_of_tensor_is_saved_under_the_name_given(data: Any, tmp_path: Path) -> None:
    save_checkpoint({"w": data}, tmp_path / "x.ckpt")
    found = load_checkpoint(tmp_path / "x.ckpt")
    assert np.asarray(found["w"]).tolist() == [[1], [1]]
    assert list(found) == ["w"]


def test_a_network_is_saved_with_its_buffers_in_state_dict_order(tmp_path: Path) -> None:
    net = Net()
    save_checkpoint(net, tmp_path / "net.ckpt")
    found = load_checkpoint(tmp_path / "net.ckpt")
    assert list(found) == list(net.state_dict())
    assert all(np.array_equal(np.asarray(found[k]), v.numpy()) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    ("given", "made", "kind"),
    [
        ("a.ckpt", "a.ckpt", "ckpt"),
        ("myckpt", "myckpt", "ckpt"),
        ("a", "a.ckpt", "ckpt"),
        ("x.pt", "x.pt.ckpt", "ckpt"),
        ("a.b", "a.b.ckpt", "ckpt"),
        ("a.safetensors", "a.safetensors", "safetensors"),
        ("mysafetensors", "mysafetensors", "safetensors"),
        ("x.ckpt", "x.ckpt.safetensors", "safetensors"),
        ("x", "x.safetensors", "safetensors"),
        ("x.safetensors", "x.safetensors.ckpt", "ckpt"),
    ],
)
def test_the_suffix_is_added_unless_the_name_ends_with_the_format(
    given: str, made: str, kind: str, tmp_path: Path
) -> None:
    save_checkpoint({"w": np.ones(1)}, tmp_path / given, format=kind)
    assert [p.name for p in tmp_path.iterdir()] == [made]
    assert list(load_checkpoint(tmp_path / made)) == ["w"]


def test_append_dict_of_every_kind(tmp_path: Path) -> None:
    more = {
        "lr": 0.01, "epoch": 20, "done": True, "note": "tëxt", "empty": "",
        "p": nn.Parameter(torch.tensor(1.5)), "t": Tensor(np.array([[1, 2], [3, 4]], np.int64)),
    }  # fmt: skip
    save_checkpoint([{"name": "w", "data": np.ones(2, F)}], tmp_path / "x.ckpt", append_dict=more)
    found = load_checkpoint(tmp_path / "x.ckpt")
    assert list(found) == ["w", *more]
    assert (found["note"], found["empty"]) == ("tëxt", "")
    assert [found[k].dtype.ckpt for k in ("lr", "epoch", "done", "p", "t")] == [
        "Float32",
        "Int64",
        "Bool",
        "Float32",
        "Int64",
    ]
    assert (int(found["epoch"]), bool(found["done"]), float(found["p"]), found["t"].shape) == (20, True, 1.5, (2, 2))


def test_append_dict_alone_and_replacing(tmp_path: Path) -> None:
    save_checkpoint([], tmp_path / "a.ckpt", append_dict={"epoch": 1})
    assert list(load_checkpoint(tmp_path / "a.ckpt")) == ["epoch"]
    save_checkpoint({"w": np.zeros(2), "v": np.zeros(1)}, tmp_path / "b.ckpt", append_dict={"w": np.ones(3)})
    assert load_checkpoint(tmp_path / "b.ckpt")["w"].shape == (3,)


def test_choice_func_selects_names(tmp_path: Path) -> None:
    save_checkpoint(
        Net(), tmp_path / "net.ckpt", choice_func=lambda name: name.startswith("head"), append_dict={"n": 1}
    )
    assert list(load_checkpoint(tmp_path / "net.ckpt")) == ["head.weight", "head.bias", "n"]
    save_checkpoint(Tied(), tmp_path / "tied.ckpt", choice_func=lambda name: name == "embed.weight")
    assert list(load_checkpoint(tmp_path / "tied.ckpt")) == ["embed.weight"]
    save_checkpoint(Tied(), tmp_path / "tied.ckpt", choice_func=lambda name: name == "head.weight")
    assert list(load_checkpoint(tmp_path / "tied.ckpt")) == ["head.weight"]
    save_checkpoint(Tied(), tmp_path / "tied.ckpt", choice_func=lambda name: True)
    assert list(load_checkpoint(tmp_path / "tied.ckpt")) == ["embed.weight", "head.weight"]


def test_crc_check_appends_mindspores_trailer(tmp_path: Path) -> None:
    save_checkpoint({"w": np.ones(2)}, tmp_path / "x.ckpt", crc_check=True)
    assert (tmp_path / "x.ckpt").read_bytes()[-17:-10] == b"crc_num"
    assert list(load_checkpoint(tmp_path / "x.ckpt", crc_check=True)) == ["w"]


MODES = [("AES-GCM", 16), ("AES-GCM", 24), ("AES-GCM", 32), ("AES-CBC", 24), ("SM4-CBC", 16)]


@pytest.mark.parametrize(("mode", "size"), MODES)
def test_an_encrypted_file_needs_its_key(mode: str, size: int, tmp_path: Path) -> None:
    key, net, fresh = bytes(range(size)), Net(), Net()
    save_checkpoint(net, tmp_path / "x.ckpt", enc_key=key, enc_mode=mode, append_dict={"note": "secret note"})
    data = (tmp_path / "x.ckpt").read_bytes()
    assert "secret note".encode("utf-32-le") not in data
    assert b"conv.weight" not in data
    with pytest.raises(FormatError, match=f"x.ckpt: the file is encrypted.*{mode}.*key is needed"):
        load_checkpoint(tmp_path / "x.ckpt")
    for wrong in range(300):  # CBC has no tag: now and then a wrong key passes its padding
        with pytest.raises(FormatError, match="the key is wrong"):
            load_checkpoint(tmp_path / "x.ckpt", fresh, dec_key=wrong.to_bytes(2, "big") * (size // 2), dec_mode=mode)
    with pytest.raises(FormatError, match="encrypted with"):
        load_checkpoint(tmp_path / "x.ckpt", dec_key=bytes(16), dec_mode="SM4-CBC" if mode != "SM4-CBC" else "AES-CBC")
    for bad in (b"short", "x" * size):
        with pytest.raises(UsageError, match="key"):
            load_checkpoint(tmp_path / "x.ckpt", dec_key=bad, dec_mode=mode)  # type: ignore[arg-type]
    found = load_checkpoint(tmp_path / "x.ckpt", fresh, dec_key=key, dec_mode=mode)
    assert found["note"] == "secret note"
    assert same(state(fresh), state(net))


def test_safetensors_holds_the_same_parameters(tmp_path: Path) -> None:
    net, fresh = Tied(), Tied()
    more = {"epoch": 3, "lr": 0.5, "on": True, "note": "tëxt"}
    save_checkpoint(net, tmp_path / "x.safetensors", append_dict=more, format="safetensors", crc_check=True)
    with safe_open(tmp_path / "x.safetensors", "pt") as foreign:
        assert set(foreign.keys()) == {"embed.weight", "head.weight", "epoch", "lr", "on"}
        assert torch.equal(foreign.get_tensor("head.weight"), net.embed.weight)
        assert [foreign.get_tensor(n).dtype for n in ("epoch", "lr", "on")] == [torch.int64, torch.float32, torch.bool]
        assert "crc_num" in foreign.metadata()
    found = load_checkpoint(tmp_path / "x.safetensors", fresh, crc_check=True, format="safetensors")
    assert found["note"] == "tëxt"
    assert same(state(fresh), state(net))
    assert set(load_checkpoint(tmp_path / "x.safetensors", specify_prefix="head")) == {"head.weight"}
    with pytest.raises(UsageError, match="never encrypted"):
        load_checkpoint(tmp_path / "x.safetensors", dec_key=bytes(16))
    data = bytearray((tmp_path / "x.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(ChecksumMismatch, match=r"x\.safetensors"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    save_checkpoint({"w": np.ones(2, F)}, tmp_path / "a", format="safetensors")
    (tmp_path / "a.safetensors").rename(tmp_path / "a.ckpt")
    assert np.asarray(load_checkpoint(tmp_path / "a.ckpt", format="ckpt")["w"]).tolist() == [1, 1]


def test_crc_check_of_a_file_without_checksums_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = {"w": np.ones(2, F)}
    save_checkpoint(weights, tmp_path / "ours.ckpt")
    commit(tmp_path / "bare.ckpt", ckpt.write(weights, checksums=False))
    save_checkpoint(weights, tmp_path / "bare.safetensors", format="safetensors")
    load_checkpoint(tmp_path / "ours.ckpt", crc_check=True)
    load_checkpoint(tmp_path / "bare.ckpt")
    assert caplog.text == ""
    for name in ("bare.ckpt", "bare.safetensors"):
        load_checkpoint(tmp_path / name, crc_check=True)
        assert f"{name} holds neither a CRC nor checksums" in caplog.text


@pytest.mark.parametrize(
    ("save_obj", "error"),
    [
        (None, WrongTypeError),
        ("net", WrongTypeError),
        (np.ones(2), WrongTypeError),
        ({1: np.ones(2)}, WrongTypeError),
        ({"w": None}, WrongTypeError),
        ({"w": object()}, WrongTypeError),
        ({"w": b"bytes"}, WrongTypeError),
        ([{"name": "w"}], WrongTypeError),
        ([("w", np.ones(2))], WrongTypeError),
        ([{"name": "w", "data": np.ones(1)}, {"name": "w", "data": np.ones(1)}], UsageError),
        ({"__mindport__.w": np.ones(1)}, UsageError),
        ({}, UsageError),
        ([], UsageError),
    ],
)
def test_what_cannot_be_saved(save_obj: Any, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        save_checkpoint(save_obj, tmp_path / "x.ckpt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"async_save": True}, Unsupported),
        ({"async_save": "thread"}, Unsupported),
        ({"enc_key": b"0123456789abcdef", "crc_check": True}, UsageError),
        ({"enc_key": b"short"}, UsageError),
        ({"enc_key": "0123456789abcdef"}, UsageError),
        ({"enc_key": bytes(24), "enc_mode": "SM4-CBC"}, UsageError),
        ({"enc_key": bytes(16), "enc_mode": "ROT13"}, UsageError),
        ({"enc_key": bytes(16), "format": "safetensors"}, Unsupported),
        ({"format": "onnx"}, Unsupported),
        ({"format": None}, WrongTypeError),
        ({"integrated_save": 1}, WrongTypeError),
        ({"crc_check": "yes"}, WrongTypeError),
        ({"enc_mode": 1}, WrongTypeError),
        ({"append_dict": [1]}, WrongTypeError),
        ({"append_dict": {1: 1}}, WrongTypeError),
        ({"append_dict": {"a": None}}, WrongTypeError),
        ({"choice_func": lambda name: 1 / 0}, UsageError),
    ],
)
def test_options_that_do_not_work_say_so(options: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        save_checkpoint({"w": np.ones(1)}, tmp_path / "x.ckpt", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [1, None, b"x.ckpt", ""])
def test_wrong_file_names(name: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        save_checkpoint({"w": np.ones(1)}, name)
    assert isinstance(caught.value, UsageError)
    with pytest.raises(UsageError):
        load_checkpoint(name)


def test_where_the_file_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingFile):
        save_checkpoint({"w": np.ones(1)}, tmp_path / "missing" / "x.ckpt")
    with pytest.raises(NotAFile):
        save_checkpoint({"w": np.ones(1)}, tmp_path)
    save_checkpoint({"w": np.ones(1)}, tmp_path / "x.ckpt")
    before = (tmp_path / "x.ckpt").read_bytes()

    def full(fd: int, data: Any) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(system.calls, "write", full)
    with pytest.raises(NoSpace):
        save_checkpoint({"w": np.zeros(1)}, tmp_path / "x.ckpt")
    assert [p.name for p in tmp_path.iterdir()] == ["x.ckpt"]
    assert (tmp_path / "x.ckpt").read_bytes() == before


# --- loading --------------------------------------------------------------------------------------------------------


def test_values_are_views_of_the_file_and_writing_to_them_leaves_it_alone(tmp_path: Path) -> None:
    save_checkpoint({"w": np.arange(6, dtype=F).reshape(2, 3)}, tmp_path / "x.ckpt")
    before = (tmp_path / "x.ckpt").read_bytes()
    value = load_checkpoint(tmp_path / "x.ckpt")["w"]
    array = np.asarray(value)
    assert np.shares_memory(array, np.asarray(value))
    assert array.ctypes.data % 64 == 0
    tensor = torch.as_tensor(np.asarray(value))
    tensor[0, 0] = 99
    assert array[0, 0] == 99
    assert (tmp_path / "x.ckpt").read_bytes() == before
    net = nn.Linear(3, 2, bias=False)
    net.weight.data = torch.as_tensor(np.asarray(value))
    assert net.weight.data_ptr() == array.ctypes.data


def test_bad_files(tmp_path: Path) -> None:
    save_checkpoint(Net(), tmp_path / "good.ckpt")
    good = (tmp_path / "good.ckpt").read_bytes()
    for name, data, error in (
        ("empty", b"", FormatError),
        ("cut", good[:-50], TruncatedFile),
        ("foreign", b"PK\x03\x04" + bytes(60), FormatError),
        ("text", b"hello, I am no checkpoint\n", FormatError),
    ):
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(data)
        with pytest.raises(error, match=name) as caught:
            load_checkpoint(path)
        assert isinstance(caught.value, ValueError)
    flipped = bytearray(good)
    flipped[300] ^= 1
    (tmp_path / "flip.ckpt").write_bytes(flipped)
    with pytest.raises((ChecksumMismatch, CorruptFile), match="flip"):
        load_checkpoint(tmp_path / "flip.ckpt")
    with pytest.raises(MissingFile):
        load_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(NotAFile):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("cut", range(0, 700, 37))
def test_a_damaged_file_never_touches_the_network(cut: int, tmp_path: Path) -> None:
    save_checkpoint(Net(), tmp_path / "x.ckpt")
    data = bytearray((tmp_path / "x.ckpt").read_bytes())
    data[cut] ^= 0x40
    (tmp_path / "x.ckpt").write_bytes(data)
    net = Net()
    before = state(net)
    with pytest.raises(MindportError):
        load_checkpoint(tmp_path / "x.ckpt", net)
    assert same(state(net), before)


NAMES = ["conv1.weight", "bn1.gamma", "bn1.beta", "bn1.mean", "bn1.var", "fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"specify_prefix": "bn1"}, 4),
        ({"specify_prefix": ["fc"]}, 2),
        ({"specify_prefix": ("bn1", "fc")}, 6),
        ({"filter_prefix": "fc"}, 5),
        ({"filter_prefix": ["bn1"]}, 3),
        ({"filter_prefix": ["bn1", "fc"]}, 1),
        ({"specify_prefix": ["bn1"], "filter_prefix": ["bn1.mean", "bn1.var"]}, 2),
        ({"specify_prefix": ["conv1", "bn1"], "filter_prefix": "fc"}, 5),
        ({"choice_func": lambda n: n.endswith("weight")}, 2),
    ],
)
def test_prefixes_and_choice(options: dict[str, Any], count: int, tmp_path: Path) -> None:
    save_checkpoint({n: np.ones(1) for n in NAMES}, tmp_path / "x.ckpt")
    assert len(load_checkpoint(tmp_path / "x.ckpt", **options)) == count


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"specify_prefix": "absent"}, ValueError),
        ({"choice_func": lambda n: False}, ValueError),
        ({"choice_func": lambda n: 1 / 0}, ValueError),
        ({"choice_func": "x"}, TypeError),
        ({"specify_prefix": ""}, ValueError),
        ({"specify_prefix": []}, ValueError),
        ({"filter_prefix": 1}, TypeError),
        ({"filter_prefix": [1]}, TypeError),
        ({"strict_load": 1}, TypeError),
        ({"crc_check": 1}, TypeError),
        ({"format": 1}, TypeError),
        ({"remove_redundancy": True}, ValueError),
        ({"dec_key": b"0123456789abcdef"}, ValueError),
        ({"net": "net"}, TypeError),
    ],
)
def test_wrong_options_of_load_checkpoint(options: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    save_checkpoint({"w": np.ones(1)}, tmp_path / "x.ckpt")
    with pytest.raises(error) as caught:
        load_checkpoint(tmp_path / "x.ckpt", **options)
    assert isinstance(caught.value, MindportError)


def test_tied_tensors_are_stored_once_and_loaded_under_each_name(tmp_path: Path) -> None:
    net = Tied()
    save_checkpoint(net, tmp_path / "x.ckpt")
    assert list(ckpt.read(tmp_path / "x.ckpt")) == ["embed.weight"]
    found = load_checkpoint(tmp_path / "x.ckpt")
    assert list(found) == ["embed.weight", "head.weight"]
    assert np.shares_memory(np.asarray(found["embed.weight"]), np.asarray(found["head.weight"]))
    fresh = Tied()
    assert list(load_param_into_net(fresh, found)) == [[], []]
    assert torch.equal(fresh.head.weight, net.embed.weight)
    assert fresh.head.weight is fresh.embed.weight


@pytest.mark.parametrize("aliases", [{"a": "absent"}, {"a": 1}, ["a"], "a"])
def test_a_damaged_list_of_tied_tensors(aliases: Any, tmp_path: Path) -> None:
    commit(tmp_path / "x.ckpt", ckpt.write({"w": np.ones(1)}, info={"aliases": aliases}))
    with pytest.raises(CorruptFile, match="tied"):
        load_checkpoint(tmp_path / "x.ckpt")


# --- into a network -------------------------------------------------------------------------------------------------


def test_load_param_into_net(tmp_path: Path) -> None:
    net, fresh = Net(), Net()
    save_checkpoint(net, tmp_path / "x.ckpt")
    param_not_load, ckpt_not_load = load_param_into_net(fresh, load_checkpoint(tmp_path / "x.ckpt"))
    assert (param_not_load, ckpt_not_load) == ([], [])
    assert same(state(fresh), state(net))
    assert same(state(Net()), state(net)) is False


def test_load_checkpoint_with_a_network(tmp_path: Path) -> None:
    net, fresh = Net(), Net()
    save_checkpoint(net, tmp_path / "x.ckpt")
    assert list(load_checkpoint(tmp_path / "x.ckpt", fresh, strict_load=True)) == list(net.state_dict())
    assert same(state(fresh), state(net))


def test_missing_and_extra_names_are_returned_exactly() -> None:
    net = nn.Linear(2, 2)
    given = {"weight": np.ones((2, 2), F), "extra": np.ones(1, F), "note": "text"}
    param_not_load, ckpt_not_load = load_param_into_net(net, given)
    assert (param_not_load, ckpt_not_load) == (["bias"], ["extra", "note"])
    assert net.weight.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        ("", {}),
        (None, {"w": np.ones(1)}),
        (nn.Linear, {}),
        (nn.Linear(1, 1), ""),
        (nn.Linear(1, 1), [np.ones(1)]),
        (nn.Linear(1, 1), {"weight": 1}),
        (nn.Linear(1, 1), {"weight": None}),
        (nn.Linear(1, 1), {"weight": [1.0]}),
        (nn.Linear(1, 1), {1: np.ones(1)}),
    ],
)
def test_load_param_into_net_type_errors(net: Any, parameters: Any) -> None:
    with pytest.raises(TypeError) as caught:
        load_param_into_net(net, parameters)
    assert isinstance(caught.value, WrongTypeError)


@pytest.mark.parametrize(
    "weight", [np.ones((2, 3), F), np.ones((2, 2), np.int32), np.ones((3, 3), np.int32), np.ones((2, 2), np.bool_)]
)
def test_load_param_into_net_type_and_shape_error_changes_nothing(weight: Any) -> None:
    net = nn.Linear(2, 2)
    before = state(net)
    with pytest.raises(RuntimeError, match="weight") as caught:
        load_param_into_net(net, {"bias": np.full(2, 9, F), "weight": weight})
    assert isinstance(caught.value, MatchError)
    assert same(state(net), before)


def test_floats_are_converted_and_reported_and_not_when_strict() -> None:
    net = nn.Linear(2, 1, bias=False)
    for stored in (np.float64, np.float16, ml_dtypes.bfloat16):
        report = load_param_into_net(net, {"weight": np.array([[0.5, 2]], stored)})
        assert net.weight.tolist() == [[0.5, 2]]
        assert [c.name for c in report.converted] == ["weight"]
        with pytest.raises(MatchError):
            load_param_into_net(net, {"weight": np.zeros((1, 2), stored)}, strict_load=True)


def test_trailing_dimensions_of_size_one_are_dropped_and_the_network_keeps_its_shape() -> None:
    net = nn.Linear(3, 2, bias=False)
    load_param_into_net(net, {"weight": np.arange(6, dtype=F).reshape(2, 3, 1, 1)})
    assert net.weight.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_buffers_and_integers_are_loaded() -> None:
    net = nn.BatchNorm1d(2)
    load_param_into_net(net, {"num_batches_tracked": np.array(7), "running_mean": np.array([1, 2], F)})
    assert (int(net.num_batches_tracked), net.running_mean.tolist()) == (7, [1, 2])
    with pytest.raises(MatchError):
        load_param_into_net(nn.BatchNorm1d(2), {"running_mean": np.array([1, 2])})


def test_a_prefix_before_all_names_is_found() -> None:
    net = nn.Linear(2, 1)
    report = load_param_into_net(net, {"network.weight": np.ones((1, 2), F), "network.bias": np.ones(1, F)})
    assert list(report) == [[], []]
    assert report.renamed == {"network.weight": "weight", "network.bias": "bias"}
    assert list(load_param_into_net(nn.Linear(2, 1), {"network.weight": np.ones((1, 2), F)}, strict_load=True)) == [
        ["weight", "bias"],
        ["network.weight"],
    ]


def test_what_was_repaired_or_is_missing_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    load_param_into_net(net, {f"module.{name}": value for name, value in net.state_dict().items()})
    assert "took the prefix 'module.' off 7 name(s) of the checkpoint" in caplog.text
    caplog.clear()
    report = load_param_into_net(net, {"0.weight": np.ones((2, 3), F), "1.gamma": np.ones(2, F)})
    assert report.loaded == ("0.weight",)
    assert "for 1.weight, did you mean 1.gamma?" in caplog.text
    assert "mindport.naming.network.map_names" in caplog.text
    caplog.clear()
    load_param_into_net(net, net.state_dict())
    assert caplog.text == ""
    given = {f"_orig_mod.{name}": value for name, value in net.state_dict().items()}
    assert load_param_into_net(net, given, strict_load=True).missing == tuple(net.state_dict())


def test_the_hint_about_mindspores_names_leads_to_the_goal() -> None:
    net, fresh = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    nn.init.normal_(net.weight)
    theirs, _ = map_names(net).to_mindspore(net.state_dict())
    assert "map_names(net).to_torch(parameters)" in load_param_into_net(fresh, theirs).hints[0]
    assert list(load_param_into_net(fresh, map_names(fresh).to_torch(theirs)[0])) == [[], []]
    assert same(state(fresh), state(net))


# --- exporting ------------------------------------------------------------------------------------------------------


def test_export_refuses_what_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(WrongTypeError):
        export("net", np.ones(1), file_name=str(tmp_path / "x"), file_format="ONNX")
    assert list(tmp_path.iterdir()) == []


def test_export_hands_everything_to_the_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    converter = importlib.import_module("mindport.conversion.export")
    seen: list[Any] = []
    monkeypatch.setattr(converter, "export", lambda *a, **k: seen.append((a, k)) or "report")
    net, x = nn.Linear(1, 1), Tensor(np.ones((1, 1), F))
    assert export(net, x, x, file_name="a.onnx", file_format="ONNX", check=False) == "report"
    assert seen == [((net, x, x), {"file_name": "a.onnx", "file_format": "ONNX", "check": False})]


# --- tensors and files of unusual kinds -----------------------------------------------------------------------------


def test_big_endian_values_load_and_save(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    values = {name: np.asarray(value + 1).astype(">f4") for name, value in state(net).items()}
    load_param_into_net(net, values)
    save_checkpoint(values, tmp_path / "x.ckpt")
    for name, value in load_checkpoint(tmp_path / "x.ckpt").items():
        assert torch.as_tensor(value).tolist() == net.state_dict()[name].tolist() == values[name].tolist()


@pytest.mark.parametrize("bad", ["sparse", "meta", "masked"])
def test_a_value_that_is_no_plain_tensor_changes_nothing(bad: str, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    before, values = state(net), {name: np.asarray(value + 1) for name, value in state(net).items()}
    weight = np.ones((2, 2), F)
    values["1.weight"] = {  # the last one
        "sparse": torch.eye(2).to_sparse(),
        "meta": torch.empty(2, 2, device="meta"),
        "masked": np.ma.array(weight, mask=weight > 0),
    }[bad]
    with pytest.raises(MindportError, match="mask" if bad == "masked" else "1.weight is"):
        load_param_into_net(net, values)
    assert same(state(net), before)
    with pytest.raises(MindportError, match=r"1\.weight"):
        save_checkpoint(values, tmp_path / "x.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_conjugate_views_and_matrices_are_saved(tmp_path: Path) -> None:
    view = torch.tensor([1 + 2j, 3 - 1j]).conj()
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0]])
    save_checkpoint({"c": view, "n": view.imag, "m": matrix}, tmp_path / "x.ckpt")
    found = load_checkpoint(tmp_path / "x.ckpt")
    assert [np.asarray(found[n]).tolist() for n in "cnm"] == [[1 - 2j, 3 + 1j], [-2, 1], [[1, 2]]]


@pytest.mark.parametrize(
    ("file_format", "words"),
    [("ONNX", "an ONNX model"), ("MINDIR", "a MindSpore MindIR model"), ("AIR", "an Ascend AIR")],
)
def test_a_model_file_is_called_what_it_is(file_format: str, words: str, tmp_path: Path) -> None:
    report = export(nn.Linear(3, 2), np.ones((2, 3), F), file_name=tmp_path / "x", file_format=file_format)
    with pytest.raises(FormatError, match=f"this looks like {words}.*, not a MindSpore checkpoint"):
        load_checkpoint(report.path)
