"""Makes any one system call of a save fail, stop half-way, or kill the process, and judges what is left on the disk."""

from __future__ import annotations

import errno
import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mindport.checkpoint import policy, restore, runs
from mindport.checkpoint.names import Key
from mindport.checkpoint.saver import Saver
from mindport.formats import ckpt
from mindport.storage import system
from mindport.storage.temporary import leftovers

STEPS_IN_EPOCH = 4
BEFORE = 6
"""Saves made before the one in which the fault strikes: more than keep=5 keeps, so that this one prunes."""

BIG = BEFORE + 1

KEEPS: dict[str, policy.Keep] = {"keep1": policy.Latest(1), "keep5": policy.Latest(5), "all": policy.All()}
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EFBIG")}


@functools.cache
def weights(step: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """The network after `step` steps; each seventh a little over 1 MiB, so that its save has several writes."""
    rng = np.random.default_rng([step, seed])
    return {
        "conv.weight": rng.standard_normal((5, 3, 3, 2)).astype(np.float32),
        "fc.weight": rng.standard_normal((7, 40_001 if step % BIG == 0 else 41)).astype(np.float32),
        "steps": np.array(step, np.int64),
    }


def key_of(prefix: str, total: int) -> Key:
    return Key(prefix, (total - 1) // STEPS_IN_EPOCH + 1, (total - 1) % STEPS_IN_EPOCH + 1)


def save(saver: Saver, total: int, seed: int = 0) -> None:
    saver.save(key_of(saver.prefix, total), weights(total, seed), {"total_step": total})


class Faulty(system.System):
    """The real system, except that call number `at` (from 0) meets `fault`; counts and names all calls.

    Syncs are left out: none of the faults here is a power cut, for which `powercut` has a model.
    """

    def __init__(self, at: int = -1, fault: Callable[[Call], Any] | None = None) -> None:
        self.at = at
        self.fault = fault
        self.names: list[str] = []

    def _call(self, name: str, *args: Any) -> Any:
        self.names.append(name)
        real = (lambda *_: None) if name == "fsync" else getattr(super(), name)
        if self.fault is not None and len(self.names) - 1 == self.at:
            return self.fault(Call(name, real, args))
        return real(*args)

    def open(self, *a: Any) -> Any:
        return self._call("open", *a)

    def write(self, *a: Any) -> Any:
        return self._call("write", *a)

    def fchmod(self, *a: Any) -> Any:
        return self._call("fchmod", *a)

    def fsync(self, *a: Any) -> Any:
        return self._call("fsync", *a)

    def lock(self, *a: Any) -> Any:
        return self._call("lock", *a)

    def dup(self, *a: Any) -> Any:
        return self._call("dup", *a)

    def close(self, *a: Any) -> Any:
        return self._call("close", *a)

    def rename(self, *a: Any) -> Any:
        return self._call("rename", *a)

    def rename_new(self, *a: Any) -> Any:
        return self._call("rename_new", *a)

    def link(self, *a: Any) -> Any:
        return self._call("link", *a)

    def unlink(self, *a: Any) -> Any:
        return self._call("unlink", *a)

    def mkdir(self, *a: Any) -> Any:
        return self._call("mkdir", *a)


class Call:
    """One system call that a fault may make, refuse, or make in part."""

    def __init__(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.name, self.real, self.args = name, real, args

    def do(self) -> Any:
        return self.real(*self.args)

    def half(self) -> Any:
        """A write of half the data; other calls are atomic, so: nothing."""
        if self.name != "write":
            return None
        fd, data = self.args
        return self.real(fd, data[: max(1, len(data) // 2)])


def failing(code: int) -> Callable[[Call], Any]:
    def fault(call: Call) -> Any:
        if call.name == "close":
            call.do()  # a failed close closes all the same
        raise OSError(code, os.strerror(code))

    return fault


def failing_half_way(code: int) -> Callable[[Call], Any]:
    def fault(call: Call) -> Any:
        call.half()
        raise OSError(code, os.strerror(code))

    return fault


def interrupted(after: bool) -> Callable[[Call], Any]:
    def fault(call: Call) -> Any:
        if after or call.name == "close":
            call.do()
        raise KeyboardInterrupt

    return fault


def short(call: Call) -> Any:
    return call.half() if call.name == "write" else call.do()


def killed(when: str, number: int = signal.SIGKILL) -> Callable[[Call], Any]:
    """Kills this very process before, within or after the call."""

    def fault(call: Call) -> Any:
        if when == "within":
            call.half()
        if when == "after":
            call.do()
        os.kill(os.getpid(), number)
        raise AssertionError("survived")

    return fault


@contextmanager
def installed(calls: system.System) -> Iterator[None]:
    previous = system.calls
    system.calls = calls
    try:
        yield
    finally:
        system.calls = previous


def prepare(directory: str | Path, keep: policy.Keep, before: int = BEFORE) -> tuple[runs.Claim, Saver]:
    """A run with `before` saves behind it."""
    claim = runs.claim_new(directory, "net")
    saver = Saver(directory, claim.prefix, keep, claim=claim)
    for total in range(1, before + 1):
        save(saver, total)
    return claim, saver


def calls_of_a_save(directory: str | Path, keep: policy.Keep, before: int = BEFORE) -> list[str]:
    """Names of the system calls of one save with its pruning, in order."""
    calls = Faulty()
    with installed(Faulty()):
        claim, saver = prepare(directory, keep, before)
        with claim, installed(calls):
            save(saver, before + 1)
    return calls.names


def same(file: Any, total: int, seed: int = 0) -> bool:
    """True if a checkpoint holds exactly the weights of this step."""
    expected = weights(total, seed)
    return list(file) == list(expected) and all(
        np.asarray(file[name]).tobytes() == array.tobytes() and file[name].shape == array.shape
        for name, array in expected.items()
    )


def judge(directory: str | Path, *, at_least: int, at_most: int, may_leave: bool = False) -> int:
    """Checks all that is left: every checkpoint is whole, the newest is in range; returns its step."""
    folder = Path(directory)
    for path in folder.glob("*.ckpt"):
        file = ckpt.read(path, verify=True)
        assert same(file, file.info.total_step), f"{path.name} holds another state"
    found = restore.newest_valid(directory, "net")
    assert found is not None, "no checkpoint is left"
    total = found[1].info.total_step
    assert at_least <= total <= at_most, f"the newest checkpoint is that of step {total}"
    visible = [p.name for p in folder.iterdir() if not p.name.startswith(".") and p.suffix != ".ckpt"]
    assert visible == [], "something a user would trip over"
    if not may_leave:
        assert leftovers(directory) == [], "a temporary file stayed"
    return total


def kept(directory: str | Path) -> list[int]:
    """The steps whose checkpoints are there."""
    return sorted(e.total for e in restore.candidates(directory, "net") if e.total is not None)
