"""Exclusive claims on a name in a directory that end with the process, however it ends.

The claim is a hidden file ``.<name>.mindport-run``, created exclusively and locked (`flock`) for as long as it is held.
The system drops the lock when the process dies, so a killed process blocks nobody: whoever gets the lock of an
existing file has the claim. The file also says who holds it, for the error message, and for file systems without
locks: there the exclusive creation alone decides, and a claim is taken over only from a process of this machine that is
surely dead.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import time
import weakref
from dataclasses import asdict, dataclass

from mindport.errors import storage_error
from mindport.storage import process, system
from mindport.storage.process import Process
from mindport.storage.temporary import new_name

__all__ = ["FileClaim", "Holder", "claim_path", "holder_of", "sweep", "take"]

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_SUFFIX = ".mindport-run"
_POLL_S = 0.05
_VANISHED = -1
_MOST_BYTES = 4096
_open_descriptors: set[int] = set()


@dataclass(frozen=True)
class Holder:
    """Who holds a claim, by the claim's own words."""

    process: Process
    host: str


class FileClaim:
    """A claim that this process holds. Released by `release`, when it is no longer referenced, or when we die."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._end = weakref.finalize(self, _release, path, fd, os.getpid())

    @property
    def held(self) -> bool:
        """False after `release`."""
        return self._end.alive

    def release(self) -> None:
        """Deletes the file and drops the lock; a second call does nothing."""
        self._end()


def claim_path(directory: str, name: str) -> str:
    """Returns where the claim of `name` is kept."""
    return os.path.join(directory, f".{name}{_SUFFIX}")


def take(directory: str, name: str, *, wait_s: float = 0.0) -> FileClaim | None:
    """Claims `name`; None if a living process has it.

    Args:
        directory: an existing directory.
        name: what to claim; a file name.
        wait_s: how long to wait for a holder that is not surely alive.

    Raises:
        StorageError: the directory cannot be written.
    """
    path = claim_path(directory, name)
    until = time.monotonic() + wait_s
    while True:
        try:
            fd = _attempt(path)
        except OSError as exc:
            raise storage_error(exc, "claim", path) from exc
        if fd is not None and fd != _VANISHED:
            return FileClaim(path, fd)
        if fd is None:
            holder = holder_of(path)
            if time.monotonic() >= until or (holder is not None and holder.process.alive()):
                return None
            time.sleep(_POLL_S)


def sweep(directory: str) -> None:
    """Deletes the claims of dead processes.

    Raises:
        StorageError: the directory cannot be listed.
    """
    try:
        names = os.listdir(directory)
    except OSError as exc:
        raise storage_error(exc, "list", directory) from exc
    for name in names:
        if name.startswith(".") and name.endswith(_SUFFIX):
            with contextlib.suppress(OSError):  # what cannot be swept does no harm
                _sweep_one(os.path.join(directory, name))


def _sweep_one(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    _open_descriptors.add(fd)
    try:
        system.calls.lock(fd)
        if _same_file(fd, path):
            system.calls.unlink(path)
    except OSError as exc:
        if exc.errno in _NO_LOCKS:
            _take_over(path)
    finally:
        _close(fd)


def holder_of(path: str) -> Holder | None:
    """Returns who holds a claim; None when the file is gone or does not say."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        told = json.loads(os.pread(fd, _MOST_BYTES, 0))
        who = Process(str(told["world"]), int(told["pid"]), int(told["start"]))
        return Holder(who, str(told["host"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    finally:
        os.close(fd)


def _attempt(path: str) -> int | None:
    """Returns the locked descriptor of the claim's file, None if somebody else has it, `_VANISHED` to look again."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = system.calls.open(path, flags | os.O_EXCL, 0o644)
        created = True
    except FileExistsError:
        created = False
        try:
            fd = system.calls.open(path, flags & ~os.O_CREAT, 0o644)
        except FileNotFoundError:
            return _VANISHED
        except PermissionError:
            return None  # another user's
    _open_descriptors.add(fd)
    outcome: int | None = fd
    try:
        try:
            system.calls.lock(fd)
        except BlockingIOError:
            outcome = None
        except OSError as exc:
            if exc.errno not in _NO_LOCKS:
                raise
            if not created:
                outcome = _VANISHED if _take_over(path) else None
        else:
            # The holder before us may have deleted the file between our open and our lock.
            outcome = fd if _same_file(fd, path) else _VANISHED
        if outcome == fd:
            _write_holder(fd)
    except BaseException:
        _close(fd)
        raise
    if outcome != fd:
        _close(fd)
    return outcome


def _take_over(path: str) -> bool:
    """Without locks: removes the claim of a surely dead process; True if the next attempt may create its own."""
    holder = holder_of(path)
    if holder is None or holder.process.alive() is not False:
        return False
    aside = os.path.join(os.path.dirname(path), new_name())
    try:
        os.rename(path, aside)  # only one of several processes moves this file
    except FileNotFoundError:
        return True
    if holder_of(aside) == holder:
        system.calls.unlink(aside)
        return True
    # Somebody took it over before us, and we moved the new claim: give it back.
    with contextlib.suppress(FileExistsError):
        os.link(aside, path)
    os.unlink(aside)
    return False


def _same_file(fd: int, path: str) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    ours = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _write_holder(fd: int) -> None:
    told = {**asdict(process.current()), "host": platform.node()}
    data = json.dumps(told).encode()
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)


def _release(path: str, fd: int, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child; its copy of the descriptor is closed already
    try:
        if _same_file(fd, path):
            system.calls.unlink(path)
    except OSError:
        pass  # the lock is what counts, and it ends with the descriptor
    finally:
        _close(fd)


def _close(fd: int) -> None:
    _open_descriptors.discard(fd)
    os.close(fd)


def _forget_in_child() -> None:
    """A forked child (a data loader's worker) must not hold its parent's claims beyond the parent's death."""
    for fd in tuple(_open_descriptors):
        _close(fd)


os.register_at_fork(after_in_child=_forget_in_child)
