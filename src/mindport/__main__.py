"""`python -m mindport`."""

from __future__ import annotations

from mindport.cli.main import entry

if __name__ == "__main__":
    entry()
