"""What is known of one checkpoint on disk, and the order of those of a run. No manifest: the files are the truth.

Only the end record of a file is read here (one small read at its end), never its tensors, so that a directory with
thousands of checkpoints is looked through at once. Whether the content is right is for `restore` to find out.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from mindport.checkpoint.names import Key, is_run_prefix
from mindport.errors import FormatError, storage_error
from mindport.formats.ckpt_info import EndRecord, read_end_record
from mindport.formats.ckpt_layout import CRC_BYTES, CRC_MARK, END_FIELD
from mindport.wire.reader import LENGTH
from mindport.wire.writer import key as wire_key
from mindport.wire.writer import varint

__all__ = ["Entry", "end_record_of", "in_order", "keys_in", "look", "names_in", "of_another", "older"]

_END_KEY = wire_key(END_FIELD, LENGTH)
_FIRST_LOOK_BYTES = 16 << 10
_LONGEST_LOOK_BYTES = 16 << 20
_MOST_LISTINGS = 50


@dataclass(frozen=True)
class Entry:
    """One file with a checkpoint's name.

    Attributes:
        key: prefix, epoch and step, as in its name.
        path: where it is.
        nbytes: size of the file.
        saved_at_s: when it was saved, in seconds since 1970, as recorded in it; None when the file does not say. The
            time of its last change is no substitute: a copy has that of the copying.
        total: steps since training began; None when the file does not say.
        metrics: numbers that the writer recorded.
        checksummed: it carries mindport's end record, and so its checksums.
        base: the prefix that its run was asked for, such as ``resnet50``; None when the file does not say.
        changed_at_s: time of the file's last change, in seconds since 1970.
    """

    key: Key
    path: str
    nbytes: int
    saved_at_s: float | None = None
    total: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    checksummed: bool = False
    base: str | None = None
    changed_at_s: float = 0.0


def names_in(directory: str | PathLike[str]) -> list[str]:
    """Returns the names in a directory as they were at one moment, also while somebody saves and prunes there.

    The listing of a large directory takes several system calls; it might miss a new file and the old one deleted for
    it. So it is made again if the directory changed meanwhile.

    Raises:
        MissingFile, NotADirectory, NoPermission: the directory cannot be listed.
    """
    folder = Path(directory)
    names: list[str] = []
    try:
        for _ in range(_MOST_LISTINGS):
            before = folder.stat().st_mtime_ns
            names = [path.name for path in folder.iterdir()]
            if folder.stat().st_mtime_ns == before:
                break
    except OSError as exc:
        raise storage_error(exc, "list", directory) from exc
    return names


def keys_in(directory: str | PathLike[str], prefix: str) -> list[Key]:
    """Returns the keys of all names that are checkpoints of exactly this prefix, by epoch and step.

    Raises:
        as `names_in`.
    """
    return sorted(key for name in names_in(directory) if (key := Key.parse(name, prefix)) is not None)


def look(directory: str | PathLike[str], key: Key) -> Entry:
    """Returns what the file's status and end record say; a file without a readable one is an entry without total.

    Raises:
        MissingFile: it is not there (any more).
        StorageError: its status cannot be read.
    """
    path = str(Path(directory, key.file))
    try:
        status = Path(path).stat()
    except OSError as exc:
        if Path(path).is_symlink():  # it leads nowhere, but it is there
            return Entry(key, path, 0)
        raise storage_error(exc, "look at", path) from exc
    end = end_record_of(path, status.st_size) if stat.S_ISREG(status.st_mode) else None
    if end is None:
        return Entry(key, path, status.st_size, changed_at_s=status.st_mtime)
    total, metrics, base = (end.info.get(name) for name in ("total_step", "metrics", "prefix"))
    return Entry(
        key,
        path,
        status.st_size,
        _time(end.info.get("saved_at_s")),
        total=total if isinstance(total, int) and not isinstance(total, bool) else None,
        metrics={k: v for k, v in metrics.items() if isinstance(v, (int, float))} if isinstance(metrics, dict) else {},
        checksummed=True,
        base=base if isinstance(base, str) else None,
        changed_at_s=status.st_mtime,
    )


def _time(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int of JSON may have any length
        return None


def end_record_of(path: str, size: int) -> EndRecord | None:
    """Returns the end record of a `.ckpt` file, or None if there is none that can be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        want = min(size, _FIRST_LOOK_BYTES)
        while True:
            tail = os.pread(fd, want, size - want)
            found = _end_record_in(tail)
            if found is not None or want == size or want >= _LONGEST_LOOK_BYTES or len(tail) < want:
                return found
            want = min(size, want * 16)
    except OSError:
        return None
    finally:
        os.close(fd)


def _end_record_in(tail: bytes) -> EndRecord | None:
    """Looks backward for a header of the end record whose length reaches exactly to the end."""
    stop = len(tail)
    if tail[-CRC_BYTES:].startswith(CRC_MARK):
        stop -= CRC_BYTES
    at = tail.rfind(_END_KEY, 0, stop)
    while at >= 0:
        for length_bytes in (1, 2, 3, 4):
            start = at + len(_END_KEY) + length_bytes
            if start < stop and tail[at + len(_END_KEY) : start] == varint(stop - start):
                try:
                    return read_end_record(memoryview(tail), start, stop)
                except FormatError:
                    break
        at = tail.rfind(_END_KEY, 0, at)
    return None


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Returns the entries from the oldest to the newest.

    Those that know their steps since training began are ordered by them; the others stand where their epoch and step
    belong.
    """
    known: list[Entry] = []
    unknown: list[Entry] = []
    for entry in entries:
        (unknown if entry.total is None else known).append(entry)
    ordered = sorted(known, key=lambda e: (e.total, e.key))
    for entry in sorted(unknown, key=lambda e: e.key):
        at = next((i for i in range(len(ordered), 0, -1) if ordered[i - 1].key < entry.key), 0)
        ordered.insert(at, entry)
    return ordered


def older(a: Entry, b: Entry) -> bool:
    """True when `a` is surely an earlier state of the same run than `b`."""
    if a.key.prefix != b.key.prefix:
        return False
    if a.total is not None and b.total is not None:
        return a.total < b.total
    return (a.key.epoch, a.key.step) < (b.key.epoch, b.key.step)


def of_another(entry: Entry, base: str | None) -> bool:
    """True when the file says that its run was asked for under another prefix than `base`.

    Only one that can have led to the file's name counts: ``exp_2-1_8.ckpt`` is of the second run of ``exp`` or of the
    first of ``exp_2``. A file under a wholly different name was renamed, and belongs to its new name.
    """
    if base is None or entry.base is None or entry.base == base:
        return False
    return is_run_prefix(entry.key.prefix, entry.base)
