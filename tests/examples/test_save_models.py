"""The tutorial script: its pieces, and the whole of it as a person would run it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import mindport
import save_models
from mindport.train.callback import Callback, RunContext


@pytest.fixture(autouse=True)
def _former_settings() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


class Interrupt(Callback):
    """Ends the run as Ctrl-C would, after some step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def step_end(self, run_context: RunContext) -> None:
        if run_context.original_args().cur_step_num == self.step:
            raise KeyboardInterrupt


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    _, whole = save_models.train("lenet", tmp_path / "whole", 1)
    with pytest.raises(KeyboardInterrupt):
        save_models.train("lenet", tmp_path / "cut", 1, callbacks=[Interrupt(40)])
    assert [p.name for p in (tmp_path / "cut").glob("*.ckpt")] == ["lenet-1_32.ckpt"]
    network, resumed = save_models.train("lenet", tmp_path / "cut", 1, resume=True)
    assert resumed == whole
    file = save_models.newest_checkpoint(tmp_path / "cut")
    assert file.name == "lenet-1_45.ckpt"
    accuracy = save_models.accuracy("lenet", network)
    assert accuracy == save_models.accuracy("lenet", save_models.restore("lenet", file))
    assert accuracy > 0.2


@pytest.mark.parametrize("name", save_models.SETTINGS)
def test_every_network_of_the_demo_can_be_made(name: str) -> None:
    with torch.device("meta"):
        network = save_models.make_network(name)
    assert network(torch.empty(2, save_models.SETTINGS[name].channels, 32, 32, device="meta")).shape == (2, 10)


def test_the_learning_rate_falls_along_a_cosine_to_zero() -> None:
    network = torch.nn.Linear(2, 2)
    model, optimizer = save_models.make_model(network, learning_rate=0.2, steps=4)
    rates = []

    class Watch(Callback):
        def step_begin(self, run_context: RunContext) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    model.train(1, [(torch.ones(3, 2), torch.tensor([0, 1, 0]))] * 4, callbacks=[Watch()])
    assert rates == pytest.approx([0.2, 0.1 + 0.1 * 0.5**0.5, 0.1, 0.1 - 0.1 * 0.5**0.5])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0)


def test_the_script_tells_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(save_models, "FORMATS", ("ONNX",))
    monkeypatch.setattr(
        sys, "argv", ["save_models.py", "--network", "lenet", "--epochs", "1", "--directory", str(tmp_path)]
    )
    save_models.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch: 1 step: 1, loss is 2.")
    assert sum(line.startswith("epoch: 1 step: ") for line in lines) == 45
    (trained,) = [line for line in lines if line.startswith("trained: accuracy ")]
    (loaded,) = [line for line in lines if line.startswith(f"loaded {tmp_path}")]
    assert trained.split("accuracy ")[1].split(",")[0] == loaded.split("accuracy ")[1]
    assert any(line.startswith("  passed: same outputs ONNX Runtime") for line in lines)
    assert not any("failed" in line for line in lines)
    assert mindport.verify(tmp_path / "lenet.onnx").ok
