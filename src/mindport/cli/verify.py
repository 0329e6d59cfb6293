"""`mindport verify`."""

from __future__ import annotations

import click

from mindport import api
from mindport.cli import render
from mindport.cli.options import Session, common, show
from mindport.errors import CheckFailed


@click.command("verify")
@click.argument("path", type=click.Path())
@common
def command(session: Session, path: str) -> None:
    """Check the structure and the checksums of the file PATH.

    Says what was proved and what could not be. A damaged file ends with exit code 4, a sound file whose content
    fails a check with 1.
    """
    result = api.verify(path)
    show(session, result, render.verification)
    if not result.ok:
        raise click.exceptions.Exit(CheckFailed.exit_code)
