"""File names of checkpoints, both ways: `Key("resnet50", 2, 32)` is ``resnet50-2_32.ckpt``.

A name belongs to a prefix only when the whole of it matches: ``net10-1_1.ckpt``, ``net_a-1_1.ckpt``,
``network-1_1.ckpt``, ``net-01_1.ckpt`` and ``net-1_1.ckpt.bak`` do not belong to ``net``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from mindport.errors import UsageError, WrongTypeError, printable

__all__ = [
    "MAX_PREFIX_BYTES",
    "SUFFIX",
    "Key",
    "check_prefix",
    "graph_meta_name",
    "is_run_prefix",
    "run_ordinal",
    "run_prefix",
]

SUFFIX = ".ckpt"
MAX_PREFIX_BYTES = 180
"""Leaves room for the run's number, epoch, step and suffix in the 255 bytes a file name may have."""

_NUMBER = r"(0|[1-9][0-9]{0,17})"
_TAIL = re.compile(rf"-{_NUMBER}_{_NUMBER}\.ckpt", re.ASCII)
_RUN_TAIL = re.compile(rf"(?:_([1-9][0-9]{{0,8}}))?-{_NUMBER}_{_NUMBER}\.(?:ckpt|safetensors)", re.ASCII)


@dataclass(frozen=True, order=True)
class Key:
    """Which checkpoint a file is.

    Attributes:
        prefix: the run's prefix, such as ``resnet50`` or ``resnet50_2``.
        epoch: number of the epoch, from 1.
        step: number of the step inside the epoch, from 1.
    """

    prefix: str
    epoch: int
    step: int

    def __post_init__(self) -> None:
        check_prefix(self.prefix)
        for what, value in (("epoch", self.epoch), ("step", self.step)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise WrongTypeError(f"the {what} of a checkpoint must be an int, not {type(value).__name__}")
            if not 0 <= value < 10**18:
                raise UsageError(f"the {what} of a checkpoint must not be negative or beyond 10^18, got {value}")

    @property
    def file(self) -> str:
        """The file's name, without directory."""
        return f"{self.prefix}-{self.epoch}_{self.step}{SUFFIX}"

    @classmethod
    def parse(cls, file: str, prefix: str) -> Key | None:
        """Returns the key of a file name, or None if it is no checkpoint of exactly this prefix."""
        if not file.startswith(prefix):
            return None
        match = _TAIL.fullmatch(file, len(prefix))
        return None if match is None else cls(prefix, int(match[1]), int(match[2]))


def check_prefix(prefix: object) -> str:
    """Returns `prefix` if it can begin a file name (the empty text can).

    Raises:
        WrongTypeError: it is no text.
        UsageError: it holds a slash or a NUL character, or is too long.
    """
    if not isinstance(prefix, str):
        raise WrongTypeError(f"the prefix of checkpoints must be text, not {type(prefix).__name__}")
    if "/" in prefix or "\0" in prefix:
        raise UsageError(
            f"the prefix {printable(prefix)!r} holds a '/' or a NUL character; give the folder as the directory"
        )
    try:
        size = len(os.fsencode(prefix))
    except UnicodeEncodeError as exc:
        raise UsageError(f"the prefix {printable(prefix)!r} cannot be part of a file name: {exc.reason}") from exc
    if size > MAX_PREFIX_BYTES:
        raise UsageError(f"the prefix {printable(prefix, 40)!r} has {size} bytes; {MAX_PREFIX_BYTES} are allowed")
    return prefix


def run_prefix(base: str, ordinal: int) -> str:
    """Returns the prefix of the n-th run: ``resnet50``, ``resnet50_2``, ``resnet50_3`` (MindSpore counts one lower)."""
    return base if ordinal == 1 else f"{base}_{ordinal}"


def is_run_prefix(prefix: str, base: str) -> bool:
    """True if a run of `base` may have this prefix: ``exp_2`` may be one of ``exp``, and one of ``exp_2``."""
    return run_ordinal(Key(prefix, 1, 1).file, base) is not None


def run_ordinal(file: str, base: str) -> int | None:
    """Returns the number of the run of `base` that a checkpoint file belongs to, or None if to none of its runs.

    ``net_1-…``, which real MindSpore calls its second run, counts as run 1: no name that mindport gives can meet it.
    """
    if not file.startswith(base):
        return None
    match = _RUN_TAIL.fullmatch(file, len(base))
    return None if match is None else int(match[1] or 1)


def graph_meta_name(prefix: str) -> str:
    """Returns the name of the file with the network's structure: ``resnet50-graph.meta``."""
    return f"{prefix}-graph.meta"
