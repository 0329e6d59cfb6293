"""The demo's processes: their reports, and the choice of the step after which the training is killed."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindport.cli import demo_worker
from mindport.cli.demo_worker import MARK, Reporter, decode, kill_step, tell
from mindport.errors import CheckFailed
from mindport.events import Pruned, Restored, Saved, Skipped
from mindport.train.callback import RunContext
from mindport.train.callback.base import RunParameters


def events(text: str) -> list[dict[str, object]]:
    lines = text.split("\n")  # splitlines() would also split at the mark
    return [event for line in lines if (event := decode(line)) is not None]


def test_a_report_is_one_marked_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("saved", file="a\nb", nbytes=3)
    out = capsys.readouterr().out
    assert out.startswith(MARK)
    assert out.count("\n") == 1
    assert decode(out) == {"event": "saved", "file": "a\nb", "nbytes": 3}
    assert decode("epoch: 1 step: 1, loss is 2.3\n") is None


@pytest.mark.parametrize(
    ("batches", "epochs", "step"),
    [(45, 3, 101), (45, 1, 37), (45, 6, 165), (33, 1, 0), (32, 4, 0), (10, 2, 0), (100, 1, 69)],
)
def test_where_the_kill_comes(batches: int, epochs: int, step: int) -> None:
    assert kill_step(batches, epochs) == step


@given(st.integers(1, 200), st.integers(1, 20), st.integers(6, 64))
def test_the_kill_comes_in_mid_epoch_after_a_checkpoint_in_mid_epoch(batches: int, epochs: int, every: int) -> None:
    step = kill_step(batches, epochs, every, past=5)
    if step:
        assert 0 < step < batches * epochs
        assert 1 < step % batches < batches - 1
        assert (step - 5) % every == 0
        assert (step - 5) % batches


def context(**values: object) -> RunContext:
    return RunContext(RunParameters(batch_num=45, epoch_num=3, **values))


def test_the_reporter_reports_and_holds_still_only_where_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(to_be_killed=True, hold_s=0.01)
    reporter.begin(context(cur_step_num=0))
    reporter.step_end(context(cur_epoch_num=3, cur_step_in_epoch=10, cur_step_num=100, net_outputs=0.5))
    with pytest.raises(CheckFailed, match="was to be killed"):
        reporter.step_end(context(cur_epoch_num=3, cur_step_in_epoch=11, cur_step_num=101, net_outputs=0.25))
    found = events(capsys.readouterr().out)
    assert [e["event"] for e in found] == ["begin", "step", "step", "ready"]
    assert found[0] == {"event": "begin", "done": 0, "total": 135, "batches": 45}
    assert found[1] == {"event": "step", "epoch": 3, "step": 10, "done": 100, "loss": 0.5}
    assert found[3]["step"] == 11


def test_the_reporter_does_not_hold_an_ordinary_run(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(hold_s=0.01)
    reporter.begin(context(cur_step_num=96))
    reporter.step_end(context(cur_epoch_num=3, cur_step_in_epoch=11, cur_step_num=101, net_outputs=0.25))
    assert [e["event"] for e in events(capsys.readouterr().out)] == ["begin", "step"]


def test_storage_events_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    for event in (
        Saved("run/a-1_2.ckpt", 7, 1.0, 2.5),
        Restored("run/a-1_2.ckpt", 1, 2),
        Skipped("run/a-1_3.ckpt", "cut short"),
        Pruned("run/a-1_1.ckpt", "5 newer"),
    ):
        demo_worker._report_event(event)
    assert events(capsys.readouterr().out) == [
        {"event": "saved", "file": "a-1_2.ckpt", "nbytes": 7, "ms": 2.5},
        {"event": "restored", "file": "a-1_2.ckpt", "epoch": 1, "step": 2},
        {"event": "skipped", "file": "a-1_3.ckpt", "reason": "cut short"},
    ]


def test_an_error_of_mindport_is_a_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CheckFailed("diverged")

    monkeypatch.setitem(sys.modules, "save_models", SimpleNamespace(train=fail))
    monkeypatch.setattr(sys, "path", list(sys.path))
    options = json.dumps({"network": "lenet", "directory": "x", "epochs": None})
    assert demo_worker.main("nowhere", "train", options) == 1
    assert events(capsys.readouterr().out) == [{"event": "error", "id": "MP1005", "message": "diverged"}]
