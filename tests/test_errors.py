"""Messages, inheritance and the mapping from the system's errors."""

from __future__ import annotations

import builtins
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindport import errors
from mindport.errors import (
    CorruptFile,
    FormatError,
    MindportError,
    StorageError,
    UnsupportedOp,
    UnsupportedOps,
    printable,
    storage_error,
)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("UsageError", "ValueError"),
        ("WrongTypeError", "TypeError"),
        ("MissingExtra", "ImportError"),
        ("Unsupported", "ValueError"),
        ("FormatError", "ValueError"),
        ("StorageError", "OSError"),
        ("MissingFile", "FileNotFoundError"),
        ("NotAFile", "IsADirectoryError"),
        ("NotADirectory", "NotADirectoryError"),
        ("AlreadyExists", "FileExistsError"),
        ("NoPermission", "PermissionError"),
        ("RestoreError", "RuntimeError"),
        ("CheckFailed", "RuntimeError"),
    ],
)
def test_each_error_is_also_the_builtin_a_caller_expects(name: str, builtin: str) -> None:
    assert issubclass(getattr(errors, name), getattr(builtins, builtin))


def test_all_is_complete() -> None:
    classes = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, MindportError)}
    assert classes <= set(errors.__all__)


def test_format_error_says_where() -> None:
    error = CorruptFile("two tensors overlap", offset=17)
    placed = error.at("a\nb.ckpt")
    assert str(error) == "two tensors overlap (at byte 17)"
    assert str(placed) == "a\\nb.ckpt: two tensors overlap (at byte 17)"
    assert (type(placed), placed.offset, placed.path) == (CorruptFile, 17, "a\nb.ckpt")
    assert placed.at("other") is placed
    assert isinstance(placed, FormatError)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (errno.ENOENT, "MissingFile"),
        (errno.EISDIR, "NotAFile"),
        (errno.ENOTDIR, "NotADirectory"),
        (errno.EEXIST, "AlreadyExists"),
        (errno.EACCES, "NoPermission"),
        (errno.EROFS, "NoPermission"),
        (errno.ENOSPC, "NoSpace"),
        (errno.EDQUOT, "NoSpace"),
        (errno.EFBIG, "NoSpace"),
        (errno.EIO, "StorageError"),
    ],
)
def test_system_errors_get_a_class_and_keep_their_number(code: int, name: str) -> None:
    error = storage_error(OSError(code, "the cause"), "write", "dir/x.ckpt")
    assert type(error).__name__ == name
    assert str(error) == "cannot write dir/x.ckpt: the cause"
    assert (error.errno, error.filename) == (code, "dir/x.ckpt")


def test_an_error_without_number_is_a_plain_storage_error() -> None:
    assert type(storage_error(OSError(), "read", "x")) is StorageError


def test_all_unsupported_operators_are_in_one_message() -> None:
    nodes = tuple(f"layer{i}" for i in range(7))
    error = UnsupportedOps(
        "AIR", [UnsupportedOp("Foo", "no counterpart", nodes, "use Bar"), UnsupportedOp("Qux", "5-d")]
    )
    text = str(error)
    assert "2 operator problem(s) prevent conversion to AIR" in text
    assert "Foo × 7: no counterpart" in text
    assert "at layer0, layer1, layer2, layer3, layer4 (+2 more)" in text
    assert "hint: use Bar" in text
    assert "Qux × 1: 5-d" in text


@given(st.text(max_size=300) | st.binary(max_size=300), st.integers(min_value=2, max_value=250))
def test_printable_is_one_safe_line(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert "\x1b" not in shown
