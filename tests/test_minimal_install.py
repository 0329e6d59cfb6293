"""Without any optional dependency: weight files work, and everything else says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mindport.extras import EXTRA_OF
from mindport.formats import ckpt, npz

# refuses the optional packages as if they were not installed, then runs what it is given
PRELUDE = """
import importlib.util, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ABSENT else find(name)
sys.meta_path.insert(0, Absent())
"""
ALL = frozenset(EXTRA_OF)


def run(code: str, folder: Path, absent: frozenset[str] = ALL) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"ABSENT = {set(absent)!r}\n{PRELUDE}\n{code}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def mindport(folder: Path, *args: str, absent: frozenset[str] = ALL) -> subprocess.CompletedProcess[str]:
    return run(f"from mindport.cli.main import main; sys.exit(main({list(args)!r}))", folder, absent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weights = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    (tmp_path / "a.ckpt").write_bytes(b"".join(ckpt.write(weights)))
    (tmp_path / "a.npz").write_bytes(b"".join(npz.write(weights)))
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    return tmp_path


@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("inspect", "a.ckpt"),
        ("verify", "a.ckpt"),
        ("convert", "a.ckpt", "b.safetensors"),
        ("convert", "a.npz", "b.ckpt"),
        ("doctor", "--quick"),
    ],
    ids=" ".join,
)
def test_weight_files_need_nothing_optional(folder: Path, args: tuple[str, ...]) -> None:
    done = mindport(folder, *args)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("args", "extra"),
    [
        (("inspect", "m.onnx"), "onnx"),
        (("verify", "m.onnx"), "onnx"),
        (("convert", "m.onnx", "m.mindir"), "onnx"),
        (("convert", "a.ckpt", "b.pt"), "torch"),
        (("demo",), "torch"),
    ],
    ids=str,
)
def test_the_rest_names_its_install_line(folder: Path, args: tuple[str, ...], extra: str) -> None:
    before = sorted(folder.iterdir())
    done = mindport(folder, *args)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error MP3001: ")
    assert line.endswith(f"pip install 'mindport[{extra}]'")
    assert sorted(folder.iterdir()) == before


def test_the_functions_of_the_tutorial_work_on_arrays(folder: Path) -> None:
    done = run(
        "import numpy as np\n"
        "from mindport import MindportError, Tensor\n"
        "from mindport.train.serialization import export, load_checkpoint, save_checkpoint\n"
        "save_checkpoint({'w': Tensor(np.ones((2, 3), np.float32))}, 'c.ckpt')\n"
        "assert np.asarray(load_checkpoint('c.ckpt')['w']).sum() == 6\n"
        "try:\n"
        "    export(object(), file_name='x', file_format='ONNX')\n"
        "except MindportError as exc:\n"
        "    print(type(exc).__name__)\n",
        folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() in {"MissingExtra", "WrongTypeError"}


@pytest.mark.parametrize("target", ["m.mindir", "m.air"])
def test_models_are_converted_without_any_framework(folder: Path, target: str) -> None:
    done = mindport(folder, "convert", "m.onnx", target, absent=ALL - {"onnx", "onnx_ir", "onnxruntime"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "same outputs: ONNX Runtime" in done.stdout
    without_runtime = mindport(folder, "convert", target, "back.onnx", absent=ALL - {"onnx", "onnx_ir"})
    assert (without_runtime.returncode, without_runtime.stderr) == (0, "")
    assert "not proved" in without_runtime.stdout
