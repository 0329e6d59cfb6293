"""Optional dependencies: found without import, imported on need, and named in one message when missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mindport import extras
from mindport.errors import MissingExtra


def test_need_returns_the_module() -> None:
    assert extras.need("numpy") is np


def test_a_missing_module_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mindport\[torch\]'") as caught:
        extras.need("torch", "export")
    assert caught.value.name == "torch"
    assert "needed for export" in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_broken_dependency_keeps_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brokenmodule.py").write_text("import a_module_that_is_nowhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_nowhere"):
        extras.need("brokenmodule")


def test_available_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shymodule.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert extras.available("shymodule")
    assert "shymodule" not in sys.modules
    assert not extras.available("a_module_that_is_nowhere")


def test_load_translates_what_our_own_module_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extras.load("mindport.extras", "testing") is extras
    monkeypatch.setitem(sys.modules, "onnx_ir", None)
    monkeypatch.delitem(sys.modules, "mindport.formats.mindir", raising=False)
    with pytest.raises(MissingExtra, match=r"onnx_ir is needed for MindIR files .*mindport\[onnx\]"):
        extras.load("mindport.formats.mindir", "MindIR files")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        extras.load("mindport.no_such_module", "testing")
