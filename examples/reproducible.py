"""Training that gives the same bits each time on the same machine, and a hash to prove it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


def fix_randomness(seed: int, threads: int = 2) -> None:
    """Seed every generator and fix what changes the order of floating-point sums: the threads and the algorithms."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def state_hash(network: nn.Module, optimizer: torch.optim.Optimizer) -> str:
    """Return the SHA-256 over all parameters, buffers and optimizer state: names, dtypes, shapes and bytes, by name."""
    digest = hashlib.sha256()
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    for name, value in sorted(_leaves("", state), key=lambda leaf: leaf[0]):
        if isinstance(value, torch.Tensor):
            array = value.detach().cpu().numpy()
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
        else:
            digest.update(f"{name} {value!r}\n".encode())
    return digest.hexdigest()


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Walk nested dicts and lists."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        yield path, value
        return
    for key, item in items:
        yield from _leaves(f"{path}/{key}", item)
