"""Writes a file so that it is there whole, or not at all, and survives a power cut once `commit` has returned.

The order is the whole point: unique temporary name in the same directory, write all, fsync, close, rename, fsync the
directory, return. `docs/concepts/durability.md` says what each step is for and what is assumed of the system.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from os import PathLike, fspath
from typing import Literal, NoReturn

from mindport.errors import (
    AlreadyExists,
    MissingFile,
    NotADirectory,
    NotAFile,
    NotDurable,
    StorageError,
    UsageError,
    WrongTypeError,
    printable,
    storage_error,
)
from mindport.events import log
from mindport.storage import system
from mindport.storage.temporary import new_name

__all__ = ["Chunk", "Durability", "commit", "make_directory"]

Chunk = bytes | bytearray | memoryview
Durability = Literal["power", "process"]

_JOIN_BYTES = 1 << 20  # chunks shorter than this are joined, so that many tiny ones are not many system calls
_CANNOT_SYNC_DIRECTORIES = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_CANNOT_RENAME_NEW = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_warned_directories: set[str] = set()


def commit(
    path: str | PathLike[str],
    chunks: Iterable[Chunk] | Chunk,
    *,
    overwrite: bool = True,
    durability: Durability = "power",
    mode: int | None = None,
) -> int:
    """Writes a file atomically and returns its size in bytes.

    Until the end, `path` names what it named before. On any failure, an interrupt or an error of the iterator included,
    it still does, and the temporary file is removed. A symbolic link at `path` is replaced, not followed.

    Args:
        path: the file to write; its directory must exist.
        chunks: its content. A chunk is written before the next one is asked for, so one buffer may be used again.
        overwrite: replace an existing file; if False, an existing file is an error, also one that appears meanwhile.
        durability: ``"power"`` waits for the device, so that the file survives a power cut; ``"process"`` does not
            wait, and the file survives only the death of the process.
        mode: permissions of the file, less the umask. By default those of the file it replaces, else ``0o666``.

    Raises:
        MissingFile, NotADirectory: the directory does not exist or is none.
        NotAFile: `path` is a directory, pipe or device.
        AlreadyExists: `path` exists and `overwrite` is False.
        NoPermission, NoSpace, StorageError: the system refused.
        NotDurable: a sync failed. If that of the directory failed, the whole file is in place, but a power cut may
            take it back; otherwise nothing is in place. It is never tried again on the same file, because after a
            failed sync the system may have dropped the data: write it anew.
    """
    target = _Target(path, durability)
    if isinstance(chunks, str):
        raise WrongTypeError("the content of a file must be bytes, not text")
    try:
        bits = target.permissions(overwrite, mode)
        return target.write([chunks] if isinstance(chunks, (bytes, bytearray, memoryview)) else chunks, overwrite, bits)
    finally:
        target.close()


def make_directory(path: str | PathLike[str]) -> str:
    """Makes a directory with its missing parents, durably, and returns its path; an existing one is left as it is.

    Raises:
        NotADirectory: a file stands there or on the way.
        NoPermission, NoSpace, StorageError: the system refused.
    """
    folder = _checked(path)
    missing = []
    at = folder.rstrip("/") or "/"
    while at and not os.path.lexists(at):
        missing.append(at)
        at = os.path.dirname(at)
    for name in reversed(missing):
        try:
            system.calls.mkdir(name)
        except FileExistsError:
            continue  # another process makes it too
        except OSError as exc:
            raise storage_error(exc, "make the directory", name) from exc
        _sync_folder_of(name)
    if not os.path.isdir(folder):
        raise NotADirectory(f"{printable(folder)} is a file; a directory is needed", path=folder)
    return folder


def _checked(path: object) -> str:
    if not isinstance(path, (str, PathLike)):
        raise WrongTypeError(f"a path is needed, not {type(path).__name__}")
    name = fspath(path)
    if not isinstance(name, str):
        raise WrongTypeError("a path of type str is needed, not bytes")
    if not name or "\0" in name:
        raise UsageError("a path must not be empty or hold a NUL character")
    return name


class _NameTakenError(Exception):
    """Something stands under the temporary name already; nothing was written."""


class _Target:
    """One file to be written: its directory, opened once and used for every step, and its name in there."""

    def __init__(self, path: object, durability: str) -> None:
        if durability not in ("power", "process"):
            raise UsageError(f"durability must be 'power' or 'process', not {durability!r}")
        self.path = _checked(path)
        self.power = durability == "power"
        self.folder, self.name = os.path.split(self.path)
        if self.name in ("", ".", ".."):
            raise NotAFile(f"{printable(self.path)} is a directory; the name of a file is needed", path=self.path)
        self.dir_fd = -1
        try:
            self.dir_fd = system.calls.open(self.folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            self._no_folder(exc)

    def _no_folder(self, exc: OSError) -> NoReturn:
        folder = printable(self.folder)
        if isinstance(exc, FileNotFoundError):
            raise MissingFile(
                f"cannot write {printable(self.path)}: the directory {folder} does not exist; make it first",
                errno_=exc.errno,
                path=self.path,
            ) from exc
        if isinstance(exc, NotADirectoryError):
            raise NotADirectory(
                f"cannot write {printable(self.path)}: {folder} is not a directory", errno_=exc.errno, path=self.path
            ) from exc
        raise storage_error(exc, "write", self.path) from exc

    def permissions(self, overwrite: bool, mode: int | None) -> tuple[int, bool]:
        """Returns `(mode, exact)` for the new file, after a look at what stands there now.

        A pipe or device is refused: rename would put a file in its place (`/dev/stdout` would be gone).
        """
        try:
            there = os.stat(self.name, dir_fd=self.dir_fd, follow_symlinks=False)
            seen = os.stat(self.name, dir_fd=self.dir_fd) if stat.S_ISLNK(there.st_mode) else there
        except FileNotFoundError:
            return (0o666 if mode is None else mode), False
        except OSError as exc:
            raise storage_error(exc, "write", self.path) from exc
        if not stat.S_ISREG(seen.st_mode):
            kind = "a directory" if stat.S_ISDIR(seen.st_mode) else "a pipe, socket or device"
            raise NotAFile(f"cannot write {printable(self.path)}: it is {kind}", path=self.path)
        if not overwrite:
            raise AlreadyExists(f"{printable(self.path)} exists already", errno_=errno.EEXIST, path=self.path)
        if mode is not None or there is not seen:
            return (0o666 if mode is None else mode), False
        return stat.S_IMODE(there.st_mode) & 0o777, True

    def write(self, chunks: Iterable[Chunk], overwrite: bool, bits: tuple[int, bool]) -> int:
        """Writes a temporary file, puts it in place, and syncs the directory."""
        while True:
            try:
                nbytes = self._write_under(new_name(), chunks, overwrite, bits)
            except _NameTakenError:
                continue
            self._sync_directory()
            return nbytes

    def _write_under(self, temp: str, chunks: Iterable[Chunk], overwrite: bool, bits: tuple[int, bool]) -> int:
        """Writes the temporary file and puts it in place; removes it if anything goes wrong before that."""
        lock_fd = -1
        try:
            nbytes, lock_fd = self._fill(temp, chunks, bits)
            self._put(temp, overwrite)
        except _NameTakenError:  # a file of somebody else: not ours to remove
            raise
        except BaseException as exc:
            self._remove(temp, exc)
            raise
        finally:
            if lock_fd >= 0:
                _close_quietly(lock_fd)
        return nbytes

    def _fill(self, temp: str, chunks: Iterable[Chunk], bits: tuple[int, bool]) -> tuple[int, int]:
        """Returns `(bytes written, a descriptor that keeps the lock)`; the content is synced, its descriptor closed."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        lock_fd = -1
        try:
            fd = system.calls.open(temp, flags, bits[0], self.dir_fd)
        except FileExistsError:
            raise _NameTakenError from None
        except OSError as exc:
            raise storage_error(exc, "write", self.path) from exc
        try:
            lock_fd = self._lock(fd)
            if bits[1]:
                _set_mode(fd, bits[0])
            nbytes = self._write_all(fd, chunks)
            if self.power:
                self._sync(fd)
        except BaseException:
            _close_quietly(fd)
            if lock_fd >= 0:
                _close_quietly(lock_fd)
            raise
        try:
            system.calls.close(fd)
        except BaseException as exc:
            if lock_fd >= 0:
                _close_quietly(lock_fd)
            if not isinstance(exc, OSError):
                raise
            self._not_durable(exc, "finish writing")  # network file systems report lost data only here
        return nbytes, lock_fd

    def _lock(self, fd: int) -> int:
        """Locks the temporary file until the returned descriptor is closed; -1 where there are no locks.

        The second descriptor lets the first be closed, and its result be checked, before the rename.
        """
        try:
            system.calls.lock(fd)
            return system.calls.dup(fd)
        except OSError:
            return -1

    def _write_all(self, fd: int, chunks: Iterable[Chunk]) -> int:
        nbytes = 0
        held = bytearray()
        for chunk in chunks:
            view = memoryview(chunk)
            if view.nbytes == 0:
                continue
            nbytes += view.nbytes
            if held and len(held) + view.nbytes > _JOIN_BYTES:
                self._write(fd, memoryview(held))
                held = bytearray()
            if view.nbytes < _JOIN_BYTES:
                held += view.cast("B")
            else:
                self._write(fd, view.cast("B"))
        if held:
            self._write(fd, memoryview(held))
        return nbytes

    def _write(self, fd: int, view: memoryview) -> None:
        """Writes all of it; one call may write less than it was given."""
        while view:
            try:
                count = system.calls.write(fd, view)
            except OSError as exc:
                raise storage_error(exc, "write", self.path) from exc
            if count <= 0:
                raise StorageError(f"cannot write {printable(self.path)}: the system takes no data", path=self.path)
            view = view[count:]

    def _sync(self, fd: int) -> None:
        try:
            system.calls.fsync(fd)
        except OSError as exc:
            self._not_durable(exc, "make durable")

    def _not_durable(self, exc: OSError, what: str) -> NoReturn:
        cause = exc.strerror or str(exc)
        raise NotDurable(
            f"cannot {what} {printable(self.path)}: {cause}; nothing was put in place",
            errno_=exc.errno,
            path=self.path,
        ) from exc

    def _put(self, temp: str, overwrite: bool) -> None:
        try:
            if overwrite:
                system.calls.rename(temp, self.name, self.dir_fd)
            else:
                self._put_new(temp)
        except OSError as exc:
            if isinstance(exc, FileExistsError):
                raise AlreadyExists(
                    f"{printable(self.path)} exists already: another process wrote it meanwhile",
                    errno_=exc.errno,
                    path=self.path,
                ) from exc
            raise storage_error(exc, "put in place", self.path) from exc

    def _put_new(self, temp: str) -> None:
        try:
            system.calls.rename_new(temp, self.name, self.dir_fd)
        except OSError as exc:
            if exc.errno not in _CANNOT_RENAME_NEW:
                raise
            system.calls.link(temp, self.name, self.dir_fd)
            self._remove(temp, None)

    def _remove(self, temp: str, cause: BaseException | None) -> None:
        """Deletes the temporary file if it is there; a failure is logged: the error that led here matters more."""
        try:
            system.calls.unlink(temp, self.dir_fd)
        except FileNotFoundError:
            pass
        except OSError as exc:
            left = os.path.join(self.folder, temp)
            log.warning("cannot delete the temporary file %s (%s) after: %s", left, exc.strerror or exc, cause)

    def _sync_directory(self) -> None:
        if not self.power:
            return
        try:
            system.calls.fsync(self.dir_fd)
        except OSError as exc:
            if exc.errno in _CANNOT_SYNC_DIRECTORIES:
                _warn_once(self.folder or ".", exc)
                return
            raise NotDurable(
                f"{printable(self.path)} is written, but a power cut may take it back: its directory cannot be made "
                f"durable: {exc.strerror or exc}",
                errno_=exc.errno,
                path=self.path,
            ) from exc

    def close(self) -> None:
        """Closes the directory."""
        if self.dir_fd >= 0:
            _close_quietly(self.dir_fd)


def _sync_folder_of(name: str) -> None:
    parent = os.path.dirname(name) or "."
    try:
        fd = system.calls.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise storage_error(exc, "open", parent) from exc
    try:
        system.calls.fsync(fd)
    except OSError as exc:
        if exc.errno not in _CANNOT_SYNC_DIRECTORIES:
            raise NotDurable(
                f"cannot make the directory {printable(name)} durable: {exc.strerror or exc}",
                errno_=exc.errno,
                path=name,
            ) from exc
        _warn_once(parent, exc)
    finally:
        _close_quietly(fd)


def _warn_once(folder: str, exc: OSError) -> None:
    if folder not in _warned_directories:
        _warned_directories.add(folder)
        log.warning("the file system of %s cannot sync directories (%s); it has to do so itself", folder, exc.strerror)


def _set_mode(fd: int, mode: int) -> None:
    """Undoes the umask for a file that replaces another one; a file system without permissions refuses, and may."""
    try:
        system.calls.fchmod(fd, mode)
    except OSError as exc:
        log.debug("cannot set permissions: %s", exc)


def _close_quietly(fd: int) -> None:
    try:
        system.calls.close(fd)
    except OSError as exc:
        log.debug("closing a descriptor failed: %s", exc)
