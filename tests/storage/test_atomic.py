"""`commit` writes whole files or none, says clearly what was wrong, and leaves nothing behind."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.errors import (
    AlreadyExists,
    MissingFile,
    NoPermission,
    NotADirectory,
    NotAFile,
    NotDurable,
    StorageError,
    UsageError,
    WrongTypeError,
)
from mindport.storage import system
from mindport.storage.atomic import commit, make_directory


def error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def test_it_writes_all_and_counts(tmp_path: Path) -> None:
    pieces = [b"ab", bytearray(b"cde"), memoryview(b"fg"), b"", memoryview(np.arange(6, dtype="<i2").reshape(2, 3))]
    expected = b"abcdefg" + np.arange(6, dtype="<i2").tobytes()
    assert commit(tmp_path / "x", pieces) == len(expected)
    assert (tmp_path / "x").read_bytes() == expected
    assert commit(str(tmp_path / "y"), b"one piece") == 9
    assert commit(tmp_path / "empty", iter(())) == 0
    assert sorted(os.listdir(tmp_path)) == ["empty", "x", "y"]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 9).map(lambda k: (1 << 2 * k) + k), max_size=12), seed=st.integers(0, 9))
def test_chunks_of_any_size_are_joined_right(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pieces = [rng.bytes(size) for size in sizes]
    path = tmp_path_factory.getbasetemp() / "joined"
    assert commit(path, pieces, durability="process") == sum(map(len, pieces))
    assert path.read_bytes() == b"".join(pieces)


def test_one_buffer_may_be_used_for_every_chunk(tmp_path: Path) -> None:
    def chunks(size: int) -> Iterator[memoryview]:
        buffer = bytearray(size)
        for value in range(5):
            buffer[:] = bytes([value]) * size
            yield memoryview(buffer)

    for size in (10, 3 << 20):
        commit(tmp_path / "x", chunks(size))
        assert (tmp_path / "x").read_bytes() == b"".join(bytes([value]) * size for value in range(5))


def test_readers_of_the_old_file_keep_it(tmp_path: Path) -> None:
    commit(tmp_path / "x", b"old")
    with (tmp_path / "x").open("rb") as reader:
        commit(tmp_path / "x", b"newer")
        assert reader.read() == b"old"
    assert (tmp_path / "x").read_bytes() == b"newer"


def test_an_existing_file_stays_when_overwriting_is_not_allowed(tmp_path: Path) -> None:
    commit(tmp_path / "x", b"first", overwrite=False)
    with pytest.raises(AlreadyExists, match="exists already"):
        commit(tmp_path / "x", b"second", overwrite=False)
    assert (tmp_path / "x").read_bytes() == b"first"


@pytest.mark.parametrize("with_renameat2", [True, False])
def test_a_file_that_appears_meanwhile_stays_too(
    tmp_path: Path, with_renameat2: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_renameat2:
        monkeypatch.setattr(system, "_renameat2", lambda: None)

    def chunks() -> Iterator[bytes]:
        yield b"mine"
        (tmp_path / "x").write_bytes(b"theirs")

    with pytest.raises(AlreadyExists, match="meanwhile"):
        commit(tmp_path / "x", chunks(), overwrite=False)
    assert (tmp_path / "x").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["x"]
    assert commit(tmp_path / "y", b"new", overwrite=False) == 3
    assert sorted(os.listdir(tmp_path)) == ["x", "y"]
    assert (tmp_path / "y").stat().st_nlink == 1


def test_permissions_are_those_of_the_umask_or_of_the_replaced_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        commit(tmp_path / "x", b"a")
        commit(tmp_path / "secret", b"a", mode=0o600)
        (tmp_path / "shared").touch(mode=0o600)
        (tmp_path / "shared").chmod(0o664)
        commit(tmp_path / "shared", b"b")
        (tmp_path / "readonly").touch()
        (tmp_path / "readonly").chmod(0o400)
        commit(tmp_path / "readonly", b"c")
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes == {"x": 0o640, "secret": 0o600, "shared": 0o664, "readonly": 0o400}
    assert (tmp_path / "readonly").read_bytes() == b"c"


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    commit(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"precious"
    (tmp_path / "dangling").symlink_to("nowhere")
    commit(tmp_path / "dangling", b"new")
    assert sorted(os.listdir(tmp_path)) == ["dangling", "link", "target"]


def test_directories_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name, kind in (("folder", "a directory"), ("pipe", "a pipe"), ("null", "device")):
        for overwrite in (True, False):
            with pytest.raises(NotAFile, match=kind):
                commit(tmp_path / name, b"x", overwrite=overwrite)
    with pytest.raises(NotAFile):
        commit(f"{tmp_path}/folder/", b"x")
    with pytest.raises(NotAFile):
        commit(tmp_path / "folder" / "..", b"x")
    assert sorted(os.listdir(tmp_path)) == ["folder", "null", "pipe"]
    assert (tmp_path / "null").is_symlink()


def test_a_missing_or_false_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"the directory .*absent does not exist; make it first") as caught:
        commit(tmp_path / "absent" / "x", b"x")
    assert caught.value.filename == str(tmp_path / "absent" / "x")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectory, match="file is not a directory"):
        commit(tmp_path / "file" / "x", b"x")
    with pytest.raises(StorageError, match="File name too long"):
        commit(tmp_path / ("x" * 300), b"x")
    assert os.listdir(tmp_path) == ["file"]


def test_wrong_arguments_are_usage_errors(tmp_path: Path) -> None:
    wrong: list[tuple[Any, Any, dict[str, Any], type[Exception]]] = [
        (3, b"", {}, WrongTypeError),
        (b"bytes", b"", {}, WrongTypeError),
        ("", b"", {}, UsageError),
        ("a\0b", b"", {}, UsageError),
        (tmp_path / "x", "text", {}, WrongTypeError),
        (tmp_path / "x", b"", {"durability": "some"}, UsageError),
    ]
    for path, chunks, options, kind in wrong:
        with pytest.raises(kind):
            commit(path, chunks, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("exc", [UsageError("bad tensor"), KeyboardInterrupt(), OSError(5, "source"), GeneratorExit()])
def test_an_error_of_the_content_comes_through_and_nothing_stays(tmp_path: Path, exc: BaseException) -> None:
    commit(tmp_path / "x", b"old")

    def chunks() -> Iterator[bytes]:
        yield b"a" * (3 << 20)
        raise exc

    with pytest.raises(type(exc)) as caught:
        commit(tmp_path / "x", chunks())
    assert caught.value is exc
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_read_only_file_system_is_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadOnly(system.System):
        def open(self, path: str, flags: int, mode: int = 0o666, dir_fd: int | None = None) -> int:
            if flags & os.O_CREAT:
                raise error(errno.EROFS)
            return super().open(path, flags, mode, dir_fd)

    monkeypatch.setattr(system, "calls", ReadOnly())
    with pytest.raises(NoPermission, match=r"cannot write .*/x: Read-only file system"):
        commit(tmp_path / "x", b"x")


def test_a_disk_that_takes_nothing_is_no_endless_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindport.storage.system.calls.write", lambda fd, data: 0)
    with pytest.raises(StorageError, match="takes no data"):
        commit(tmp_path / "x", b"x")
    assert os.listdir(tmp_path) == []


def test_durability_costs_two_syncs_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Counting(system.System):
        def fsync(self, fd: int) -> None:
            order.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")

        def rename(self, old: str, new: str, dir_fd: int) -> None:
            order.append("rename")
            super().rename(old, new, dir_fd)

    monkeypatch.setattr(system, "calls", Counting())
    commit(tmp_path / "x", b"x")
    assert order == ["file", "rename", "directory"]
    order.clear()
    commit(tmp_path / "x", b"x", durability="process")
    assert order == ["rename"]


def test_a_file_system_that_cannot_sync_directories_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = system.System()

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise error(errno.EINVAL)
        real.fsync(fd)

    monkeypatch.setattr("mindport.storage.system.calls.fsync", fsync)
    for _ in range(3):
        commit(tmp_path / "x", b"x")
    assert caplog.text.count("cannot sync directories") == 1


def test_failing_to_remove_the_temporary_file_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unlink(path: str, dir_fd: int | None = None) -> None:
        raise error(errno.EIO)

    def fsync(fd: int) -> None:
        raise error(errno.ENOSPC)

    monkeypatch.setattr("mindport.storage.system.calls.unlink", unlink)
    monkeypatch.setattr("mindport.storage.system.calls.fsync", fsync)
    with pytest.raises(NotDurable, match="No space left on device; nothing was put in place"):
        commit(tmp_path / "x", b"x")
    assert "cannot delete the temporary file" in caplog.text
    assert not (tmp_path / "x").exists()


def test_a_file_system_without_locks_or_permissions_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(system.System):
        def lock(self, fd: int) -> None:
            raise error(errno.ENOLCK)

        def fchmod(self, fd: int, mode: int) -> None:
            raise error(errno.EPERM)

    monkeypatch.setattr(system, "calls", Plain())
    (tmp_path / "x").touch()
    assert commit(tmp_path / "x", b"12") == 2
    assert (tmp_path / "x").read_bytes() == b"12"


def test_a_temporary_name_that_is_taken_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can make a save write through a link, or lose a file, by guessing the name."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "taken").symlink_to("precious")
    (tmp_path / "taken too").write_bytes(b"theirs")
    names = iter(["taken", "taken too", "free"])
    monkeypatch.setattr("mindport.storage.atomic.new_name", lambda: next(names))
    commit(tmp_path / "x", [b"mine"])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        "precious": b"precious", "taken": b"precious", "taken too": b"theirs", "x": b"mine",
    }  # fmt: skip


def test_the_temporary_file_is_locked_until_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after its content was closed: that is how other machines see that its writer lives."""
    locked: list[str] = []

    def look() -> None:
        (temp,) = tmp_path.glob(".mindport-*.tmp")
        fd = os.open(temp, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked.append("yes")
        finally:
            os.close(fd)

    class Looking(system.System):
        def rename(self, old: str, new: str, dir_fd: int) -> None:
            look()
            super().rename(old, new, dir_fd)

    def chunks() -> Iterator[bytes]:
        look()
        yield b"x"

    monkeypatch.setattr(system, "calls", Looking())
    commit(tmp_path / "x", chunks())
    assert locked == ["yes", "yes"]
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


def test_no_descriptor_leaks(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    commit(tmp_path / "x", b"x")
    for overwrite, path in ((False, tmp_path / "x"), (True, tmp_path), (True, tmp_path / "no" / "x")):
        with pytest.raises(StorageError):
            commit(path, b"x", overwrite=overwrite)
    with pytest.raises(TypeError):
        commit(tmp_path / "y", [3])  # type: ignore[list-item]
    make_directory(tmp_path / "a" / "b")
    assert count() == before
    assert sorted(os.listdir(tmp_path)) == ["a", "x"]


def test_directories_are_made_with_their_parents_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = system.System()

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real.fsync(fd)

    monkeypatch.setattr("mindport.storage.system.calls.fsync", fsync)
    folder = tmp_path / "a" / "b" / "c"
    assert make_directory(folder) == str(folder)
    assert folder.is_dir()
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    synced.clear()
    folder.chmod(0o750)
    assert make_directory(f"{folder}/") == f"{folder}/"
    assert synced == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750, "an existing directory is left as it is"


def test_a_file_in_the_way_of_a_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectory, match="is a file"):
        make_directory(tmp_path / "file")
    with pytest.raises(NotADirectory, match="make the directory"):
        make_directory(tmp_path / "file" / "below")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(NotADirectory):
        make_directory(tmp_path / "dangling")
    monkeypatch.chdir(tmp_path)
    assert make_directory("relative/below") == "relative/below"
    assert (tmp_path / "relative" / "below").is_dir()
