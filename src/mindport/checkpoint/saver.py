"""Saves a checkpoint: write, make durable, and only then delete what the keep rule no longer wants."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mindport.checkpoint.entries import Entry, in_order, keys_in, look, of_another, older
from mindport.checkpoint.names import Key, check_prefix
from mindport.checkpoint.policy import Keep
from mindport.checkpoint.runs import Claim
from mindport.errors import MissingFile, UsageError, printable
from mindport.events import Pruned, PruneFailed, Saved, SaveFailed, emit
from mindport.formats import ckpt
from mindport.storage import system
from mindport.storage.atomic import Durability, commit
from mindport.tensors import TensorRef

__all__ = ["Saver"]


class Saver:
    """Writes the checkpoints of one run and deletes those its keep rule gives up.

    It deletes only files that belong to it: those it wrote, and, with a `claim`, those of the same run that were there
    when it began and carry mindport's end record. A file that changed since then, that is not surely older than the
    newest durable one, or that anybody else put there, stays.

    Args:
        directory: where the files go; it must exist.
        prefix: the run's prefix, such as ``resnet50_2``.
        keep: which files to keep.
        claim: the exclusive claim of this run (`runs.claim_new`, `runs.resume`). With it, files of this run may be
            replaced, as when a resumed run reaches the step of a damaged file again; without it, an existing file is
            never replaced.
        durability: ``"power"`` (survives a power cut) or ``"process"`` (survives the death of the process).
        crc_check: append MindSpore's CRC trailer to each file.
        clock: gives the time recorded in each file, in seconds since 1970.

    Raises:
        UsageError: the claim is for another run.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        prefix: str,
        keep: Keep,
        *,
        claim: Claim | None = None,
        durability: Durability = "power",
        crc_check: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = fspath(directory)
        self.prefix = check_prefix(prefix)
        self.keep = keep
        self.durability: Durability = durability
        self.crc_check = crc_check
        if claim is not None and claim.prefix != prefix:
            raise UsageError(f"the claim is for the run {printable(claim.prefix)!r}, not {printable(prefix)!r}")
        self._claim = claim
        self._clock = clock
        self._entries: dict[str, Entry] = {} if claim is None else self._history()

    def _history(self) -> dict[str, Entry]:
        """Returns the files of this run that an earlier process of it left, as far as they are mindport's."""
        history = {}
        base = self._claim.base if self._claim is not None else None
        for key in keys_in(self.directory, self.prefix):
            try:
                entry = look(self.directory, key)
            except MissingFile:
                continue
            if entry.checksummed and not of_another(entry, base) and not Path(entry.path).is_symlink():
                history[key.file] = entry
        return history

    def save(
        self,
        key: Key,
        weights: Iterable[TensorRef] | Mapping[str, Any],
        info: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Writes one checkpoint, makes it durable, then prunes.

        Args:
            key: prefix (this saver's), epoch and step.
            weights: what `formats.ckpt.write` takes.
            info: JSON values to record: ``total_step`` (steps since training began), ``metrics``, and others. Epoch,
                step, ``saved_at_s`` and ``prefix`` (the prefix asked for, where the claim tells it) are added.

        Raises:
            UsageError: the key is for another prefix, or the content cannot be stored.
            StorageError: the file could not be written or made durable; older checkpoints are untouched.
        """
        if key.prefix != self.prefix:
            raise UsageError(f"the key is for {printable(key.prefix)!r}, this saver for {printable(self.prefix)!r}")
        path = str(Path(self.directory, key.file))
        record = {"epoch": key.epoch, "step": key.step, **(info or {}), **self._origin()}
        started = time.perf_counter()
        try:
            mine = self._claim is not None or key.file in self._entries
            chunks = ckpt.write(weights, info=record, crc_check=self.crc_check)
            nbytes = commit(path, chunks, overwrite=mine, durability=self.durability)
            entry = look(self.directory, key)
        except BaseException as exc:
            emit(SaveFailed(path, str(exc) or type(exc).__name__))
            raise
        self._entries[key.file] = entry
        spent_ms = (time.perf_counter() - started) * 1e3
        emit(Saved(path, nbytes, spent_ms, spent_ms))
        self._prune(entry)
        return entry

    def _origin(self) -> dict[str, Any]:
        """Returns what the file must say by itself, because its name and its times may be those of a copy."""
        origin: dict[str, Any] = {"saved_at_s": round(self._clock(), 3)}
        base = None if self._claim is None else self._claim.base
        if base is not None:
            with contextlib.suppress(UnicodeEncodeError):  # a name that is not UTF-8 cannot stand in JSON
                base.encode()
                origin["prefix"] = base
        return origin

    def _prune(self, newest: Entry) -> None:
        """Deletes what the rule gives up among this run's files that are surely older than `newest`."""
        ours = in_order(entry for entry in self._entries.values() if entry is newest or older(entry, newest))
        for entry in self.keep.victims(ours):
            if entry is newest:
                continue
            if self._delete(entry):
                del self._entries[entry.key.file]

    def _delete(self, entry: Entry) -> bool:
        """Deletes one file if it is still the one we know; returns False when it has to be tried again."""
        try:
            status = Path(entry.path).lstat()
            if (status.st_size, status.st_mtime) != (entry.nbytes, entry.changed_at_s):
                emit(PruneFailed(entry.path, "somebody changed it since it was saved; it is left alone"))
                return True
            system.calls.unlink(entry.path)
        except FileNotFoundError:
            return True
        except OSError as exc:
            emit(PruneFailed(entry.path, exc.strerror or str(exc)))
            return False
        emit(Pruned(entry.path, f"given up by {self.keep}"))
        return True
