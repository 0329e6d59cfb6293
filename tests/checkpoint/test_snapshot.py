"""Weights and state in one file: order, names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mindport.adapters.base import framework_tensor
from mindport.adapters.torch_state import make_tensor
from mindport.checkpoint.snapshot import STATE, Snapshot, has_state, state_in, weights_in
from mindport.errors import CorruptFile, UsageError
from mindport.formats import ckpt
from mindport.storage.atomic import commit
from mindport.tensors import ArrayRef

WEIGHTS = {"b": ArrayRef("b", np.arange(3.0)), "a": ArrayRef("a", np.ones((2, 2), np.float32))}
STATE_TREE = {"optimizer": {"state": {0: {"m": torch.arange(4.0)}}}, "loop": {"epoch": 2}, "lr": 0.1}


def stored(snapshot: Snapshot, path: Path) -> ckpt.CheckpointFile:
    commit(path, ckpt.write(snapshot.records(framework_tensor), info=snapshot.info))
    return ckpt.read(path, verify=True)


def test_weights_come_first_then_the_state(tmp_path: Path) -> None:
    file = stored(Snapshot(WEIGHTS, STATE_TREE, {"epoch": 2}), tmp_path / "x.ckpt")
    assert list(file) == ["b", "a", STATE, "__mindport__.optimizer.state.0.m"]
    assert list(weights_in(file)) == ["b", "a"]
    assert has_state(file)
    assert file.info.epoch == 2
    back = state_in(file, make_tensor)
    assert torch.equal(back["optimizer"]["state"][0]["m"], torch.arange(4.0))
    assert (back["loop"], back["lr"]) == ({"epoch": 2}, 0.1)


def test_weights_alone(tmp_path: Path) -> None:
    file = stored(Snapshot(WEIGHTS), tmp_path / "x.ckpt")
    assert not has_state(file)
    with pytest.raises(CorruptFile, match="weights only"):
        state_in(file, make_tensor)


def test_a_weight_must_not_have_a_reserved_name() -> None:
    taken = {f"{ckpt.RESERVED}w": ArrayRef("w", np.ones(1))}
    with pytest.raises(UsageError, match="reserved"):
        Snapshot(taken, {}).records(framework_tensor)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[1]", json.dumps({"$tensor": "x"}).encode(), b"[" * 100_000])
def test_damaged_state(text: bytes, tmp_path: Path) -> None:
    content: dict[str, Any] = {STATE: np.frombuffer(text, np.uint8)}
    commit(tmp_path / "x.ckpt", ckpt.write(content))
    with pytest.raises(CorruptFile):
        state_in(ckpt.read(tmp_path / "x.ckpt"), make_tensor)


def test_the_same_state_gives_the_same_bytes() -> None:
    def write() -> bytes:
        return b"".join(ckpt.write(Snapshot(WEIGHTS, STATE_TREE).records(framework_tensor)))

    assert write() == write()
