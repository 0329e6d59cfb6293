"""Damaged files of every format: whatever is cut, flipped, doubled or blanked, the exit code is a documented one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mindport.adapters import torch_pt
from mindport.conversion.pipeline import to_target
from mindport.formats import air, ckpt, graph_meta, mindir, npz, onnx, safetensors
from mindport.storage.atomic import commit
from mindport.tensors import ArrayRef

from .conftest import WEIGHTS

FORMATS = ("ckpt", "safetensors", "npz", "pt", "graph_meta", "onnx", "mindir", "air")
MUTANTS = 60


@pytest.fixture
def good(request: pytest.FixtureRequest, tmp_path: Path, onnx_model: Path) -> Path:
    """A sound file of the format that the test asks for."""
    path = tmp_path / "file"
    match request.param:
        case "graph_meta":
            refs = {n: ArrayRef(n, a) for n, a in WEIGHTS.items()}
            commit(path, graph_meta.write(graph_meta.of_weights("net", refs)))
        case "onnx":
            return onnx_model
        case "mindir":
            commit(path, mindir.write(to_target(onnx.read(onnx_model), "mindspore")))
        case "air":
            commit(path, air.write(to_target(onnx.read(onnx_model), "ge")))
        case name:
            commit(path, {"ckpt": ckpt, "safetensors": safetensors, "npz": npz, "pt": torch_pt}[name].write(WEIGHTS))
    return path


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one kind of damage."""
    at, other = sorted(int(i) for i in rng.integers(len(data), size=2))
    match int(rng.integers(6)):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
        case 2:
            return data[:at] + bytes(other - at) + data[other:]  # a lost page
        case 3:
            return data[:other] + data[at:]  # a part doubled
        case 4:
            return data[:at] + data[other:]
        case _:
            return data[:at] + rng.bytes(min(8, len(data) - at)) + data[at + 8 :]


@pytest.mark.parametrize("good", FORMATS, indirect=True)
def test_damage_never_ends_in_a_traceback(
    good: Path, run: Callable[..., object], request: pytest.FixtureRequest
) -> None:
    assert run("verify", good).code == 0
    data, rng = good.read_bytes(), np.random.default_rng(len(request.node.name))
    refused = 0
    for i in range(MUTANTS):
        good.unlink()  # an open map of the file before keeps its content
        good.write_bytes(mutant(data, rng))
        for verb in ("inspect", "verify"):
            result = run(verb, good)
            assert result.code in {0, 1, 3, 4}, (i, result)
            assert "Traceback" not in result.err
            if result.code > 1:
                assert result.out == ""
                assert result.err.startswith("error MP")
        refused += result.code != 0
    assert refused > MUTANTS // 4
