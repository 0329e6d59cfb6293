"""The worker process: answers, refusals, crashes, timeouts, restarts."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from mindport.adapters import mindspore as adapter
from mindport.adapters.mindspore import MindSporeWorker
from mindport.errors import CheckFailed, MissingExtra, UnsupportedDType
from mindport.formats import mindir
from oracles.primitive import model, numbers

X = numbers(2, 3)


def relu(tmp_path: Path) -> Path:
    path = tmp_path / "relu.mindir"
    path.write_bytes(b"".join(mindir.write(model(lambda b, x: b.ReLU(x), X))))
    return path


@pytest.mark.mindspore
def test_a_refused_file_a_crash_and_a_new_start(tmp_path: Path) -> None:
    with MindSporeWorker(timeout_s=120) as worker:
        np.testing.assert_array_equal(worker.run(relu(tmp_path), [X])[0], np.maximum(X, 0))
        assert worker.version.startswith("2.")
        (tmp_path / "bad.mindir").write_bytes(b"nonsense")
        with pytest.raises(CheckFailed, match="MindSpore: "):
            worker.run(tmp_path / "bad.mindir", [X])
        process = worker._process
        assert process is not None
        os.kill(process.pid, signal.SIGSEGV)
        process.wait(30)
        np.testing.assert_array_equal(worker.run(relu(tmp_path), [X])[0], np.maximum(X, 0))
    assert worker._process is None


@pytest.mark.mindspore
def test_a_process_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    worker = MindSporeWorker(timeout_s=0.01)
    with pytest.raises(CheckFailed, match=r"within 0\.01 s"):
        worker.run(relu(tmp_path), [X])
    assert worker._process is None


def test_text_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedDType):
        MindSporeWorker().run(tmp_path / "any.mindir", [np.asarray(["a"])])


def test_without_mindspore_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "installed", lambda: False)
    with pytest.raises(MissingExtra, match=r"mindport\[mindspore\]"):
        MindSporeWorker()
    assert isinstance(adapter.installed(), bool)
