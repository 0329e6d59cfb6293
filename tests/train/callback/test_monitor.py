"""`LossMonitor` and `TimeMonitor`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from mindport.errors import CheckFailed, UsageError
from mindport.train.callback import LossMonitor, RunContext, TimeMonitor
from mindport.train.callback.base import RunParameters
from mindport.train.callback.monitor import loss_of, say, step_in_epoch
from train.worlds import BATCHES, World


def context(**values: Any) -> RunContext:
    return RunContext(
        RunParameters({"cur_epoch_num": 4, "cur_step_num": 7, "batch_num": 3, "net_outputs": 0.25} | values)
    )


def test_loss_monitor_prints_each_step_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.model.train(2, world.loader, [LossMonitor()])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * BATCHES
    assert re.fullmatch(r"epoch: 2 step: 1, loss is \d+\.\d+", lines[BATCHES])


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (10, []), (0, [])])
def test_loss_monitor_prints_every_so_many_steps(
    every: int, steps: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = LossMonitor(every)
    for i in range(1, 8):
        monitor.step_end(context(cur_step_num=i, batch_num=100))
    assert [int(line.split()[3].rstrip(",")) for line in capsys.readouterr().out.splitlines()] == steps


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -np.inf, torch.tensor(float("nan"))])
def test_loss_monitor_ends_training_that_diverged(loss: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailed, match=r"epoch: 4 step: 1: the loss is .*diverged"):
        LossMonitor().step_end(context(net_outputs=loss))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("every", [0, 3])
def test_loss_monitor_looks_at_every_step(every: int, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = LossMonitor(every)
    monitor.step_end(context(cur_step_num=1))
    with pytest.raises(CheckFailed, match="diverged"):
        monitor.step_end(context(cur_step_num=2, net_outputs=float("nan")))
    assert capsys.readouterr().out == ""


def test_loss_monitor_leaves_the_outputs_of_an_evaluation_alone(capsys: pytest.CaptureFixture[str]) -> None:
    LossMonitor().step_end(context(mode="eval", net_outputs=float("inf")))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)])
def test_loss_monitor_args(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        LossMonitor(value)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("outputs", "loss"),
    [
        (None, None),
        ((), None),
        (1.5, 1.5),
        (np.float32(2), 2.0),
        (np.array([1.0, 3.0]), 2.0),
        (torch.tensor([1.0, 3.0], requires_grad=True), 2.0),
        (torch.tensor(4), 4.0),
        ((torch.tensor(5.0), "other"), 5.0),
        ([np.array(6.0)], 6.0),
    ],
)
def test_the_loss_in_a_steps_outputs(outputs: Any, loss: float | None) -> None:
    assert loss_of(outputs) == loss


def test_a_step_without_loss_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    LossMonitor().step_end(context(net_outputs=None))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"cur_step_num": 7, "batch_num": 3}, 1),
        ({"cur_step_num": 6, "batch_num": 3}, 3),
        ({"cur_step_num": 6, "batch_num": 3, "cur_step_in_epoch": 2}, 2),
        ({"cur_step_num": 6, "batch_num": None}, 6),
    ],
)
def test_the_step_inside_the_epoch(fields: dict[str, Any], step: int) -> None:
    assert step_in_epoch(context(**fields).original_args()) == step


def test_time_monitor_prints_once_an_epoch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("mindport.train.callback.monitor.time.perf_counter", lambda: now[0])
    monitor = TimeMonitor()
    monitor.epoch_begin(context(cur_step_num=3))
    now[0] = 2.0
    monitor.epoch_end(context(cur_step_num=7))
    assert capsys.readouterr().out == "epoch time: 2000.000 ms, per step time: 500.000 ms\n"
    monitor = TimeMonitor(data_size=8)
    monitor.epoch_begin(context(cur_step_num=3))
    now[0] = 4.0
    monitor.epoch_end(context(cur_step_num=7))
    assert capsys.readouterr().out == "epoch time: 2000.000 ms, per step time: 250.000 ms\n"


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_time_monitor_args(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        TimeMonitor(value)


def test_say(capsys: pytest.CaptureFixture[str]) -> None:
    say("a line")
    assert capsys.readouterr().out == "a line\n"
