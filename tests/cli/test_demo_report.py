"""The demo's tables, with and without `rich`, wide and narrow."""

from __future__ import annotations

import dataclasses

import pytest

from mindport.cli import demo_report
from mindport.cli.demo_report import DemoReport, Export, Stage, render
from mindport.results import Check

REPORT = DemoReport(
    network="resnet50",
    epochs=3,
    accuracy=0.9583,
    checks=(Check("killed in [mid]-epoch", "passed", "exit code -9"), Check("same bits", "passed", "SHA-256 ab…")),
    exports=(
        Export("ONNX", "net.onnx", 94_400_000, 3.5, 1.0, 2.9e-6, 1.5e-7, 0.9999999991, "ONNX Runtime 1.32.0", True),
        Export("MINDIR", "net.mindir", 94_400_123, 4.5, 2.0, 3.9e-6, 2.5e-7, 1.0, "MindSpore 2.10.0", True),
    ),
    stages=(Stage("Train", 61.25, "5 checkpoints"), Stage("Export", 8.0)),
    folder=None,
)


@pytest.mark.parametrize("rich", [True, False])
def test_tables_hold_every_number(rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_report, "available", lambda _: rich)
    text = render(REPORT)
    lines = [line.split() for line in text.splitlines()]
    assert [
        "ONNX",
        "94.4",
        "MB",
        "3.5",
        "2.9e-06",
        "1.5e-07",
        "0.999999999",
        "ok",
        "ONNX",
        "Runtime",
        "1.32.0",
    ] in lines
    assert ["MINDIR", "94.4", "MB", "4.5", "3.9e-06", "2.5e-07", "1.000000000", "ok", "MindSpore", "2.10.0"] in lines
    assert "killed in [mid]-epoch  ok" in " ".join(text.replace("   ", "  ").split("\n"))
    assert "Everything held: resnet50, 3 epochs on real digits, 69 s in all." in text
    assert "The files were deleted" in text
    assert "\x1b" not in text
    assert ("─" in text) is rich
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_terminal_gets_colours_and_its_own_width() -> None:
    text = render(REPORT, 80)
    assert "\x1b[32m" in text
    plain = render(REPORT)
    assert max(map(len, plain.splitlines())) > 80


@pytest.mark.parametrize("status", ["failed", "not proved"])
def test_one_check_that_did_not_pass_spoils_the_verdict(status: str) -> None:
    spoilt = dataclasses.replace(REPORT, checks=(*REPORT.checks, Check("last", status)), folder="kept")  # type: ignore[arg-type]
    assert not spoilt.ok
    assert spoilt.to_dict()["ok"] is False
    assert "NOT everything held" in render(spoilt)
    assert render(spoilt).endswith("Files: kept")


def test_one_bad_export_spoils_the_verdict() -> None:
    bad = dataclasses.replace(REPORT.exports[0], ok=False)
    spoilt = dataclasses.replace(REPORT, exports=(bad, REPORT.exports[1]))
    assert REPORT.ok
    assert not spoilt.ok
    assert "FAILED" in render(spoilt)


def test_the_record_is_json() -> None:
    found = REPORT.to_dict()
    assert found["schema_version"] == 1
    assert found["exports"][1]["proof"] == "MindSpore 2.10.0"
    assert found["stages"][0] == {"name": "Train", "seconds": 61.25, "note": "5 checkpoints"}
