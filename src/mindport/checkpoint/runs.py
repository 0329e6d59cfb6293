"""Which run a process is: ``resnet50``, ``resnet50_2``, ``resnet50_3``, claimed so that no two processes share one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mindport.checkpoint.entries import keys_in, names_in, of_another
from mindport.checkpoint.names import check_prefix, run_ordinal, run_prefix
from mindport.checkpoint.restore import candidates, newest_valid
from mindport.errors import InUse, StorageError, UsageError, printable
from mindport.storage.atomic import make_directory
from mindport.storage.claims import FileClaim, claim_path, holder_of, sweep, take
from mindport.storage.temporary import clean

if TYPE_CHECKING:
    from typing_extensions import Self

    from mindport.formats.ckpt import CheckpointFile

__all__ = ["Claim", "Resumption", "claim_new", "claim_run", "rank_dir", "resume", "runs_in"]

_MOST_RUNS = 100_000
_SETTLE_S = 1.0  # a claim without a living owner is being swept or taken over: that settles at once


class Claim:
    """The exclusive right to write the checkpoints of one run; released by `release`, `with`, or the process's end.

    Attributes:
        directory: where the run's files are.
        prefix: the run's prefix, such as ``resnet50_2``.
        base: the prefix asked for, such as ``resnet50``; None when the run was claimed by its own.
    """

    def __init__(self, directory: str, prefix: str, file_claim: FileClaim, base: str | None = None) -> None:
        self.directory = directory
        self.prefix = prefix
        self.base = base
        self._file_claim = file_claim

    def release(self) -> None:
        """Gives the run free; a second call does nothing."""
        self._file_claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


@dataclass(frozen=True)
class Resumption:
    """A run to go on with: its claim, the newest valid checkpoint and that one's content (verified)."""

    claim: Claim
    path: str
    file: CheckpointFile


def claim_new(directory: str | PathLike[str], base: str) -> Claim:
    """Claims the next run of `base` in `directory`, which is made if it is missing.

    The number is one above the highest for which there are checkpoints; a left-over ``-graph.meta`` alone does not
    count. Two processes that start together get different runs. Remains of dead processes are cleaned up.

    Raises:
        WrongTypeError, UsageError: `base` cannot begin a file name.
        StorageError: the directory cannot be made, listed or written.
    """
    check_prefix(base)
    folder = make_directory(directory)
    _clean_up(folder)
    ordinal = 0
    for _ in range(_MOST_RUNS):
        ordinal = max(ordinal, max(runs_in(folder, base), default=0)) + 1
        prefix = run_prefix(base, ordinal)
        file_claim = take(folder, prefix, wait_s=_SETTLE_S)
        if file_claim is None:
            continue  # a living process has this one
        if ordinal not in runs_in(folder, base):
            return Claim(folder, prefix, file_claim, base)
        file_claim.release()  # its first owner saved and ended between our listing and our claim
    raise StorageError(f"no free run of {printable(base)!r} in {printable(folder)}", path=folder)


def claim_run(directory: str | PathLike[str], prefix: str, *, wait_s: float = 10.0, base: str | None = None) -> Claim:
    """Claims one given run, to go on with it.

    Args:
        directory: where its files are.
        prefix: the run's prefix.
        wait_s: how long to wait for a process that is just dying (a killed one takes a moment to vanish); one that
            is alive is not waited for.
        base: the prefix that the run was asked for, if that is known.

    Raises:
        InUse: a living process has it.
        StorageError: the directory cannot be written.
    """
    folder = fspath(directory)
    file_claim = take(folder, check_prefix(prefix), wait_s=wait_s)
    if file_claim is None:
        raise _in_use(folder, prefix)
    return Claim(folder, prefix, file_claim, base)


def _clean_up(folder: str) -> None:
    """Deletes what dead processes left here: temporary files and claims."""
    clean(folder)
    sweep(folder)


def _in_use(folder: str, prefix: str) -> InUse:
    path = claim_path(folder, prefix)
    holder = holder_of(path)
    who = "another process" if holder is None else f"process {holder.process.pid} on {printable(holder.host)}"
    message = f"the run {printable(prefix)!r} in {printable(folder)} is being written by {who}; stop it first"
    if holder is not None and not holder.process.alive():
        message += f"; if it is surely gone, delete {printable(path)}"
    return InUse(message, path=path)


def resume(directory: str | PathLike[str], base: str, *, wait_s: float = 10.0) -> Resumption | None:
    """Claims the newest run of `base` that has a valid checkpoint; None if there is none.

    ``exp_2-1_8.ckpt`` may be of the second run of ``exp`` or of the first of ``exp_2``. Mindport's files say which; a
    run of another prefix is left alone, also while a living process writes it.

    Raises:
        InUse: a living process is writing that run.
        StorageError: the directory cannot be listed or written.
    """
    check_prefix(base)
    folder = fspath(directory)
    if not os.path.lexists(folder):
        return None
    _clean_up(folder)
    for ordinal in sorted(runs_in(folder, base), reverse=True):
        prefix = run_prefix(base, ordinal)
        if not keys_in(folder, prefix) or _another_has(folder, prefix, base):
            continue
        claim = claim_run(folder, prefix, wait_s=wait_s, base=base)
        found = newest_valid(folder, prefix, base)
        if found is not None:
            return Resumption(claim, *found)
        claim.release()
    return None


def _another_has(folder: str, prefix: str, base: str) -> bool:
    """True if all files of the run say that it is one of another prefix than `base`."""
    entries = candidates(folder, prefix)
    return bool(entries) and all(of_another(entry, base) for entry in entries)


def runs_in(directory: str | PathLike[str], base: str) -> set[int]:
    """Returns the numbers of the runs of `base` that have files with the names of checkpoints.

    Raises:
        MissingFile, NotADirectory, NoPermission: the directory cannot be listed.
    """
    return {ordinal for name in names_in(directory) if (ordinal := run_ordinal(name, base)) is not None}


def rank_dir(directory: str | PathLike[str], environ: Mapping[str, str] | None = None) -> str:
    """Returns `directory`, or its sub-directory ``rank_N`` for process N of several (`RANK`, `WORLD_SIZE`, torchrun).

    Raises:
        UsageError: the variables contradict each other or are no numbers.
    """
    variables = os.environ if environ is None else environ
    size = _count(variables, "WORLD_SIZE", "1")
    if size <= 1:
        return fspath(directory)
    rank = _count(variables, "RANK", None)
    if rank >= size:
        raise UsageError(f"RANK={rank} is not below WORLD_SIZE={size}")
    return str(Path(directory, f"rank_{rank}"))


def _count(variables: Mapping[str, str], name: str, default: str | None) -> int:
    text = variables.get(name, default)
    if text is None:
        raise UsageError(f"WORLD_SIZE is above 1 and {name} is not set; start the processes with torchrun")
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"the environment variable {name} must be a number, not {printable(text)!r}")
    return int(text)
