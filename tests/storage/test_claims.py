"""Claims exclude each other between processes, threads of one process and objects, and end with their holder."""

from __future__ import annotations

import dataclasses
import errno
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mindport.errors import NoPermission, NotADirectory
from mindport.storage import claims, process, system

HOLD = """
import sys
from mindport.storage import claims
held = claims.take(sys.argv[1], "net")
print(held is not None, flush=True)
sys.stdin.readline()
"""


def other_process(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    return child


def test_one_claim_per_name(tmp_path: Path) -> None:
    first = claims.take(str(tmp_path), "net")
    assert first is not None
    assert first.held
    assert os.listdir(tmp_path) == [".net.mindport-run"]
    assert claims.take(str(tmp_path), "net", wait_s=30) is None, "a living holder is not waited for"
    other = claims.take(str(tmp_path), "net_2")
    assert other is not None
    first.release()
    first.release()
    assert not first.held
    again = claims.take(str(tmp_path), "net")
    assert again is not None
    again.release()
    other.release()
    assert os.listdir(tmp_path) == []


def test_a_forgotten_claim_is_released(tmp_path: Path) -> None:
    held = claims.take(str(tmp_path), "net")
    assert held is not None
    del held
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_the_file_says_who_holds_it(tmp_path: Path) -> None:
    child = other_process(tmp_path)
    holder = claims.holder_of(claims.claim_path(str(tmp_path), "net"))
    assert holder is not None
    assert holder.process.pid == child.pid
    assert holder.process.alive() is True
    assert claims.take(str(tmp_path), "net") is None
    child.communicate("\n")
    assert os.listdir(tmp_path) == []


def test_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    child = other_process(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert os.listdir(tmp_path) == [".net.mindport-run"]
    with_lock = claims.take(str(tmp_path), "net")
    assert with_lock is not None
    holder = claims.holder_of(with_lock.path)
    assert holder is not None
    assert holder.process == process.current()
    with_lock.release()


def test_sweeping_deletes_only_what_nobody_holds(tmp_path: Path) -> None:
    child = other_process(tmp_path)
    child.kill()
    child.communicate()
    held = claims.take(str(tmp_path), "other")
    assert held is not None
    (tmp_path / ".mindport-run").touch()
    (tmp_path / "net.mindport-run").touch()
    claims.sweep(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".other.mindport-run", "net.mindport-run"]
    held.release()
    with pytest.raises(NotADirectory):
        claims.sweep(str(tmp_path / "net.mindport-run"))


FORK = """
import os, sys, time
from mindport.storage import claims
held = claims.take(sys.argv[1], "net")
child = os.fork()
if child == 0:
    held.release()  # does nothing here: it is the parent's
    print("forked", flush=True)
    sys.stdin.readline()
    os._exit(0)
time.sleep(60)
"""


def test_sweeping_leaves_a_claim_that_was_taken_just_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(claims.claim_path(str(tmp_path), "net"))
    path.touch()

    class Racing(system.System):
        def lock(self, fd: int) -> None:
            (tmp_path / "new").write_text("the claim of a living process")
            (tmp_path / "new").replace(path)
            super().lock(fd)

    monkeypatch.setattr(system, "calls", Racing())
    claims.sweep(str(tmp_path))
    assert path.read_text() == "the claim of a living process"


def test_a_forked_child_does_not_hold_the_claim(tmp_path: Path) -> None:
    """A data loader's workers outlive their killed parent for seconds; they must not keep its run."""
    parent = subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "forked\n"
    assert claims.take(str(tmp_path), "net") is None, "the child's release took nothing away"
    parent.kill()
    parent.wait()
    again = claims.take(str(tmp_path), "net")
    assert again is not None, "the child, which still lives, holds nothing"
    again.release()
    parent.communicate("\n")


def test_a_dying_holder_is_waited_for(tmp_path: Path) -> None:
    child = other_process(tmp_path)
    path = Path(claims.claim_path(str(tmp_path), "net"))
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "pid": 1 << 22, "start": 1}))  # locked, but its holder is gone
    began = time.monotonic()
    assert claims.take(str(tmp_path), "net", wait_s=0.3) is None
    assert time.monotonic() - began >= 0.3
    child.kill()
    held = claims.take(str(tmp_path), "net", wait_s=10)
    assert held is not None
    held.release()
    child.communicate()


