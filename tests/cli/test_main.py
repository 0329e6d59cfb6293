"""Every error is one line and a documented exit code, whatever is thrown at a verb."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mindport
from mindport.cli import main as module
from mindport.cli.main import VERBS

EXPECTED = {
    "missing": ("MP5001", 5),
    "empty": ("MP4001", 4),
    "truncated": ("MP4002", 4),
    "foreign": ("MP4001", 4),
    "flipped": ("MP4004", 4),
    "directory": ("MP5002", 5),
    "pipe": ("MP5002", 5),
    "zero": ("MP5002", 5),
    "link_to_nothing": ("MP5001", 5),
}


@pytest.mark.parametrize("verb", ["inspect", "verify", "convert"])
def test_bad_inputs_give_one_line_and_an_exit_code(
    verb: str, bad: Path, tmp_path: Path, run: Callable[..., object]
) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    target = [tmp_path / "out.npz"] if verb == "convert" else []
    result = run(verb, bad, *target)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    if (verb, bad.stem) == ("inspect", "flipped"):  # reads no content
        assert result.code == 0
        return
    error_id, code = EXPECTED[bad.stem]
    assert (result.code, result.out) == (code, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"error {error_id}: ")
    assert bad.name in line


def test_errors_are_json_too(run: Callable[..., object], tmp_path: Path) -> None:
    result = run("inspect", tmp_path / "none", "--json")
    assert json.loads(result.out)["error"]["id"] == "MP5001"
    assert json.loads(result.out)["error"]["exit_code"] == result.code == 5
    assert result.err.startswith("error MP5001: ")


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(run: Callable[..., object], tmp_path: Path, place: str) -> None:
    verb = ["inspect", tmp_path / "none"]
    result = run(*(["--debug", *verb] if place == "before" else [*verb, "--debug"]))
    assert result.code == 5
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("error MP5001: ")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["inspect"], "Missing argument 'PATH'"),
        (["inspect", "a", "b"], "unexpected extra argument"),
        (["verify", "--nonsense", "a"], "No such option"),
        ([], "Usage: mindport"),
    ],
)
def test_usage_errors(run: Callable[..., object], args: list[str], words: str) -> None:
    result = run(*args)
    assert (result.code, result.out) == (2, "")
    assert words in result.err


def test_help_and_version(run: Callable[..., object]) -> None:
    result = run("--help")
    assert (result.code, result.err) == (0, "")
    assert all(f"  {verb}" in result.out for verb in VERBS)
    assert run("--version").out == f"mindport, version {mindport.__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_its_name_and_help(run: Callable[..., object], verb: str) -> None:
    result = run(verb, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: mindport {verb} ")
    assert all(option in result.out for option in ("--json", "--quiet", "--debug"))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 5, "error MP5000: not enough memory"),
        (PermissionError(13, "Permission denied", "x"), 5, "error MP5005: cannot use x: Permission denied"),
        (ValueError("surprise"), 70, "internal error: ValueError: surprise; this is a bug in mindport"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_other_exceptions_never_show_a_traceback(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch, run: Callable[..., object]
) -> None:
    def fail(path: str) -> None:
        raise error

    monkeypatch.setattr("mindport.api.inspect", fail)
    monkeypatch.setattr(module, "_abandon_stdout", lambda: None)  # stdout is pytest's here
    result = run("inspect", "x")
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("args", ["inspect {}", "--help", "inspect --help"])
def test_a_reader_that_goes_away_is_no_error(checkpoint: Path, args: str) -> None:
    verb = args.format(f'"{checkpoint}"')
    command = f'"{sys.executable}" -m mindport {verb} | true; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in {"0", "141"}  # 0 when all was written before the reader went away
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("verb", "code"), [("inspect", 5), ("verify", 5), ("verify --quiet", 0), ("doctor --quick", 5)]
)
def test_a_result_that_cannot_be_shown_is_an_error(checkpoint: Path, verb: str, code: int) -> None:
    file = "" if verb.startswith("doctor") else f'"{checkpoint}"'
    command = f'"{sys.executable}" -m mindport {verb} {file} >&-'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("stdout is closed" in done.stderr) == (code != 0)


@pytest.mark.parametrize("args", [["inspect", "--json"], ["nonsense", "--json"], ["verify", "a", "--wrong", "--json"]])
def test_usage_errors_are_json_too(run: Callable[..., object], args: list[str]) -> None:
    result = run(*args)
    error = json.loads(result.out)["error"]
    assert (result.code, error["exit_code"], error["id"]) == (2, 2, "MP2001")
    assert error["message"] in result.err


def test_colours_only_where_wanted(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., object]
) -> None:
    assert "\x1b" not in run("verify", checkpoint).out
    monkeypatch.setattr("click._compat.should_strip_ansi", lambda *_: False, raising=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("verify", checkpoint).out


def test_sigterm_ends_with_143() -> None:
    code = (
        "import time, mindport.api as api; api.inspect = lambda path: (print('ready', flush=True), time.sleep(60));"
        "import sys; sys.argv = ['mindport', 'inspect', 'x'];"
        "from mindport.cli.main import entry; entry()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 143
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
