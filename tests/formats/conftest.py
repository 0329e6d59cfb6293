"""One process with real MindSpore for all checkpoint tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oracles.ms_ckpt import MindSporeCheckpoints


@pytest.fixture(scope="session")
def mindspore() -> Iterator[MindSporeCheckpoints]:
    worker = MindSporeCheckpoints()
    yield worker
    worker.close()
