"""The calls do what they say on a real file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindport.storage import system


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_rename_replaces_and_rename_new_does_not(tmp_path: Path, folder: int) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    system.calls.rename("a", "b", folder)
    assert (tmp_path / "b").read_text() == "a"
    with pytest.raises(FileExistsError):
        system.calls.rename_new("b", "c", folder)
    assert (tmp_path / "c").read_text() == "c"
    system.calls.rename_new("b", "d", folder)
    assert sorted(os.listdir(tmp_path)) == ["c", "d"]
    assert (tmp_path / "d").read_text() == "a"


def test_a_system_without_renameat2_says_so(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_renameat2", lambda: None)
    with pytest.raises(OSError) as caught:
        system.calls.rename_new("a", "b", folder)
    assert caught.value.errno == errno.ENOSYS


def test_link_refuses_an_existing_name(tmp_path: Path, folder: int) -> None:
    (tmp_path / "a").write_text("a")
    system.calls.link("a", "b", folder)
    with pytest.raises(FileExistsError):
        system.calls.link("a", "b", folder)
    system.calls.unlink("a", folder)
    assert (tmp_path / "b").read_text() == "a"


def test_a_lock_ends_with_its_last_descriptor(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    first = os.open(tmp_path / "a", os.O_RDONLY)
    second = os.open(tmp_path / "a", os.O_RDONLY)
    system.calls.lock(first)
    kept = system.calls.dup(first)
    system.calls.close(first)
    with pytest.raises(BlockingIOError):
        system.calls.lock(second)
    system.calls.close(kept)
    system.calls.lock(second)
    system.calls.close(second)


def test_fsync_takes_files_and_directories(tmp_path: Path, folder: int) -> None:
    fd = system.calls.open(str(tmp_path / "a"), os.O_CREAT | os.O_WRONLY)
    assert system.calls.write(fd, memoryview(b"abc")) == 3
    system.calls.fchmod(fd, 0o640)
    system.calls.fsync(fd)
    system.calls.fsync(folder)
    system.calls.close(fd)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    with pytest.raises(OSError):
        system.calls.fsync(fd)


def test_full_fsync_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS fsync leaves data in the drive's cache."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("mindport.storage.system.fcntl.F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr("mindport.storage.system.fcntl.fcntl", lambda fd, what: asked.append((fd, what)))
    system.calls.fsync(7)
    assert asked == [(7, 51)]
