"""`mindport demo`: the real thing with LeNet, and everything that may go wrong with a stand-in for the tutorial."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import mindport
from mindport.cli import demo
from mindport.cli.demo import Demo, Worker, examples_folder
from mindport.cli.progress import Stages
from mindport.errors import CheckFailed, MissingFile

HERE = Path(__file__).parent
PROMISES = [
    "training killed in the middle of an epoch",
    "resumed from the newest checkpoint, in mid-epoch",
    "same bits at the end as without interruption",
    "same accuracy after loading into a fresh network",
    "over 80% of the test images right",
]


def run_demo(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mindport", "demo", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def assert_demo_holds(network: str, folder: Path) -> None:
    """Runs the demo and judges what it says and what it leaves behind."""
    done = run_demo("--network", network, "--out", "kept", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    text, kept = done.stdout, folder / "kept"

    for promise in PROMISES:
        (line,) = [line for line in text.splitlines() if promise in line]
        assert "  ok  " in line
    assert "exit code -9 (SIGKILL)" in text
    assert "Everything held" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.split()[:1] and line.split()[0] in demo.FORMATS}
    assert "ONNX Runtime" in rows["ONNX"]
    assert "MindSpore 2.10" in rows["MINDIR"]
    assert "after lifting; operator table ok" in rows["AIR"]
    assert all("  ok  " in row for row in rows.values())
    for stage in ("Train without interruption", "killed in epoch", "checkpoints saved", "Export and prove AIR"):
        assert stage in done.stderr

    # both runs ended with the same parameters, says an independent comparison of the files
    last = [max((kept / run).glob("*.ckpt"), key=lambda p: p.stat().st_mtime_ns) for run in ("reference", "killed")]
    one, two = (mindport.open(path) for path in last)
    names = [name for name in one if not name.startswith("__mindport__.")]
    assert len(names) >= 10
    assert all(np.array_equal(np.asarray(one[name]), np.asarray(two[name])) for name in names)
    assert_onnx_file_computes_what_the_checkpoint_does(network, last[1], kept / f"{network}.onnx")
    for suffix in ("mindir", "air"):
        assert mindport.verify(kept / f"{network}.{suffix}").ok


def assert_onnx_file_computes_what_the_checkpoint_does(network: str, checkpoint: Path, file: Path) -> None:
    import torch

    import digits
    import save_models

    restored = save_models.restore(network, checkpoint).eval()
    images, labels = (t[16:32] for t in digits.load(save_models.SETTINGS[network].channels)[1].tensors)
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(actual, restored(images).numpy(), rtol=1e-3, atol=1e-4)
    assert (actual.argmax(1) == labels.numpy()).mean() > 0.8


@pytest.mark.mindspore
def test_the_demo_holds_with_lenet(tmp_path: Path) -> None:
    assert_demo_holds("lenet", tmp_path)


@pytest.mark.slow
@pytest.mark.mindspore
@pytest.mark.timeout(900)
def test_the_demo_holds_with_resnet18(tmp_path: Path) -> None:
    assert_demo_holds("resnet18", tmp_path)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a tutorial in place that trains nothing, and goes wrong as asked."""
    folder = tmp_path / "examples"
    folder.mkdir()
    shutil.copy(HERE / "fake_tutorial.py", folder / "save_models.py")
    monkeypatch.setattr(demo, "examples_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)

    def fault(kind: str = "") -> None:
        monkeypatch.setenv("FAKE_FAULT", kind)

    fault()
    return fault


def test_all_is_well(fake: Callable[[str], None], run: Callable[..., Any], tmp_path: Path) -> None:
    done = run("demo", "--epochs", 2, "--formats", "onnx, AIR", "--json")
    report = json.loads(done.out)
    assert done.code == 0
    assert done.err == ""
    assert report["ok"] is True
    assert report["epochs"] == 2
    assert report["accuracy"] == 0.95
    assert [c["status"] for c in report["checks"]] == ["passed"] * 5
    assert report["checks"][0]["detail"] == "exit code -9 (SIGKILL) after epoch 2, step 24 of 45"
    assert report["checks"][1]["detail"] == "resnet50-64.ckpt: epoch 2, step 19 of 45"
    assert [e["format"] for e in report["exports"]] == ["ONNX", "AIR"]
    assert report["folder"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["examples"]  # nothing is left behind


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ("hash", "same bits at the end"),
        ("afresh", "it started afresh"),
        ("poor", "over 80% of the test images right"),
        ("lost", "same accuracy after loading into a fresh network"),
        ("parity", "MINDIR"),
        ("operators", "AIR"),
    ],
)
def test_what_does_not_hold_is_marked_and_ends_with_1(
    fault: str, failed: str, fake: Callable[[str], None], run: Callable[..., Any]
) -> None:
    fake(fault)
    done = run("demo")
    assert done.code == 1
    marked = [line for line in done.out.splitlines() if "  FAILED  " in line]
    assert len(marked) == 1
    assert failed in marked[0]
    assert "NOT everything held" in done.out


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("full", "error MP5006: cannot write the checkpoint: no space left"),
        ("crash", "exit code 9:\n"),
        ("crash", "  about to crash"),
        ("stop", "the training ended before it could be killed"),
    ],
)
def test_a_process_that_fails_ends_the_demo_with_its_reason(
    fault: str, message: str, fake: Callable[[str], None], run: Callable[..., Any]
) -> None:
    fake(fault)
    done = run("demo", "--quiet")
    assert done.code == 1
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_keep_and_out_leave_the_files(fake: Callable[[str], None], run: Callable[..., Any], tmp_path: Path) -> None:
    assert run("demo", "--keep", "--formats", "ONNX").code == 0
    kept = tmp_path / "mindport-demo"
    assert sorted(p.name for p in kept.iterdir()) == ["killed", "reference", "resnet50.onnx"]
    again = run("demo", "--keep")
    assert again.code == 2
    assert "from an earlier demo" in again.err
    assert run("demo", "--out", tmp_path / "a" / "b", "--formats", "ONNX").code == 0
    assert (tmp_path / "a" / "b" / "reference").is_dir()


