"""Finds the newest checkpoint that verifies; every file passed over is named together with the reason."""

from __future__ import annotations

import contextlib
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from mindport.checkpoint.entries import Entry, in_order, keys_in, look, of_another
from mindport.errors import MindportError, MissingFile, StorageError, printable
from mindport.events import Skipped, emit
from mindport.formats import ckpt

if TYPE_CHECKING:
    from mindport.formats.ckpt import CheckpointFile

__all__ = ["candidates", "newest_valid"]

_MOST_LOOKS = 1000  # nobody saves and prunes so fast that a reader misses this many listings


def candidates(directory: str | PathLike[str], prefix: str) -> list[Entry]:
    """Returns the files with the names of checkpoints of exactly this run prefix, the newest first, not yet verified.

    A missing directory has none. Files that vanish while they are looked at are left out.

    Raises:
        NotADirectory, NoPermission: the directory cannot be listed.
    """
    return _look_at_all(directory, prefix)[0]


def _look_at_all(directory: str | PathLike[str], prefix: str) -> tuple[list[Entry], bool]:
    """Returns the candidates, and whether one vanished since the listing."""
    try:
        keys = keys_in(directory, prefix)
    except MissingFile:
        return [], False
    entries = []
    for key in keys:
        with contextlib.suppress(MissingFile):  # pruned by a writer since the listing
            entries.append(look(directory, key))
    return in_order(entries)[::-1], len(entries) < len(keys)


def newest_valid(
    directory: str | PathLike[str], prefix: str, base: str | None = None
) -> tuple[str, CheckpointFile] | None:
    """Returns path and content of the newest checkpoint whose framing and checksums are right; None if there is none.

    Each file passed over is reported: a `Skipped` event, which is also a warning in the log `mindport`. A file that a
    writer prunes meanwhile is no failure: the directory is listed again.

    Args:
        directory: where the files are.
        prefix: the run's prefix, such as ``resnet50_2``.
        base: the prefix that the run was asked for, such as ``resnet50``; files that name another one are passed over.

    Raises:
        NotADirectory, NoPermission: the directory cannot be listed.
        StorageError: files vanish faster than they can be read.
    """
    refused: set[tuple[str, int, float]] = set()
    for _ in range(_MOST_LOOKS):
        entries, vanished = _look_at_all(directory, prefix)
        for entry in entries:
            if _identity(entry) in refused:
                continue
            if of_another(entry, base):
                refused.add(_identity(entry))
                emit(Skipped(entry.path, f"it is of a run with prefix {printable(str(entry.base))!r}"))
                continue
            try:
                return entry.path, ckpt.read(entry.path, verify=True)
            except MindportError as exc:
                if isinstance(exc, MissingFile) and not Path(entry.path).is_symlink():
                    vanished = True
                    break
                refused.add(_identity(entry))
                emit(Skipped(entry.path, str(exc)))
        if not vanished:
            return None
    raise StorageError(f"the checkpoints in {printable(fspath(directory))} vanish faster than they can be read")


def _identity(entry: Entry) -> tuple[str, int, float]:
    """A file refused once is not read again, unless it was written anew since."""
    return entry.path, entry.nbytes, entry.changed_at_s
