"""Runs one target under atheris, which is needed here and nowhere else."""

from __future__ import annotations

import sys

__all__ = ["run"]


def run(name: str, argv: list[str]) -> None:
    """Fuzzes until a finding or a limit of libFuzzer's among the arguments; does not return."""
    import atheris

    with atheris.instrument_imports(include=["mindport"]):
        from fuzz.targets import TARGETS

    target = TARGETS[name]

    def one_input(data: bytes) -> int:
        target(data)
        return 0

    atheris.Setup([sys.argv[0], *argv], one_input)
    atheris.Fuzz()
