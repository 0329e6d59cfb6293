"""`environment` tells missing, broken and working dependencies apart without being harmed by them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mindport import environment as module
from mindport.environment import environment
from mindport.extras import EXTRA_OF


def test_everything_is_here_in_the_development_environment() -> None:
    result = environment(probe=False)
    assert {d.name for d in result.dependencies} >= {"numpy", "click", "torch", "onnx_ir", "mindspore"}
    assert all(d.version for d in result.dependencies)
    assert all(d.works is None for d in result.dependencies)
    assert all(c.ready for c in result.capabilities)
    assert result.to_dict()["python"] == sys.version.split()[0]


def test_capabilities_need_known_modules() -> None:
    known = {d.name for d in environment(probe=False).dependencies}
    assert {m for needed in module.CAPABILITIES.values() for m in needed} <= known


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("raise RuntimeError('bad driver')", "RuntimeError: bad driver"),
        ("import os; os.kill(os.getpid(), 11)", "died by signal 11"),
        ("import sys; sys.exit(3)", "ended with code 3"),
    ],
)
def test_a_broken_dependency_is_reported(
    body: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brittle.py").write_text(body + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(module, "EXTRA_OF", {"brittle": "brittle", "nowhere": "nowhere"})
    monkeypatch.setattr(module, "CAPABILITIES", {"break": ("brittle",), "count": ("numpy",)})
    result = environment()
    found = {d.name: d for d in result.dependencies}
    assert found["numpy"].works is True
    assert found["brittle"].works is False
    assert problem in found["brittle"].problem
    assert (found["nowhere"].version, found["nowhere"].install) == (None, "pip install 'mindport[nowhere]'")
    assert [(c.what, c.ready, c.missing) for c in result.capabilities] == [
        ("break", False, ("brittle",)),
        ("count", True, ()),
    ]


def test_a_dependency_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(module, "PROBE_TIMEOUT_S", 1)
    assert module._probe("sleeper") == ({}, "its import did not end within 1 s")


def test_the_current_folder_is_not_imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xxhash.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    assert module._probe("xxhash") == ({"accelerators": []}, "")


def test_accelerators_are_those_torch_sees() -> None:
    assert "torch" in EXTRA_OF
    answer, problem = module._probe("torch")
    assert problem == ""
    assert isinstance(answer["accelerators"], list)
