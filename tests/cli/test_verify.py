"""`mindport verify`: proofs, and exit codes that a script can rely on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from mindport.formats import ckpt

from .conftest import WEIGHTS


def test_a_good_checkpoint(run: Callable[..., object], checkpoint: Path) -> None:
    result = run("verify", checkpoint)
    assert result.code == 0
    assert result.out.splitlines()[-1] == "3 checks passed"


def test_what_cannot_be_proved_is_said(run: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "plain.ckpt"
    path.write_bytes(b"".join(ckpt.write(WEIGHTS, checksums=False)))
    result = run("verify", path, "--json")
    found = json.loads(result.out)
    assert (result.code, found["ok"]) == (0, True)
    assert {c["name"]: c["status"] for c in found["checks"]} == {"structure": "passed", "checksums": "not proved"}


@pytest.mark.parametrize("seed", range(12))
def test_every_flipped_bit_is_found(run: Callable[..., object], checkpoint: Path, seed: int) -> None:
    data = bytearray(checkpoint.read_bytes())
    bit = int(np.random.default_rng(seed).integers(8 * len(data)))
    data[bit // 8] ^= 1 << bit % 8
    checkpoint.write_bytes(data)
    result = run("verify", checkpoint)
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith("error MP400")


def test_a_model(run: Callable[..., object], onnx_model: Path) -> None:
    result = run("verify", onnx_model)
    assert result.code == 0
    assert "ONNX checker" in result.out


def test_a_sound_file_that_fails_a_check_ends_with_1(run: Callable[..., object], onnx_model: Path) -> None:
    model = onnx.load(onnx_model)
    model.graph.node[1].attribute.append(onnx.helper.make_attribute("alpha", 0.5))  # Relu has no such attribute
    onnx.save(model, onnx_model)
    result = run("verify", onnx_model)
    assert result.code == 1
    assert "FAILED      ONNX checker" in result.out
    assert result.out.splitlines()[-1] == "FAILED"


def test_quiet_leaves_the_exit_code(run: Callable[..., object], checkpoint: Path) -> None:
    assert run("verify", checkpoint, "--quiet").out == ""
    checkpoint.write_bytes(checkpoint.read_bytes()[:-3])
    assert run("verify", checkpoint, "--quiet").code == 4