@pytest.mark.parametrize(
    "args", [("--formats", "onnx,tflite"), ("--formats", " , "), ("--network", "x"), ("--epochs", "0")]
)
def test_senseless_options_are_refused(args: tuple[str, ...], run: Callable[..., Any]) -> None:
    done = run("demo", *args)
    assert done.code == 2
    assert done.out == ""


def test_too_short_a_training_cannot_be_killed(fake: Callable[[str], None], tmp_path: Path) -> None:
    one = Demo("lenet", 1, ["ONNX"], tmp_path, Stages("none"), kept=True)
    ready, code = one._train_and_kill()
    assert (ready["epoch"], ready["step"], code) == (1, 37, -9)


def test_a_worker_never_outlives_its_block(fake: Callable[[str], None], tmp_path: Path) -> None:
    options = {"network": "lenet", "epochs": 3, "directory": str(tmp_path / "x"), "to_be_killed": True}
    with Worker("train", options) as worker:
        assert any(event["event"] == "ready" for event in worker.events())
    assert worker._process.returncode == -9


def test_an_unknown_stage_shows_its_traceback(fake: Callable[[str], None]) -> None:
    with Worker("dance", {}) as worker, pytest.raises(CheckFailed, match="KeyError: 'dance'"):
        list(worker.events())


def test_missing_packages_are_named(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "NEEDED", ("no_such_module",))
    done = run("demo")
    assert done.code == 3
    assert "no_such_module is needed for the demo" in done.err


def test_the_examples_are_found_in_a_checkout_and_in_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (examples_folder() / "networks.py").exists()
    package = tmp_path / "site-packages" / "mindport"
    (package / "examples").mkdir(parents=True)
    monkeypatch.setattr(mindport, "__file__", str(package / "__init__.py"))
    with pytest.raises(MissingFile, match="install mindport again"):
        examples_folder()
    (package / "examples" / "save_models.py").touch()
    assert examples_folder() == package / "examples"


def test_the_build_ships_the_examples() -> None:
    text = (HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"examples" = "mindport/examples"' in text
