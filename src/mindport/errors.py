"""Every error that a file or a user can cause, with a stable id and an exit code.

::

    MindportError
     ├── UsageError (ValueError)                 exit 2   the call itself is wrong
     │    └── WrongTypeError (TypeError)
     ├── MissingExtra (ImportError)              exit 3   an optional dependency is not installed
     ├── Unsupported (ValueError)                exit 3   a sound input that mindport cannot express
     │    ├── UnsupportedOps
     │    └── UnsupportedDType
     ├── FormatError (ValueError)                exit 4   a file says something it must not
     │    ├── UnrecognisedFormat
     │    ├── TruncatedFile
     │    ├── CorruptFile
     │    └── ChecksumMismatch
     ├── StorageError (OSError)                  exit 5   the file system refused
     │    ├── MissingFile (FileNotFoundError)
     │    ├── NotAFile (IsADirectoryError)
     │    ├── NotADirectory (NotADirectoryError)
     │    ├── AlreadyExists (FileExistsError)
     │    ├── NoPermission (PermissionError)
     │    ├── NoSpace
     │    ├── NotDurable
     │    └── InUse (BlockingIOError)
     ├── RestoreError (RuntimeError)             exit 1   a checkpoint does not fit
     │    ├── NothingToResume
     │    ├── StateMismatch
     │    └── MatchError
     └── CheckFailed (RuntimeError)              exit 1   a comparison or proof found a difference

Ids are never reused. `docs/errors.md` has a line for each of them (kept complete by a test).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath

__all__ = [
    "AlreadyExists",
    "CheckFailed",
    "ChecksumMismatch",
    "CorruptFile",
    "FormatError",
    "InUse",
    "MatchError",
    "MindportError",
    "MissingExtra",
    "MissingFile",
    "NoPermission",
    "NoSpace",
    "NotADirectory",
    "NotAFile",
    "NotDurable",
    "NothingToResume",
    "RestoreError",
    "StateMismatch",
    "StorageError",
    "TruncatedFile",
    "UnrecognisedFormat",
    "Unsupported",
    "UnsupportedDType",
    "UnsupportedOp",
    "UnsupportedOps",
    "UsageError",
    "WrongTypeError",
    "printable",
    "storage_error",
]


def printable(text: str | bytes, limit: int = 200) -> str:
    """Returns `text` safe for one line of a terminal: control characters escaped, cut at `limit` characters.

    Protobuf hands out bytes for text that is no UTF-8; they are escaped too.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class MindportError(Exception):
    """Base of every error mindport raises on purpose.

    Attributes:
        id: stable identifier such as ``MP4003``; documented in ``docs/errors.md``.
        exit_code: what the command line exits with.
    """

    id = "MP0000"
    exit_code = 1


class UsageError(MindportError, ValueError):
    """An argument has a value that makes no sense here."""

    id = "MP2001"
    exit_code = 2


class WrongTypeError(UsageError, TypeError):
    """An argument has the wrong type."""

    id = "MP2002"


class MissingExtra(MindportError, ImportError):
    """An optional dependency is needed and not installed; the message holds the exact install line."""

    id = "MP3001"
    exit_code = 3


class Unsupported(MindportError, ValueError):
    """The input is sound, but mindport (or the target format) cannot express it."""

    id = "MP3002"
    exit_code = 3


class UnsupportedDType(Unsupported):
    """A dtype has no counterpart in the target format or framework."""

    id = "MP3004"


@dataclass(frozen=True)
class UnsupportedOp:
    """One operator that cannot be converted.

    Attributes:
        op: operator name with its domain when that is not the default, e.g. ``NonMaxSuppression``.
        reason: why, in words.
        nodes: paths of the nodes concerned, in graph order.
        hint: what the user could do instead; empty when there is nothing to say.
    """

    op: str
    reason: str
    nodes: tuple[str, ...] = ()
    hint: str = ""


class UnsupportedOps(Unsupported):
    """Every operator of one graph that cannot be converted, all listed at once.

    Attributes:
        target: name of the target format, e.g. ``MINDIR``.
        ops: one entry per operator and reason.
    """

    id = "MP3003"

    def __init__(self, target: str, ops: Sequence[UnsupportedOp]) -> None:
        self.target = target
        self.ops = tuple(ops)
        lines = [f"{len(self.ops)} operator problem(s) prevent conversion to {target}:"]
        for op in self.ops:
            lines.append(f"  {op.op} × {max(1, len(op.nodes))}: {op.reason}")
            if op.nodes:
                shown = ", ".join(printable(n) for n in op.nodes[:5])
                more = f" (+{len(op.nodes) - 5} more)" if len(op.nodes) > 5 else ""
                lines.append(f"    at {shown}{more}")
            if op.hint:
                lines.append(f"    hint: {op.hint}")
        super().__init__("\n".join(lines))


