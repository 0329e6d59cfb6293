"""Real MindSpore, one worker process per test session; a crash fails one case, the next gets a new process."""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

from mindport.adapters.mindspore import MindSporeWorker


@cache
def worker() -> MindSporeWorker:
    """Returns the session's worker; it is started by its first `run`."""
    made = MindSporeWorker(timeout_s=120)
    atexit.register(made.close)
    return made


def run(path: Path, inputs: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Returns what MindSpore computes, outputs flattened. Raises CheckFailed when it refuses or crashes."""
    return worker().run(path, list(inputs))
