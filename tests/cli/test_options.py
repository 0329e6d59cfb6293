"""The options every verb has."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mindport.cli.options import Session, common, show, talk


class Answer:
    """A result of the smallest kind."""

    def to_dict(self) -> dict[str, Any]:
        return {"answer": 42}


@click.command()
@click.argument("word")
@common
def verb(session: Session, word: str) -> None:
    """A verb."""
    talk(session, "working")
    show(session, Answer(), lambda _: f"{word} 42")


@pytest.mark.parametrize(
    ("args", "out", "err"),
    [
        ([], "w 42\n", "working\n"),
        (["--quiet"], "", ""),
        (["--json"], json.dumps({"answer": 42}, indent=2) + "\n", ""),
        (["--debug"], "w 42\n", "working\n"),
    ],
)
def test_data_on_stdout_and_talk_on_stderr(args: list[str], out: str, err: str) -> None:
    session = Session()
    result = CliRunner().invoke(verb, ["w", *args], obj=session)
    assert (result.exit_code, result.stdout, result.stderr) == (0, out, err)
    assert [name for name in ("quiet", "json", "debug") if getattr(session, name)] == [a[2:] for a in args]