class FormatError(MindportError, ValueError):
    """A file is not what it should be. `path` and `offset` (bytes from the start) are set when known."""

    id = "MP4000"
    exit_code = 4

    def __init__(self, message: str, *, path: str | PathLike[str] | None = None, offset: int | None = None) -> None:
        self.reason = message
        self.path = None if path is None else fspath(path)
        self.offset = offset
        where = "" if self.path is None else f"{printable(self.path)}: "
        at = "" if offset is None else f" (at byte {offset})"
        super().__init__(f"{where}{message}{at}")

    def at(self, path: str | PathLike[str]) -> FormatError:
        """Returns the same error with the file's path filled in (keeps an earlier one)."""
        if self.path is not None:
            return self
        return type(self)(self.reason, path=path, offset=self.offset)


class UnrecognisedFormat(FormatError):
    """No known format matches the content."""

    id = "MP4001"


class TruncatedFile(FormatError):
    """The file ends before something it announced."""

    id = "MP4002"


class CorruptFile(FormatError):
    """The file contradicts its format or itself."""

    id = "MP4003"


class ChecksumMismatch(CorruptFile):
    """The structure is sound, but the content is not what was written."""

    id = "MP4004"


class StorageError(MindportError, OSError):
    """The file system refused an operation; `errno` and `filename` are set where the system gave them."""

    id = "MP5000"
    exit_code = 5

    def __init__(self, message: str, *, errno_: int | None = None, path: str | PathLike[str] | None = None) -> None:
        super().__init__(message)
        self.errno = errno_
        self.filename = None if path is None else fspath(path)
        self.message = message

    def __str__(self) -> str:
        return self.message


class MissingFile(StorageError, FileNotFoundError):
    """The file or directory does not exist."""

    id = "MP5001"


class NotAFile(StorageError, IsADirectoryError):
    """A regular file is needed; a directory, pipe or device stands there."""

    id = "MP5002"


class NotADirectory(StorageError, NotADirectoryError):
    """A directory is needed and a file stands there."""

    id = "MP5003"


class AlreadyExists(StorageError, FileExistsError):
    """The target exists and overwriting was not asked for."""

    id = "MP5004"


class NoPermission(StorageError, PermissionError):
    """The system denies access, or the file system is read-only."""

    id = "MP5005"


class NoSpace(StorageError):
    """The disk, a quota or a size limit is exhausted."""

    id = "MP5006"


class NotDurable(StorageError):
    """The data were written but the system could not promise that they survive a power cut."""

    id = "MP5007"


class InUse(StorageError, BlockingIOError):
    """Another living process is writing the same run."""

    id = "MP5008"


class RestoreError(MindportError, RuntimeError):
    """A checkpoint is sound but does not fit what it is loaded into."""

    id = "MP1001"
    exit_code = 1


class NothingToResume(RestoreError):
    """No valid checkpoint was found."""

    id = "MP1002"


class StateMismatch(RestoreError):
    """Optimizer, scheduler, data position or other state does not fit the objects of this run."""

    id = "MP1003"


class MatchError(RestoreError):
    """Parameter shapes or dtypes do not fit the network; nothing was assigned.

    `report` is the `mindport.checkpoint.match.Match` that lists them under `mismatched`, where there is one.
    """

    id = "MP1004"
    report: object = None


class CheckFailed(MindportError, RuntimeError):
    """A proof or comparison was made and found a difference."""

    id = "MP1005"
    exit_code = 1


_BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOENT: MissingFile,
    errno.EISDIR: NotAFile,
    errno.ENOTDIR: NotADirectory,
    errno.EEXIST: AlreadyExists,
    errno.EACCES: NoPermission,
    errno.EPERM: NoPermission,
    errno.EROFS: NoPermission,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: NoSpace,
}


def storage_error(exc: OSError, what: str, path: str | PathLike[str]) -> StorageError:
    """Returns the StorageError subclass for `exc`, worded "cannot <what> <path>: <cause>"."""
    cls = _BY_ERRNO.get(exc.errno or 0, StorageError)
    cause = exc.strerror or str(exc) or type(exc).__name__
    return cls(f"cannot {what} {printable(fspath(path))}: {cause}", errno_=exc.errno, path=path)
