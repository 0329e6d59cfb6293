"""The state hash sees every change, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from reproducible import fix_randomness, state_hash


@pytest.fixture(autouse=True)
def _former_settings() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def trained(steps: int = 2) -> tuple[nn.Module, torch.optim.Optimizer]:
    fix_randomness(3, threads=1)
    network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()
    return network, optimizer


def test_the_same_training_gives_the_same_hash() -> None:
    assert state_hash(*trained()) == state_hash(*trained())
    assert len(state_hash(*trained())) == 64
    assert state_hash(*trained(2)) != state_hash(*trained(3))


@pytest.mark.parametrize("part", ["parameter", "buffer", "momentum", "learning rate"])
def test_one_changed_bit_changes_the_hash(part: str) -> None:
    network, optimizer = trained()
    before = state_hash(network, optimizer)
    with torch.no_grad():
        if part == "parameter":
            network[3].bias.view(torch.int32)[1] ^= 1
        elif part == "buffer":
            network[1].running_var.view(torch.int32)[4] ^= 1
        elif part == "momentum":
            optimizer.state[network[0].weight]["momentum_buffer"].view(torch.int32)[0, 2] ^= 1
        else:
            optimizer.param_groups[0]["lr"] = 0.2
    assert state_hash(network, optimizer) != before
