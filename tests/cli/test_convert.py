"""`mindport convert`: by content and suffix, never over an existing file unasked, proved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from mindport.formats import ckpt

from .conftest import WEIGHTS


def test_checkpoint_to_safetensors_and_back(run: Callable[..., object], checkpoint: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "a.safetensors", tmp_path / "b.ckpt"
    result = run("convert", checkpoint, there)
    assert (result.code, result.err) == (0, "")
    assert "3 tensors" in result.out
    assert "every tensor read back is equal" in result.out
    foreign = safetensors.numpy.load_file(there)
    assert all(np.array_equal(foreign[name], array) for name, array in WEIGHTS.items())
    assert run("convert", there, back, "--quiet").out == ""
    assert {n: np.asarray(t).tolist() for n, t in ckpt.read(back).items()} == {
        n: a.tolist() for n, a in WEIGHTS.items()
    }


def test_an_existing_file_is_left_alone(run: Callable[..., object], checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.npz"
    target.write_text("precious")
    result = run("convert", checkpoint, target)
    assert (result.code, result.out) == (5, "")
    assert result.err.startswith("error MP5004: ")
    assert target.read_text() == "precious"
    assert run("convert", checkpoint, target, "--force").code == 0
    assert set(np.load(target)) == set(WEIGHTS)


@pytest.mark.parametrize(
    ("target", "error", "code"),
    [
        ("out.nonsense", "MP2001", 2),
        ("out.onnx", "MP3002", 3),
        ("no/such/folder/out.npz", "MP5001", 5),
        ("good.ckpt/out.npz", "MP5003", 5),
        ("folder.npz", "MP5002", 5),
    ],
)
def test_targets_that_cannot_be(
    run: Callable[..., object], checkpoint: Path, tmp_path: Path, target: str, error: str, code: int
) -> None:
    (tmp_path / "folder.npz").mkdir()
    before = sorted(os.listdir(tmp_path))
    result = run("convert", checkpoint, tmp_path / target, "--force")
    assert (result.code, result.out) == (code, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"error {error}: ")
    assert sorted(os.listdir(tmp_path)) == before


def test_unknown_target_format(run: Callable[..., object], checkpoint: Path, tmp_path: Path) -> None:
    result = run("convert", checkpoint, tmp_path / "x", "--to", "betamax")
    assert result.code == 2
    assert "known: ckpt, safetensors" in result.err


def test_to_overrides_the_suffix(run: Callable[..., object], checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "weights.bin"
    found = json.loads(run("convert", checkpoint, target, "--to", "safetensors", "--json").out)
    assert (found["source_format"], found["target_format"], found["ok"]) == ("ckpt", "safetensors", True)
    assert found["nbytes"] == target.stat().st_size


def test_no_check_proves_nothing(run: Callable[..., object], checkpoint: Path, tmp_path: Path) -> None:
    found = json.loads(run("convert", checkpoint, tmp_path / "a.npz", "--no-check", "--json").out)
    assert found["checks"] == []


def test_an_interrupt_leaves_nothing_behind(
    run: Callable[..., object], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[bytes]:
        yield bytes(5_000_000)
        raise KeyboardInterrupt

    monkeypatch.setattr("mindport.weightfiles.encoded", interrupted)
    (tmp_path / "old.npz").write_text("precious")
    before = sorted(os.listdir(tmp_path))
    result = run("convert", checkpoint, tmp_path / "old.npz", "--force")
    assert (result.code, result.err) == (130, "\ninterrupted\n")
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "old.npz").read_text() == "precious"


def test_a_full_disk_is_one_clear_error(checkpoint: Path, tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    command = f'ulimit -f 0; exec "{sys.executable}" -m mindport convert "{checkpoint}" "{tmp_path}/b.npz"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error MP5006: cannot write ")
    assert sorted(os.listdir(tmp_path)) == before
