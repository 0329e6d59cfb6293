"""Small files, good and bad, and the command line run in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mindport.cli.main import main
from mindport.formats import ckpt

WEIGHTS = {
    "conv1.weight": np.random.default_rng(5).standard_normal((4, 3, 2, 5)).astype(np.float32),
    "bn1.running_var": np.arange(1, 5, dtype=np.float32),
    "bn1.num_batches_tracked": np.array(7, np.int64),
}


@dataclass
class Ran:
    """What one run of the command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def call(*args: object) -> Ran:
        capsys.readouterr()
        code = main([str(a) for a in args])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "good.ckpt"
    path.write_bytes(b"".join(ckpt.write(WEIGHTS, info={"epoch": 2, "step": 5, "metrics": {"loss": 0.25}})))
    return path


@pytest.fixture
def onnx_model(tmp_path: Path) -> Path:
    """y = relu(x · w): 3 features in, 5 out."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 5], np.linspace(-1, 1, 15, dtype=np.float32))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 5])],
        [weight],
    )
    path = tmp_path / "good.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def flipped(data: bytes, needle: bytes) -> bytes:
    """`data` with one bit changed in the middle of the content `needle`."""
    at = data.index(needle) + len(needle) // 2
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


@pytest.fixture(
    params=["missing", "empty", "truncated", "foreign", "flipped", "directory", "pipe", "device", "link_to_nothing"]
)
def bad(request: pytest.FixtureRequest, tmp_path: Path, checkpoint: Path) -> Path:
    """One bad input after another; its name says what is bad."""
    path = tmp_path / f"{request.param}.ckpt"
    data = checkpoint.read_bytes()
    match request.param:
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(data[: len(data) * 2 // 3])
        case "foreign":
            path.write_bytes(b"<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n")
        case "flipped":
            path.write_bytes(flipped(data, WEIGHTS["conv1.weight"].tobytes()))
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            return Path("/dev/zero")
        case "link_to_nothing":
            path.symlink_to("nowhere")
    return path
