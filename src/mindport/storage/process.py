"""Which process this is, and whether another one still lives: boot, process id and start time, not the id alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "current"]


@dataclass(frozen=True)
class Process:
    """A process, told apart from every other one, also a later one with the same id.

    Attributes:
        world: 8 hexadecimal digits for the boot of the machine and the process id namespace (the container).
        pid: process id inside `world`.
        start: its start in clock ticks since boot; 0 where the system does not tell.
    """

    world: str
    pid: int
    start: int

    def alive(self) -> bool | None:
        """True or False when this can be known; None for a process of another machine, boot or container."""
        if self.world != _world():
            return None
        found = _stat(self.pid)
        if found is None:
            return _answers(self.pid) if self.start == 0 else False
        state, start = found
        return start == self.start and state not in {"Z", "X", "x"}


def current() -> Process:
    """Returns this process."""
    pid = os.getpid()
    found = _stat(pid)
    return Process(_world(), pid, 0 if found is None else found[1])


def _world() -> str:
    boot = namespace = ""
    with contextlib.suppress(OSError):  # no /proc: the machine's name has to do
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = os.readlink("/proc/self/ns/pid")
    return hashlib.blake2b(f"{platform.node()}\0{boot}\0{namespace}".encode(), digest_size=4).hexdigest()


def _stat(pid: int) -> tuple[str, int] | None:
    """Returns `(state letter, start time)` of a process, or None if there is none (or no /proc)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
        fields = text.rpartition(b")")[2].split()  # the name before it may hold spaces and parentheses
        return fields[0].decode("ascii"), int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
