"""`python -m mindport` is the command line."""

from __future__ import annotations

import subprocess
import sys

import mindport


def test_python_m_mindport() -> None:
    done = subprocess.run([sys.executable, "-m", "mindport", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"mindport, version {mindport.__version__}")


def test_the_exit_code_reaches_the_shell() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mindport", "inspect", "no-such-file"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5
    assert done.stderr.startswith("error MP5001: ")
    assert done.stdout == ""
