"""`mindport convert`."""

from __future__ import annotations

import click

from mindport import api
from mindport.cli import render
from mindport.cli.options import Session, common, show
from mindport.errors import CheckFailed


@click.command("convert")
@click.argument("src", type=click.Path())
@click.argument("dst", type=click.Path())
@click.option("--to", metavar="FORMAT", help="Target format, instead of the one DST's suffix names.")
@click.option("--force", is_flag=True, help="Replace DST if it exists.")
@click.option("--check/--no-check", default=True, help="Prove the result by reading or running it (default: on).")
@common
def command(session: Session, src: str, dst: str, to: str | None, force: bool, check: bool) -> None:
    """Convert the file SRC into the file DST.

    SRC's format is found by content, DST's by its suffix (or --to). An existing DST is left alone unless --force is
    given.
    """
    result = api.convert(src, dst, to=to, check=check, overwrite=force)
    show(session, result, render.conversion)
    if not result.ok:
        raise click.exceptions.Exit(CheckFailed.exit_code)
