"""Stages: few lines on a plain stream, bars on a terminal, nothing when asked for nothing."""

from __future__ import annotations

import pytest

from mindport.cli import progress
from mindport.cli.progress import Stages


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(stages: Stages, clock: Clock) -> float:
    with stages:
        stages.start("Training")
        stages.update(0, total=40)
        for step in range(1, 41):
            clock.now += 1.0
            stages.update(step, f"loss {1 / step:.2f}")
        first = stages.finish("5 files")
        stages.start("Exporting")
        clock.now += 2.5
        stages.finish(complete=False)
    return first


def test_lines_come_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    assert run(Stages("lines", clock), clock) == 40.0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "Training ...",
        "  10/40  loss 0.10",
        "  20/40  loss 0.05",
        "  30/40  loss 0.03",
        "  40/40  loss 0.03",
        "  5 files, 40.0 s",
        "Exporting ...",
        "  2.5 s",
    ]


def test_bars_end_with_every_stage_and_its_remark(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    assert run(Stages("bars", clock), clock) == 40.0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Training" in captured.err
    assert "40/40" in captured.err
    assert "5 files" in captured.err
    assert "Exporting" in captured.err


def test_none_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    assert run(Stages("none", clock), clock) == 40.0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("terminal", "rich", "style"), [(True, True, "bars"), (True, False, "lines"), (False, True, "lines")]
)
def test_the_style_follows_the_stream(terminal: bool, rich: bool, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress, "available", lambda _: rich)
    assert Stages().style == style
