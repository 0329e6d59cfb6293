"""`ModelCheckpoint`: connects the training loop with the save rule, the names and the saver."""

from __future__ import annotations

import math
import time
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mindport.adapters.base import adapter_for, framework_tensor
from mindport.checkpoint import runs
from mindport.checkpoint.names import Key, check_prefix, graph_meta_name
from mindport.checkpoint.policy import Tick
from mindport.checkpoint.saver import Saver
from mindport.checkpoint.snapshot import Snapshot, refuse_reserved
from mindport.errors import UsageError, WrongTypeError
from mindport.events import log
from mindport.formats import graph_meta
from mindport.storage.atomic import commit, make_directory
from mindport.train.callback.base import Callback, RunContext, RunParameters
from mindport.train.callback.config import CheckpointConfig
from mindport.train.callback.monitor import loss_of, step_in_epoch

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Saves checkpoints while training: ``{prefix}-{epoch}_{step in epoch}.ckpt``, and once ``{prefix}-graph.meta``.

    A file is durable when `step_end` returns, so a callback later in the list finds it. A run that finds checkpoints of
    an earlier one under its prefix becomes ``{prefix}_2``, the next ``{prefix}_3``; a resumed run goes on with its own.

    Args:
        prefix: start of the file names.
        directory: where the files go, made if it is missing; the working directory at this moment by default. Each of
            several processes (`RANK` and `WORLD_SIZE`, as torchrun sets them) uses ``rank_N`` in it.
        config: when to save and what to keep; `CheckpointConfig()` by default.

    Raises:
        WrongTypeError, UsageError: an argument is of the wrong type or cannot begin a file name.
        StorageError: the directory cannot be made.
    """

    def __init__(
        self,
        prefix: str = "CKP",
        directory: str | PathLike[str] | None = None,
        config: CheckpointConfig | None = None,
    ) -> None:
        self._base = self._prefix = check_prefix(prefix)
        if config is not None and not isinstance(config, CheckpointConfig):
            raise WrongTypeError(f"config must be a CheckpointConfig, not {type(config).__name__}")
        self._config = config or CheckpointConfig()
        self._when, self._keep = self._config.policies()
        self._directory = make_directory(runs.rank_dir(_checked_directory(directory)))
        self._claim: runs.Claim | None = None
        self._saver: Saver | None = None
        self._meta_due = False
        self._last = Tick(epoch=0, step=0, total=0, now_s=time.monotonic())
        self.latest_ckpt_file_name = ""
        """Path of the newest checkpoint of this run; empty before the first."""

    @property
    def directory(self) -> str:
        """Where this process's files go."""
        return self._directory

    @property
    def prefix(self) -> str:
        """Prefix of this run's files, such as ``resnet50_2``, also after it; before it, the one asked for."""
        return self._prefix

    def resume(self) -> runs.Resumption | None:
        """Claims the newest run of this prefix that has a valid checkpoint, to go on with it; None if there is none.

        Raises:
            InUse: another process is writing it.
            StorageError: the directory cannot be read.
        """
        self._release()
        found = runs.resume(self._directory, self._base)
        if found is not None:
            self._start(found.claim, total=found.file.info.total_step or 0)
            self.latest_ckpt_file_name = found.path
        return found

    def begin(self, run_context: RunContext) -> None:
        """Claims the run's prefix, unless the run is resumed, and asks for the network's graph."""
        args = run_context.original_args()
        if args.mode == "eval":
            return
        if self._claim is None:
            self._start(runs.claim_new(self._directory, self._base), total=0)
        args.record_graph = args.record_graph or self._meta_due

    def step_end(self, run_context: RunContext) -> None:
        """Saves when the save rule says so; writes the graph after the first step."""
        args = run_context.original_args()
        if args.mode == "eval":
            return
        if self._claim is None:
            self.begin(run_context)
        if self._meta_due:
            self._write_meta(args)
        self._save_if_due(args, final=False)

    def end(self, run_context: RunContext) -> None:
        """Saves the last step, unless it is saved already, and gives the run free."""
        args = run_context.original_args()
        if args.mode != "eval" and self._claim is not None:
            self._save_if_due(args, final=True)
            self._release()

    def __exit__(self, *exc: object) -> None:
        """Gives the run free, also after an error."""
        self._release()

    def _start(self, claim: runs.Claim, *, total: int) -> None:
        self._claim, self._prefix = claim, claim.prefix
        self._saver = Saver(claim.directory, claim.prefix, self._keep, claim=claim, crc_check=self._config.crc_check)
        self._last = Tick(epoch=0, step=0, total=total, now_s=time.monotonic())
        self._meta_due = not (total and Path(self._meta_path()).exists())

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
        self._claim = self._saver = None

    def _meta_path(self) -> str:
        return str(Path(self._directory) / graph_meta_name(self.prefix))

    def _write_meta(self, args: RunParameters) -> None:
        self._meta_due = False
        outline = args.graph
        if outline is None:  # nobody recorded the network: its parameters are known all the same
            outline = _parameters_alone(args)
        try:
            data = [bytes(part) for part in graph_meta.write(outline)]
        except Exception:  # noqa: BLE001 - an argument that the file cannot hold must not end training
            log.exception("the graph of the network cannot be written; %s has its parameters alone", self._meta_path())
            data = [bytes(part) for part in graph_meta.write(_parameters_alone(args))]
        commit(self._meta_path(), data)

    def _save_if_due(self, args: RunParameters, *, final: bool) -> None:
        if not args.cur_step_num:
            return
        tick = Tick(
            epoch=args.cur_epoch_num or 1,
            step=step_in_epoch(args),
            total=args.cur_step_num,
            now_s=time.monotonic(),
            steps_in_epoch=args.batch_num or 0,
            final=final,
        )
        if tick.total == self._last.total or not self._when.due(tick, self._last):
            return
        assert self._saver is not None
        snapshot = _snapshot(args)
        appended = self._appended(args)
        records = snapshot.records(framework_tensor) | appended
        info = {"total_step": tick.total, **snapshot.info}
        if appended:
            info["appended"] = list(appended)
        loss = loss_of(args.net_outputs)
        if loss is not None and math.isfinite(loss):
            info["metrics"] = {"loss": loss}
        entry = self._saver.save(Key(self.prefix, tick.epoch, tick.step), records, info)
        self._last = tick
        self.latest_ckpt_file_name = entry.path

    def _appended(self, args: RunParameters) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for item in self._config.append_info:
            if isinstance(item, dict):
                values.update(item)
            else:
                values[item] = args.cur_epoch_num if item == "epoch_num" else args.cur_step_num
        refuse_reserved(values)
        return values


def _checked_directory(directory: Any) -> str:
    if directory is None:
        return str(Path.cwd())
    if not isinstance(directory, (str, PathLike)) or isinstance(fspath(directory), bytes):
        raise WrongTypeError(f"directory must be a path, not {type(directory).__name__}")
    path = fspath(directory)
    if not path.strip() or "\0" in path:
        raise UsageError("directory must not be empty")
    return str(Path(path).absolute())


def _network(args: RunParameters) -> Any:
    return args.train_network if args.train_network is not None else args.network


def _parameters_alone(args: RunParameters) -> graph_meta.GraphOutline:
    network = _network(args)
    return graph_meta.of_weights(type(network).__name__, adapter_for(network).weights(network))


def _snapshot(args: RunParameters) -> Snapshot:
    """Returns the run's whole state, or the network alone in a loop that offers no more."""
    if args.snapshot is not None:
        taken: Snapshot = args.snapshot()
        return taken
    network = _network(args)
    adapter = adapter_for(network)
    return Snapshot(adapter.weights(network), info={"aliases": adapter.aliases(network)})
