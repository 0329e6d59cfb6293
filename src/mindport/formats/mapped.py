"""Opens files to read: regular files only, mapped privately, so that a live tensor never sees a later change.

A map is private (copy on write): writing to an array made from it changes memory, never the file. A file that is
replaced by rename, as `storage.atomic` does it, leaves existing maps on the old content. (A file that somebody
truncates in place under a live map cannot be protected against; no writer of mindport does that.)
"""

from __future__ import annotations

import mmap
import os
import stat
import sys
import zipfile
from os import PathLike, fspath

from mindport.errors import CorruptFile, NotAFile, TruncatedFile, UsageError, WrongTypeError, printable, storage_error

__all__ = ["head_of", "is_zip", "map_file", "map_private", "open_regular"]

# A private writable map of a file larger than memory must not be refused for the copies nobody will make.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000) if sys.platform == "linux" else 0


def open_regular(path: str | PathLike[str]) -> tuple[int, int]:
    """Returns `(file descriptor, size in bytes)` of a regular file opened for reading; the caller closes it.

    Raises:
        WrongTypeError: `path` is no path.
        MissingFile, NoPermission, StorageError: it cannot be opened.
        NotAFile: it is a directory, pipe, socket or device; nothing is read from it.
    """
    name = _name(path)
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not wait
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise storage_error(exc, "open", name) from exc
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
            raise NotAFile(f"{printable(name)} is {kind}; a regular file is needed", path=name)
    except BaseException:
        os.close(fd)
        raise
    return fd, status.st_size


def _name(path: str | PathLike[str]) -> str:
    try:
        name = fspath(path)
    except TypeError as exc:
        raise WrongTypeError(f"a path is needed, not {type(path).__name__}") from exc
    if not isinstance(name, str):
        raise WrongTypeError("a path of type str is needed, not bytes")
    if "\0" in name or not name:
        raise UsageError("a path must not be empty or hold a NUL character")
    return name


def map_private(fd: int, size: int, path: str | PathLike[str]) -> memoryview:
    """Returns the file's content as a writable memoryview that is private to this process. `size` is not 0."""
    try:
        if _NORESERVE:
            flags = mmap.MAP_PRIVATE | _NORESERVE
            return memoryview(mmap.mmap(fd, size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE))
        return memoryview(mmap.mmap(fd, size, access=mmap.ACCESS_COPY))
    except OSError as exc:
        raise storage_error(exc, "map", path) from exc
    except ValueError as exc:  # the file shrank between fstat and mmap
        raise TruncatedFile(f"the file changed while it was opened: {exc}", path=path) from exc


def map_file(path: str | PathLike[str]) -> memoryview:
    """Returns the content of a regular file, mapped; an empty file gives an empty view.

    Raises:
        as `open_regular`.
    """
    fd, size = open_regular(path)
    try:
        return map_private(fd, size, path) if size else memoryview(b"")
    finally:
        os.close(fd)  # the map keeps its own reference


def head_of(path: str | PathLike[str], limit_bytes: int) -> bytes:
    """Returns the first `limit_bytes` bytes of a regular file (fewer if it is shorter). Raises as `open_regular`."""
    fd, _ = open_regular(path)
    try:
        return os.pread(fd, limit_bytes, 0)
    except OSError as exc:
        raise storage_error(exc, "read", path) from exc
    finally:
        os.close(fd)


def is_zip(path: str | PathLike[str]) -> bool:
    """Says whether the file ends as a zip archive does. Raises CorruptFile where that end contradicts itself."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile as exc:
        raise CorruptFile(f"the archive's end record is damaged: {exc}", path=path) from exc
