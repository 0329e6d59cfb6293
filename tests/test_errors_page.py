"""`docs/errors.md` has one complete line for each error class, and the command line's exit codes are those."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from mindport import errors
from mindport.errors import MindportError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"
CLASSES = {
    cls.__name__: cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, MindportError)
}


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| MP")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_error_has_its_line() -> None:
    assert {row[1].strip("`"): row[0] for row in rows()} == {name: cls.id for name, cls in CLASSES.items()}


def test_each_line_gives_meaning_cause_and_remedy() -> None:
    assert all(len(row) == 5 and all(len(cell) > 3 for cell in row) for row in rows())


def test_ids_are_unique_and_their_first_digit_is_the_exit_code() -> None:
    ids = [cls.id for cls in CLASSES.values()]
    assert len(set(ids)) == len(ids)
    for name, cls in CLASSES.items():
        if name != "MindportError":
            assert int(cls.id[2]) == cls.exit_code, name


def test_lines_stand_in_the_section_of_their_exit_code() -> None:
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## (\d)", line):
            section = heading[1]
        if (row := re.match(r"\| MP(\d)", line)) and row[1] != "0":
            assert row[1] == section, line


def test_the_tree_in_the_docstring_names_every_class() -> None:
    assert errors.__doc__ is not None
    assert {name for name in CLASSES if name not in errors.__doc__} == set()
