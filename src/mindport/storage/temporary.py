"""Names of temporary files, and what killed processes left of them.

A file being written is called ``.mindport-<world>-<pid>-<start>-<random>.tmp``: hidden, never mistaken for a result,
and it tells who writes it (see `process`). Its writer also holds a lock on it until it is renamed. A left-over file is
deleted only when its writer is surely dead:

- a writer of this machine, boot and container: the process with this id and start time is gone;
- any other writer: nobody holds the lock *and* the file has not changed for an hour (on a network file system whose
  locks do not reach other machines, the lock alone would prove nothing).
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from os import PathLike, fspath

from mindport.errors import storage_error
from mindport.events import log
from mindport.storage import process, system
from mindport.storage.process import Process

__all__ = ["Leftover", "clean", "leftovers", "new_name", "writer_of"]

_NAME = re.compile(r"\.mindport-([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,20})-[0-9a-f]{16}\.tmp", re.ASCII)
_QUIET_S = 3600.0


@dataclass(frozen=True)
class Leftover:
    """A temporary file of mindport. `dead`: its writer is surely gone, and it can be deleted."""

    path: str
    nbytes: int
    dead: bool


def new_name() -> str:
    """Returns a name that no other process and no other call gets."""
    me = process.current()
    return f".mindport-{me.world}-{me.pid}-{me.start}-{secrets.token_hex(8)}.tmp"


def writer_of(name: str) -> Process | None:
    """Returns the process that a temporary name belongs to; None for every other name."""
    match = _NAME.fullmatch(name)
    return None if match is None else Process(match[1], int(match[2]), int(match[3]))


def leftovers(directory: str | PathLike[str]) -> list[Leftover]:
    """Returns the temporary files of mindport in a directory, those of running saves included (`dead` is False).

    Raises:
        MissingFile, NotADirectory, NoPermission: the directory cannot be listed.
    """
    folder = fspath(directory)
    try:
        names = sorted(os.listdir(folder))
    except OSError as exc:
        raise storage_error(exc, "list", folder) from exc
    found = []
    for name in names:
        writer = writer_of(name)
        if writer is None:
            continue
        path = os.path.join(folder, name)
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            alive = writer.alive()
            dead = alive is False or (alive is None and _abandoned(path, status.st_mtime))
            found.append(Leftover(path, status.st_size, dead))
    return found


def clean(directory: str | PathLike[str]) -> list[str]:
    """Deletes the temporary files of surely dead processes and returns their paths; one that resists is logged.

    Raises:
        MissingFile, NotADirectory, NoPermission: the directory cannot be listed.
    """
    gone = []
    for item in leftovers(directory):
        if not item.dead:
            continue
        try:
            system.calls.unlink(item.path)
        except FileNotFoundError:
            continue  # somebody else cleans up too
        except OSError as exc:
            log.warning("cannot delete the left-over file %s: %s", item.path, exc.strerror or exc)
        else:
            log.info("deleted %s (%d bytes), left by a killed process", item.path, item.nbytes)
            gone.append(item.path)
    return gone


def _abandoned(path: str, changed_at_s: float) -> bool:
    """True if nobody locks the file and it was last changed more than an hour ago."""
    if time.time() - changed_at_s < _QUIET_S:
        return False
    try:
        # for writing, because NFS gives exclusive locks to no other descriptors
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        system.calls.lock(fd)
    except OSError:  # held, or a file system without locks: nothing is known
        return False
    finally:
        os.close(fd)
    return True
