"""The names of the package, and that importing them loads no framework."""

from __future__ import annotations

import subprocess
import sys

import mindport.train.callback as package


def test_import_loads_no_framework() -> None:
    code = (
        "import sys, mindport.train.callback, mindport.train.serialization, mindport.train.model;"
        "print([m for m in ('torch', 'mindspore', 'onnx', 'onnx_ir', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names() -> None:
    assert all(getattr(package, name).__name__ == name for name in package.__all__)
    assert {"Callback", "ModelCheckpoint", "CheckpointConfig", "LossMonitor", "TimeMonitor"} <= set(package.__all__)
