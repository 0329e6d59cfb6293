"""Every system call with which mindport changes a file system, in one place, so that tests can make each of them fail.

Code calls ``system.calls.<name>``; a test puts another object with the same methods into `calls`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
from typing import Any

__all__ = ["System", "calls"]

_RENAME_NOREPLACE = 1


class System:
    """The real thing. All methods raise OSError as the functions of `os` do."""

    def open(self, path: str, flags: int, mode: int = 0o666, dir_fd: int | None = None) -> int:
        """As `os.open`."""
        return os.open(path, flags, mode, dir_fd=dir_fd)

    def write(self, fd: int, data: memoryview) -> int:
        """As `os.write`: may write less than all."""
        return os.write(fd, data)

    def fchmod(self, fd: int, mode: int) -> None:
        """As `os.fchmod`."""
        os.fchmod(fd, mode)

    def fsync(self, fd: int) -> None:
        """Waits until the device has the content; `F_FULLFSYNC` where fsync alone leaves it in the drive's cache."""
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is None:
            os.fsync(fd)
        else:
            fcntl.fcntl(fd, full)

    def lock(self, fd: int) -> None:
        """Takes an exclusive lock that ends with the open file; BlockingIOError when somebody else has it."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def dup(self, fd: int) -> int:
        """As `os.dup`."""
        return os.dup(fd)

    def close(self, fd: int) -> None:
        """As `os.close`."""
        os.close(fd)

    def rename(self, old: str, new: str, dir_fd: int) -> None:
        """As `os.rename`, inside one directory: replaces an existing `new`."""
        os.rename(old, new, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    def rename_new(self, old: str, new: str, dir_fd: int) -> None:
        """As `rename`, but FileExistsError if `new` exists. ENOSYS or EINVAL where the system cannot do that."""
        function = _renameat2()
        if function is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if function(dir_fd, os.fsencode(old), dir_fd, os.fsencode(new), _RENAME_NOREPLACE) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), new)

    def link(self, old: str, new: str, dir_fd: int) -> None:
        """As `os.link`, inside one directory: FileExistsError if `new` exists."""
        os.link(old, new, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)

    def unlink(self, path: str, dir_fd: int | None = None) -> None:
        """As `os.unlink`."""
        os.unlink(path, dir_fd=dir_fd)

    def mkdir(self, path: str) -> None:
        """As `os.mkdir`, with the permissions of the umask."""
        os.mkdir(path)


@functools.cache
def _renameat2() -> Any:
    """Returns the C library's renameat2 (Linux, glibc 2.28 or musl 1.2.6 on), or None."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function


calls = System()
"""What the rest of mindport calls."""
