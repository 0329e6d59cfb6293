"""A model of a power cut: which directories may be found afterwards, given what was synced and what was not.

The model is the strict reading of POSIX. Content of a file is safe once that file was synced; before, anything may be
found in its place. A name (new, renamed, removed) is safe once the directory was synced; before, each of the changes
since the last sync may have happened or not. Real file systems promise more, so what holds here holds there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindport.storage import system


@dataclass
class Inode:
    """One file: its content as programs see it, and the content that is safe (None: none)."""

    content: bytearray = field(default_factory=bytearray)
    safe: bytes | None = None

    def possible(self) -> list[bytes]:
        if self.safe == self.content:
            return [self.safe]
        whole = bytes(self.content)
        # lost, full of zeros, cut, a hole in the middle, or by luck there
        return [b"", bytes(len(whole)), whole[: len(whole) // 2], whole[:64] + bytes(max(0, len(whole) - 64)), whole]


Change = tuple[str, str, str, Inode | None]  # kind, old name, new name, inode


@dataclass
class Disk:
    """One directory: the names that are safe, and the changes to names since the last sync."""

    safe: dict[str, Inode] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def outcomes(self) -> Iterator[dict[str, Inode]]:
        """Yields directories that may be found: each prefix of the changes, each single loss, each single survivor."""
        count = len(self.pending)
        chosen = {tuple(range(n)) for n in range(count + 1)}
        chosen |= {tuple(i for i in range(count) if i != lost) for lost in range(count)}
        chosen |= {(only,) for only in range(count)}
        for indices in sorted(chosen):
            names = dict(self.safe)
            for index in indices:
                kind, old, new, inode = self.pending[index]
                if kind == "rename":
                    names.pop(old, None)
                if kind in ("create", "rename"):
                    assert inode is not None
                    names[new] = inode
                if kind == "unlink":
                    names.pop(new, None)
            yield names

    def found(self) -> Iterator[dict[str, bytes]]:
        """Yields contents by name: all directories, each with every kind of damage to what was not synced."""
        for names in self.outcomes():
            variants = max((len(inode.possible()) for inode in names.values()), default=1)
            for variant in range(variants):
                yield {n: (p := i.possible())[min(variant, len(p) - 1)] for n, i in names.items()}


class Recorder(system.System):
    """The real system; also keeps the model of one directory, and calls `cut` after every change of it."""

    def __init__(self, directory: Path, cut: Any) -> None:
        self.directory = directory
        self.disk = Disk()
        self.now: dict[str, Inode] = {}
        self.files: dict[int, Inode] = {}
        self.folders: set[int] = set()
        self.cut = cut

    def open(self, path: str, flags: int, mode: int = 0o666, dir_fd: int | None = None) -> int:
        fd = super().open(path, flags, mode, dir_fd)
        self.files.pop(fd, None)
        self.folders.discard(fd)
        if flags & os.O_DIRECTORY:
            if os.path.samefile(path, self.directory):
                self.folders.add(fd)
        elif flags & os.O_CREAT:
            name = os.path.basename(path)
            self.files[fd] = self.now[name] = Inode()
            self.disk.pending.append(("create", "", name, self.now[name]))
            self.cut()
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        count = super().write(fd, data)
        if fd in self.files:
            self.files[fd].content += data[:count]
            self.cut()
        return count

    def fsync(self, fd: int) -> None:
        if fd in self.files:
            self.files[fd].safe = bytes(self.files[fd].content)
        if fd in self.folders:
            self.disk.safe = dict(self.now)
            self.disk.pending.clear()
        self.cut()

    def rename(self, old: str, new: str, dir_fd: int) -> None:
        super().rename(old, new, dir_fd)
        inode = self.now[new] = self.now.pop(old)
        self.disk.pending.append(("rename", old, new, inode))
        self.cut()

    def rename_new(self, old: str, new: str, dir_fd: int) -> None:
        super().rename_new(old, new, dir_fd)
        inode = self.now[new] = self.now.pop(old)
        self.disk.pending.append(("rename", old, new, inode))
        self.cut()

    def unlink(self, path: str, dir_fd: int | None = None) -> None:
        super().unlink(path, dir_fd)
        name = os.path.basename(path)
        if name in self.now:
            del self.now[name]
            self.disk.pending.append(("unlink", "", name, None))
            self.cut()
