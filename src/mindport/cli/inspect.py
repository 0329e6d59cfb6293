"""`mindport inspect`."""

from __future__ import annotations

import click

from mindport import api
from mindport.cli import render
from mindport.cli.options import Session, common, show


@click.command("inspect")
@click.argument("path", type=click.Path())
@common
def command(session: Session, path: str) -> None:
    """Show what the file PATH holds.

    The format is found by content. Tensor content is not read: the size of the file does not matter.
    """
    show(session, api.inspect(path), render.inspection)