class NoLocks(system.System):
    """A file system without locks, such as Lustre mounted without ``flock``."""

    def lock(self, fd: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def test_without_locks_exclusive_creation_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "calls", NoLocks())
    held = claims.take(str(tmp_path), "net")
    assert held is not None
    assert claims.take(str(tmp_path), "net") is None
    claims.sweep(str(tmp_path))
    assert os.listdir(tmp_path) == [".net.mindport-run"]
    held.release()
    assert os.listdir(tmp_path) == []


def test_without_locks_only_the_surely_dead_are_succeeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "calls", NoLocks())
    path = Path(claims.claim_path(str(tmp_path), "net"))
    dead = dataclasses.replace(process.current(), start=1)
    elsewhere = dataclasses.replace(dead, world="00000000")
    for text in ("", "no json", "[]", json.dumps({**dataclasses.asdict(elsewhere), "host": "far"})):
        path.write_text(text)
        assert claims.take(str(tmp_path), "net") is None
        claims.sweep(str(tmp_path))
        assert path.read_text() == text
    path.write_text(json.dumps({**dataclasses.asdict(dead), "host": "here"}))
    held = claims.take(str(tmp_path), "net")
    assert held is not None
    held.release()
    path.write_text(json.dumps({**dataclasses.asdict(dead), "host": "here"}))
    claims.sweep(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_without_locks_a_claim_moved_by_mistake_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes see the same dead holder; the slower one moves the faster one's new claim."""
    monkeypatch.setattr(system, "calls", NoLocks())
    path = Path(claims.claim_path(str(tmp_path), "net"))
    living = json.dumps({**dataclasses.asdict(process.current()), "host": "here"})
    path.write_text(living)
    dead = claims.Holder(dataclasses.replace(process.current(), start=1), "here")
    real = claims.holder_of
    monkeypatch.setattr(claims, "holder_of", lambda p: dead if p == str(path) else real(p))
    assert claims._take_over(str(path)) is False
    assert path.read_text() == living
    assert os.listdir(tmp_path) == [path.name]


def test_a_claim_of_another_user_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(system.System):
        def open(self, path: str, flags: int, mode: int = 0o666, dir_fd: int | None = None) -> int:
            if not flags & os.O_CREAT:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
            return super().open(path, flags, mode, dir_fd)

    Path(claims.claim_path(str(tmp_path), "net")).touch()
    monkeypatch.setattr(system, "calls", Theirs())
    assert claims.take(str(tmp_path), "net") is None
    other = claims.take(str(tmp_path), "net_2")
    assert other is not None
    other.release()


def test_a_file_deleted_between_opening_and_locking_is_not_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder before releases just then: a lock on its deleted file would exclude nobody."""
    path = Path(claims.claim_path(str(tmp_path), "net"))
    path.touch()

    class Racing(system.System):
        def lock(self, fd: int) -> None:
            if path.exists() and path.stat().st_size == 0 and os.fstat(fd).st_ino == first:
                path.unlink()
            super().lock(fd)

    first = path.stat().st_ino
    monkeypatch.setattr(system, "calls", Racing())
    held = claims.take(str(tmp_path), "net")
    assert held is not None
    assert path.exists()
    assert claims.take(str(tmp_path), "net") is None
    held.release()


def test_a_directory_that_refuses_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadOnly(system.System):
        def open(self, path: str, flags: int, mode: int = 0o666, dir_fd: int | None = None) -> int:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(system, "calls", ReadOnly())
    with pytest.raises(NoPermission, match="cannot claim"):
        claims.take(str(tmp_path), "net")
