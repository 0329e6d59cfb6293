"""Small training set-ups, made afresh each time as a new process would make them, and how to compare their ends."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

from mindport import Model
from mindport.adapters.base import framework_tensor
from mindport.checkpoint.statetree import pack
from mindport.train.callback import Callback, RunContext

BATCHES = 5


class Net(nn.Module):
    """A convolution, batch norm, dropout and a dense layer: each kind of state a network can have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, (3, 2))
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.4)
        self.head = nn.Linear(3 * 4 * 6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))


class Noisy(Dataset[Any]):
    """Each item draws from Python's, NumPy's and torch's global random numbers."""

    def __len__(self) -> int:
        return 3 * BATCHES

    def __getitem__(self, index: int) -> Any:
        x = torch.full((2, 6, 7), index / 10) + random.random() + float(np.random.rand()) + 0.1 * torch.randn(2, 6, 7)
        return x, index % 4


class Stateful:
    """A loader that keeps its own position, as `StatefulDataLoader` does."""

    def __init__(self, seed: int = 3) -> None:
        self.random = np.random.default_rng(seed)
        self.order: list[int] | None = None
        self.at = 0

    def __iter__(self) -> Iterator[Any]:
        if self.order is None:
            self.order, self.at = [int(i) for i in self.random.permutation(BATCHES)], 0
        while self.at < BATCHES:
            self.at += 1
            yield _batch(self.order[self.at - 1])
        self.order = None

    def state_dict(self) -> dict[str, Any]:
        return {"random": self.random.bit_generator.state, "order": self.order, "at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.random.bit_generator.state = state["random"]
        self.order, self.at = state["order"], state["at"]


class Secretive:
    """A loader whose order depends on numbers that nobody can see, and on how often it was asked."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(3)

    def __iter__(self) -> Iterator[Any]:
        return (_batch(int(i)) for i in self.random.permutation(BATCHES))


def _batch(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(100 + index)
    return torch.randn(3, 2, 6, 7, generator=g), torch.randint(4, (3,), generator=g)


def images() -> TensorDataset:
    g = torch.Generator().manual_seed(7)
    count = 3 * BATCHES
    return TensorDataset(torch.randn(count, 2, 6, 7, generator=g), torch.randint(4, (count,), generator=g))


def loader(kind: str) -> Any:
    if kind == "shuffle":
        return DataLoader(images(), batch_size=3, shuffle=True)
    if kind == "workers":
        return DataLoader(Noisy(), batch_size=3, shuffle=True, num_workers=2)
    if kind == "persistent":
        return DataLoader(images(), batch_size=3, shuffle=True, num_workers=1, persistent_workers=True)
    if kind == "noisy":
        return DataLoader(Noisy(), batch_size=3, shuffle=True)
    if kind == "generator":
        return DataLoader(images(), batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(11))
    if kind == "weighted":
        generator = torch.Generator().manual_seed(12)
        sampler = WeightedRandomSampler([1.0 + i for i in range(3 * BATCHES)], 3 * BATCHES, generator=generator)
        return DataLoader(images(), batch_size=3, sampler=sampler)
    if kind == "stateful":
        return Stateful()
    assert kind == "list"
    return [_batch(i) for i in range(BATCHES)]


def optimizer(kind: str, net: nn.Module) -> tuple[Any, Any]:
    """Returns an optimizer and its scheduler (or None)."""
    parameters = list(net.parameters())
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01), None
    if kind == "adam":
        groups = [{"params": parameters[:2], "lr": 0.003}, {"params": parameters[2:]}]
        return torch.optim.Adam(groups, lr=0.01, amsgrad=True), None
    if kind == "adafactor":
        return torch.optim.Adafactor(parameters, lr=0.05), None
    assert kind == "adamw-cosine"
    made = torch.optim.AdamW(parameters, lr=0.01)
    warm = torch.optim.lr_scheduler.LinearLR(made, 0.1, total_iters=4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(made, T_max=12)
    return made, torch.optim.lr_scheduler.SequentialLR(made, [warm, cosine], milestones=[4])


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


class World:
    """One process's fresh objects. `number` is what the random numbers are seeded with after the network is made."""

    def __init__(self, optimizer_kind: str = "sgd", loader_kind: str = "shuffle", number: int = 5) -> None:
        seed(1)
        self.network = Net()
        self.optimizer, self.scheduler = optimizer(optimizer_kind, self.network)
        self.loader = loader(loader_kind)
        self.model = Model(
            self.network, nn.CrossEntropyLoss(), self.optimizer, {"accuracy", "loss"}, scheduler=self.scheduler
        )
        seed(number)

    def end(self) -> dict[str, bytes]:
        """Returns everything that training changed, as bytes by name."""
        state = {
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler and self.scheduler.state_dict(),
            "random": [torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)],
        }
        tree, tensors = pack(state, "x.", framework_tensor)
        return {"tree": repr(tree).encode(), **{name: ref.numpy().tobytes() for name, ref in tensors.items()}}


def digest_of(end: dict[str, bytes]) -> str:
    """Returns one hash over everything that training changed."""
    digest = hashlib.sha256()
    for name, data in sorted(end.items()):
        digest.update(name.encode() + data)
    return digest.hexdigest()


class Losses(Callback):
    """Keeps the loss of each step by its number since training began."""

    def __init__(self) -> None:
        self.by_step: dict[int, str] = {}

    def step_end(self, run_context: RunContext) -> None:
        args = run_context.original_args()
        self.by_step[args.cur_step_num] = float(args.net_outputs).hex()


class Interrupted(Exception):
    """Stands for whatever ends a process."""


class InterruptAt(Callback):
    """Ends training after a step, without the normal end."""

    def __init__(self, total: int) -> None:
        self.total = total

    def step_end(self, run_context: RunContext) -> None:
        if run_context.original_args().cur_step_num == self.total:
            raise Interrupted
