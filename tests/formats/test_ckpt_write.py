"""What goes in, in which order, how often each byte is read, and what is refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mindport.dtypes import named
from mindport.errors import MissingExtra, UnsupportedDType, UsageError, WrongTypeError
from mindport.formats import ckpt, ckpt_write
from mindport.tensors import ArrayRef, Tensor


def written(weights: Any, **options: Any) -> bytes:
    return b"".join(ckpt.write(weights, **options))


class Counted:
    """A tensor that counts how often its content is asked for, and can lie about its size."""

    def __init__(self, name: str, array: np.ndarray[Any, Any], lie: int = 0) -> None:
        self.name, self.array = name, array
        self.dtype, self.shape, self.nbytes = named("float32"), array.shape, array.nbytes + lie
        self.passes = 0

    def numpy(self) -> np.ndarray[Any, Any]:
        return self.array

    def chunks(self, limit_bytes: int = 1 << 20) -> Iterator[memoryview]:
        self.passes += 1
        return ArrayRef(self.name, self.array).chunks(limit_bytes)


def test_the_same_input_gives_the_same_bytes() -> None:
    weights = {"b": np.arange(9.0), "a": np.ones((2, 3), np.int8)}
    info = {"metrics": {"loss": 0.5, "acc": 1}, "epoch": 1}
    assert written(weights, info=info) == written(dict(weights), info={"epoch": 1, "metrics": {"acc": 1, "loss": 0.5}})
    assert written(weights) == written([ArrayRef(n, a) for n, a in weights.items()])


def test_every_content_is_read_once_and_not_copied() -> None:
    array = np.arange(1 << 19, dtype=np.float32)
    ref = Counted("w", array)
    chunks = list(ckpt.write([ref]))
    views = [c for c in chunks if isinstance(c, memoryview)]
    assert ref.passes == 1
    assert sum(len(v) for v in views) == array.nbytes
    assert all(np.shares_memory(np.frombuffer(v, np.uint8), array) for v in views)


def test_small_pieces_are_joined() -> None:
    chunks = list(ckpt.write({f"p{i}": np.ones(3, np.float32) for i in range(40_000)}))
    assert len(chunks) < 10
    assert max(len(c) for c in chunks) < 2 << 20


def test_torch_tensors_and_views_are_taken_as_they_are(tmp_path: Path) -> None:
    given_ = {
        "t": torch.arange(6.0).reshape(2, 3).T,
        "bf": torch.ones(2, dtype=torch.bfloat16),
        "l": [1, 2],
        "x": Tensor([1.5]),
    }
    path = tmp_path / "a.ckpt"
    path.write_bytes(written(given_))
    found = ckpt.read(path, verify=True)
    assert found["t"].numpy().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert [found[n].dtype.name for n in given_] == ["float32", "bfloat16", "int64", "float64"]
    assert found["x"].name == "x"


@pytest.mark.parametrize(
    ("weights", "options", "error", "words"),
    [
        ([ArrayRef("a", np.ones(1)), ArrayRef("a", np.ones(2))], {}, UsageError, "two tensors are called 'a'"),
        ({1: np.ones(1)}, {}, WrongTypeError, "name must be text, not int"),
        ({"a": None}, {}, WrongTypeError, "cannot make a tensor of NoneType"),
        ({"a": object()}, {}, WrongTypeError, "cannot make a tensor"),
        ({"a": np.array(["x"])}, {}, UnsupportedDType, "not a tensor element type"),
        ({"a": 1 << 63}, {}, UsageError, "does not fit into 64 bits"),
        ({"\ud800": np.ones(1)}, {}, UsageError, "no Unicode text"),
        ({"a": "\ud800"}, {}, UsageError, "no Unicode text"),
        ({"a": ckpt.MapTensor(np.ones(1, "u1"), np.ones(1), np.ones(1))}, {}, WrongTypeError, "cannot hold uint8"),
        (5, {}, WrongTypeError, "tensors are needed, not int"),
        ({}, {"info": {"a": object()}}, UsageError, "must be JSON"),
        ({}, {"info": {"epoch": 1}, "checksums": False}, UsageError, "checksums=False"),
        ({}, {"enc_key": bytes(16), "crc_check": True}, UsageError, "cannot load one with both"),
        ({}, {"enc_key": bytes(5)}, UsageError, "key of 16, 24, 32 bytes, not 5 bytes"),
        ({}, {"enc_key": bytes(16), "enc_mode": "ROT13"}, UsageError, "unknown encryption mode 'ROT13'"),
        ([Counted("w", np.ones(3, "f4"), lie=4)], {}, UsageError, "announced 16 bytes and gave 12"),
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused(weights: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        written(weights, **options)


def test_arguments_are_checked_before_the_first_byte() -> None:
    for options in ({"info": {"a": object()}}, {"enc_key": b"short"}, {"info": {"a": 1}, "checksums": False}):
        with pytest.raises(UsageError):
            ckpt.write({}, **options)  # type: ignore[arg-type]


def test_a_missing_package_is_said_before_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(MissingExtra, match=r"mindport\[crypto\]"):
        ckpt.write({}, enc_key=bytes(16))


@pytest.mark.parametrize("checksums", [True, False])
def test_large_tensors_are_cut_as_mindspore_cuts_them(
    checksums: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("ONE_RECORD_BYTES", 200), ("SLICE_BYTES", 96), ("CHUNK_BYTES", 32)):
        monkeypatch.setattr(ckpt_write, name, value)
    array = np.arange(101, dtype=np.float32)
    odd = Counted("w", array)
    odd.chunks = lambda limit_bytes=0: ArrayRef("w", array).chunks(12)  # type: ignore[method-assign]  # an adapter with its own piece size
    for ref in (ArrayRef("w", array), odd):
        path = tmp_path / "a.ckpt"
        path.write_bytes(written([ref], checksums=checksums))
        slices = ckpt.read(path, verify=True)["w"]._ref.slices
        assert [len(s) for s in slices] == [96, 96, 96, 96, 20]
        assert b"".join(slices) == array.tobytes()


ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", ">f8", "<i2", "?", "<c8", "<u8"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), ARRAYS, max_size=5), st.booleans()
)
def test_any_arrays_survive(tmp_path_factory: pytest.TempPathFactory, weights: dict[str, Any], checksums: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ckpt"
    weights = {n.replace(".__param_key__", ""): a for n, a in weights.items()} or {"w": np.ones(1)}
    path.write_bytes(written(weights, checksums=checksums))
    found = ckpt.read(path, verify=True)
    assert list(found) == list(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
        assert found[name].shape == array.shape
        assert found[name].dtype.numpy == array.dtype.newbyteorder("<")
