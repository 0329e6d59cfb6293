from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()
