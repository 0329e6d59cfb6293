"""Starting stays fast. Times are the best of several runs, less those of a bare interpreter run in turn."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

ROUNDS = 7


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("code", "limit_s"),
    [
        ("import mindport", 0.3),
        ("from mindport.cli.main import main; main(['--help'])", 0.3),
    ],
)
def test_start_over_a_bare_interpreter(code: str, limit_s: float) -> None:
    pairs = [(seconds("pass"), seconds(code)) for _ in range(ROUNDS)]
    bare, ours = (min(column) for column in zip(*pairs, strict=True))
    assert ours - bare < limit_s


def test_callback_module_costs_little_more_than_numpy() -> None:
    """`mindport.train.callback` over NumPy and ml_dtypes, which every checkpoint needs."""
    pairs = [(seconds("import numpy, ml_dtypes"), seconds("import mindport.train.callback")) for _ in range(ROUNDS)]
    bare, ours = (min(column) for column in zip(*pairs, strict=True))
    assert ours - bare < 0.5
