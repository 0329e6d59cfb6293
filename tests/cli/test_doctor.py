"""`mindport doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable

from mindport.environment import environment


def test_quick_looks_without_importing(run: Callable[..., object]) -> None:
    result = run("doctor", "--quick")
    assert (result.code, result.err) == (0, "")
    assert "installed" in result.out
    assert "yes  export PyTorch networks to ONNX, MINDIR and AIR" in result.out
    assert json.loads(run("doctor", "--quick", "--json").out) == environment(probe=False).to_dict()


def test_it_says_that_it_takes_a_moment(run: Callable[..., object], monkeypatch: object) -> None:
    monkeypatch.setattr("mindport.cli.doctor.environment", lambda probe: environment(probe=False))
    result = run("doctor")
    assert result.code == 0
    assert "please wait" in result.err
    assert "please wait" not in result.out
