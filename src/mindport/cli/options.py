"""Options that every verb has, and the two ways a result is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import click

from mindport.errors import StorageError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """What the common options set; one per run of the command line."""

    debug: bool = False
    json: bool = False
    quiet: bool = False


class Shown(Protocol):
    """A result: anything with a JSON form."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-compatible values."""


R = TypeVar("R", bound=Shown)

_COMMON = (
    ("--debug", "debug", "Show the traceback of an error."),
    ("--quiet", "quiet", "Print nothing but errors."),
    ("--json", "json", "Print the result as JSON."),
)


def _setter(attribute: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def set_flag(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(Session), attribute, True)

    return set_flag


def flag(option: str, attribute: str, text: str) -> Callable[[F], F]:
    """Returns the decorator for a flag that sets one attribute of the Session."""
    return click.option(option, is_flag=True, expose_value=False, callback=_setter(attribute), help=text)


def common(function: F) -> F:
    """Adds --json, --quiet and --debug to a verb and passes it the Session as first argument."""
    wrapped: Any = click.make_pass_decorator(Session, ensure=True)(function)
    for option, attribute, text in _COMMON:
        wrapped = flag(option, attribute, text)(wrapped)
    result: F = wrapped
    return result


def show(session: Session, result: R, render: Callable[[R], str]) -> None:
    """Prints a result on stdout: JSON with --json, nothing with --quiet, else what `render` makes of it.

    Raises:
        StorageError: the caller closed stdout, so nobody could see the result.
    """
    if sys.stdout is None and (session.json or not session.quiet):
        raise StorageError("cannot write the result: stdout is closed (--quiet asks for the exit code alone)")
    if session.json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif not session.quiet:
        click.echo(render(result))


def talk(session: Session, text: str) -> None:
    """Prints a remark on stderr, unless --quiet or --json was given."""
    if not session.quiet and not session.json:
        click.echo(text, err=True)
