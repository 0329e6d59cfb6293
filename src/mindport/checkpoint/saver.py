"""Saves a checkpoint: write, make durable, and only then delete what the keep rule no longer wants."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mindport.checkpoint.entries import Entry, in_order, keys_in, look, older
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
    ) -> None:
        self.directory = fspath(directory)
        self.prefix = check_prefix(prefix)
        self.keep = keep
        self.durability: Durability = durability
        if claim is not None and claim.prefix != prefix:
            raise UsageError(f"the claim is for the run {printable(claim.prefix)!r}, not {printable(prefix)!r}")
        self._claim = claim
        self._entries: dict[str, Entry] = {} if claim is None else self._history()

    def _history(self) -> dict[str, Entry]:
        """Returns the files of this run that an earlier process of it left, as far as they are mindport's."""
        history = {}
        for key in keys_in(self.directory, self.prefix):
            try:
                entry = look(self.directory, key)
            except MissingFile:
                continue
            if entry.checksummed and not Path(entry.path).is_symlink():
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
            info: JSON values to record: ``total_step`` (steps since training began), ``metrics``, and others. Epoch
                and step are added.

        Raises:
            UsageError: the key is for another prefix, or the content cannot be stored.
            StorageError: the file could not be written or made durable; older checkpoints are untouched.
        """
        if key.prefix != self.prefix:
            raise UsageError(f"the key is for {printable(key.prefix)!r}, this saver for {printable(self.prefix)!r}")
        path = str(Path(self.directory, key.file))
        record = {"epoch": key.epoch, "step": key.step, **(info or {})}
        started = time.perf_counter()
        try:
            mine = self._claim is not None or key.file in self._entries
            chunks = ckpt.write(weights, info=record)
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
            if (status.st_size, status.st_mtime) != (entry.nbytes, entry.saved_at_s):
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
