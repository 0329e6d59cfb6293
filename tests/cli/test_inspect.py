"""`mindport inspect`: what a file holds, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mindport


def test_checkpoint_for_people(run: Callable[..., object], checkpoint: Path) -> None:
    result = run("inspect", checkpoint)
    assert (result.code, result.err) == (0, "")
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines[0].startswith(f"{checkpoint}: MindSpore checkpoint, ")
    assert "epoch: 2" in lines
    assert "metrics: loss=0.25" in lines
    assert "conv1.weight float32 (4, 3, 2, 5) 480" in lines
    assert "bn1.num_batches_tracked int64 () 8" in lines
    assert lines[-1] == "3 tensors, 504 bytes of content"


def test_json_is_the_public_function(run: Callable[..., object], checkpoint: Path, onnx_model: Path) -> None:
    for path in (checkpoint, onnx_model):
        assert json.loads(run("inspect", path, "--json").out) == mindport.inspect(path).to_dict()


def test_model_for_people(run: Callable[..., object], onnx_model: Path) -> None:
    lines = [" ".join(line.split()) for line in run("inspect", onnx_model).out.splitlines()]
    assert "input x float32 (2, 3)" in lines
    assert "MatMul 1" in lines
    assert lines[-1] == "2 nodes"


def test_the_suffix_plays_no_part(run: Callable[..., object], checkpoint: Path) -> None:
    renamed = checkpoint.rename(checkpoint.with_suffix(".onnx"))
    assert "MindSpore checkpoint" in run("inspect", renamed).out


def test_quiet(run: Callable[..., object], checkpoint: Path) -> None:
    result = run("inspect", checkpoint, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
