"""Writes the output of each `$ mindport ... --help` in docs/cli.md anew: `python tools/help_texts.py`.

The documentation tests compare these blocks with the program.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
BLOCK = re.compile(r"^```console\n\$ mindport (?P<args>[^\n]*--help)\n.*?^```$", re.MULTILINE | re.DOTALL)


def current(match: re.Match[str]) -> str:
    command = [sys.executable, "-m", "mindport", *shlex.split(match["args"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"```console\n$ mindport {match['args']}\n{done.stdout}```"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(current, text), encoding="utf-8")
