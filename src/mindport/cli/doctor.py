"""`mindport doctor`."""

from __future__ import annotations

import click

from mindport.cli import render
from mindport.cli.options import Session, common, show, talk
from mindport.environment import environment


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Only look what is installed; import nothing.")
@common
def command(session: Session, quick: bool) -> None:
    """Show versions, optional dependencies and what works with them."""
    if not quick:
        talk(session, "importing each dependency once, please wait ...")
    show(session, environment(probe=not quick), render.environment)
