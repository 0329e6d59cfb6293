"""`ProgressBar`: a bar on a terminal, few lines elsewhere."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest

from mindport.errors import UsageError
from mindport.train.callback import Callback, ProgressBar, RunContext
from train.worlds import BATCHES, Interrupted, World


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_appear_now_and_then_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.model.train(1, world.loader, [ProgressBar()])
    assert capsys.readouterr().err == ""
    world.model.train(1, world.loader, [ProgressBar(every_s=1e-9)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == BATCHES
    assert re.fullmatch(rf"epoch 1/1  loss \d+\.\d{{4}}  step 1/{BATCHES}", lines[0])


def test_a_bar_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    world = World()
    world.model.train(2, world.loader, [ProgressBar()])
    assert f"{2 * BATCHES}/{2 * BATCHES}" in stream.getvalue()
    assert "epoch 2/2" in stream.getvalue()


def test_the_bar_is_taken_down_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    bar = ProgressBar(interactive=True)

    class Fail(Callback):
        def step_end(self, run_context: RunContext) -> None:
            raise Interrupted

    world = World()
    with pytest.raises(Interrupted):
        world.model.train(1, world.loader, [bar, Fail()])
    assert bar._bar is None


def test_an_evaluation_within_training_leaves_the_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    world, bar = World(), ProgressBar(interactive=True)

    class Judge(Callback):
        def epoch_end(self, run_context: RunContext) -> None:
            if run_context.original_args().mode == "train":
                world.model.eval([*world.loader][:1], [bar])

    world.model.train(2, world.loader, [bar, Judge()])
    assert f"{2 * BATCHES}/{2 * BATCHES}" in stream.getvalue()
    assert bar._bar is None


@pytest.mark.parametrize("value", [0, -1.0])
def test_wrong_interval(value: Any) -> None:
    with pytest.raises(UsageError):
        ProgressBar(every_s=value)
