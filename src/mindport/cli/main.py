"""The `mindport` command: verbs loaded on use, errors turned into one line and an exit code.

Exit codes: 0 ok · 1 a check failed · 2 usage · 3 unsupported · 4 corrupt file · 5 I/O · 70 a bug in mindport ·
130 interrupted · 141 the reader of our output went away · 143 terminated.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from mindport import __version__
from mindport.cli.options import Session, flag
from mindport.errors import MindportError, StorageError, UsageError, printable, storage_error

# verb -> (module that holds `command`, one line of help); the module is imported when the verb is used
VERBS = {
    "inspect": ("mindport.cli.inspect", "Show what a checkpoint, weight or model file holds."),
    "verify": ("mindport.cli.verify", "Check a file's structure and checksums."),
    "convert": ("mindport.cli.convert", "Convert a file into another format and prove the result."),
    "doctor": ("mindport.cli.doctor", "Show versions, optional dependencies and what works with them."),
    "demo": ("mindport.cli.demo", "Train, kill, resume and export a network on real data."),
}

INTERNAL_ERROR = 70
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143
_LONGEST_LINE = 2000


class PipeClosed(Exception):
    """Whoever read our output stopped reading."""


class LazyGroup(click.Group):
    """A group that knows its verbs by name and imports one only to run it."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Returns the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the verb's module and returns its `command`."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name][0]).command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the verbs' one-line help from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb; a closed pipe gets a name of its own, because click would exit with 1."""
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:  # None when the caller closed it
                sys.stdout.flush()
        except BrokenPipeError as exc:
            raise PipeClosed from exc
        return result


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mindport")
@flag("--debug", "debug", "Show the traceback of an error.")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Checkpoints you can trust, and proved exports to MindIR, AIR and ONNX.

    Results go to stdout, remarks to stderr. Exit codes: 0 ok, 1 a check failed, 2 usage, 3 unsupported,
    4 corrupt file, 5 I/O.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line with `args` (default: the process's own) and returns the exit code; never raises."""
    session = Session()
    try:
        code = group.main(args=args, prog_name="mindport", obj=session, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as exc:
        exc.show()
        if "--json" in (sys.argv[1:] if args is None else args):  # the option may not have been parsed yet
            _as_json(UsageError.id, exc.format_message(), exc.exit_code)
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail(session, "interrupted", INTERRUPTED)
    except (PipeClosed, BrokenPipeError):
        _abandon_stdout()
        return PIPE_CLOSED
    except SystemExit as exc:  # our own at SIGTERM, or click's when the reader of a help text went away
        return TERMINATED if exc.code == TERMINATED else PIPE_CLOSED
    except MindportError as exc:
        return _fail(session, f"error {exc.id}: {exc}", exc.exit_code, exc)
    except OSError as exc:
        known = storage_error(exc, "use", exc.filename if isinstance(exc.filename, str) else "a file or stream")
        return _fail(session, f"error {known.id}: {known}", known.exit_code, known)
    except MemoryError:
        return _fail(session, "error MP5000: not enough memory", StorageError.exit_code)
    except Exception as exc:  # noqa: BLE001 - the outermost handler: a bug becomes a message and an exit code
        text = f"internal error: {type(exc).__name__}: {exc}; this is a bug in mindport (--debug shows where)"
        return _fail(session, text, INTERNAL_ERROR)


def _fail(session: Session, text: str, code: int, error: MindportError | None = None) -> int:
    """Prints the error (with its traceback under --debug, and as JSON on stdout under --json); returns `code`."""
    if session.debug:
        traceback.print_exc()
    lines = [printable(line, _LONGEST_LINE) for line in text.splitlines()]  # messages may quote a hostile file
    click.echo("\n".join(lines), err=True)
    if session.json:
        _as_json(error.id if error else None, str(error) if error else text, code)
    return code


def _as_json(id_: str | None, message: str, code: int) -> None:
    record = {"id": id_, "message": message, "exit_code": code}
    click.echo(json.dumps({"schema_version": 1, "error": record}, indent=2))


def _abandon_stdout() -> None:
    """Points stdout at nothing, so that what is still buffered does not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(_signum: int, _frame: object) -> None:
    raise SystemExit(TERMINATED)  # unwinds, so that temporary files are removed


def entry() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not end the program
    sys.exit(main())
