"""Random numbers, optimizers and schedulers: taken and put back, or refused in words."""

from __future__ import annotations

import random
import types
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mindport.adapters import torch_state
from mindport.errors import StateMismatch, Unsupported, WrongTypeError
from mindport.tensors import ArrayRef


def draw() -> tuple[float, ...]:
    return random.random(), random.gauss(0, 1), float(np.random.normal()), float(torch.randn(()))


def test_every_generator_goes_on_where_it_was() -> None:
    own = torch.Generator().manual_seed(4)
    random.gauss(0, 1)  # leaves the second number of a pair in Python's state
    np.random.normal()  # and in NumPy's
    state = torch_state.random_state({"loader": own})
    wanted = draw(), torch.rand(2, generator=own).tolist()
    draw()
    torch.rand(5, generator=own)
    assert torch_state.random_problems(state, {"loader": own}) == []
    for form in (state, torch_state.compact(state)):
        torch_state.set_random_state(form, {"loader": own})
        assert (draw(), torch.rand(2, generator=own).tolist()) == wanted


def test_other_generators_are_a_problem() -> None:
    state = torch_state.random_state({})
    assert "loader" in torch_state.random_problems(state, {"loader": torch.Generator()})[0]


class FakeDevice(types.SimpleNamespace):
    """An accelerator as `torch.get_device_module` gives it."""

    def __init__(self, count: int) -> None:
        self.states = [torch.full((2,), i, dtype=torch.uint8) for i in range(count)]

    def device_count(self) -> int:
        return len(self.states)

    def get_rng_state_all(self) -> list[torch.Tensor]:
        return [s.clone() for s in self.states]

    def set_rng_state_all(self, states: list[torch.Tensor]) -> None:
        self.states = list(states)


def test_accelerators_under_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(2)
    monkeypatch.setattr(torch_state, "_accelerator", lambda: ("npu", device))
    state = torch_state.random_state({})
    device.states[1] += 5
    torch_state.set_random_state(state, {})
    assert [s.tolist() for s in device.states] == [[0, 0], [1, 1]]
    device.states.pop()
    assert "{'npu': 2}" in torch_state.random_problems(state, {})[0]
    monkeypatch.setattr(torch_state, "_accelerator", lambda: ("", None))
    assert "here are none" in torch_state.random_problems(state, {})[0]


def trained(kind: Any, **options: Any) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    optimizer = kind(net.parameters(), lr=0.1, **options)
    for _ in range(2):
        net(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return net, optimizer


KINDS = [
    (torch.optim.SGD, {"momentum": 0.9}),
    (torch.optim.SGD, {}),
    (torch.optim.Adam, {}),
    (torch.optim.AdamW, {"amsgrad": True}),
    (torch.optim.RMSprop, {"centered": True, "momentum": 0.5}),
    (torch.optim.Adagrad, {}),
    (torch.optim.Adadelta, {}),
    (torch.optim.NAdam, {}),
    (torch.optim.ASGD, {}),
    (torch.optim.Adafactor, {}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=lambda x: x.__name__ if isinstance(x, type) else None)
def test_optimizers_get_their_state_back(kind: Any, options: dict[str, Any]) -> None:
    _, optimizer = trained(kind, **options)
    net = nn.Linear(3, 2)
    fresh = kind(net.parameters(), lr=9.0, **options)
    torch_state.load_optimizer(fresh, optimizer.state_dict())
    a, b = optimizer.state_dict(), fresh.state_dict()
    assert a["param_groups"] == b["param_groups"]
    for index, values in a["state"].items():
        for key, value in values.items():
            other = b["state"][index][key]
            assert torch.equal(value, other) if torch.is_tensor(value) else value == other


def test_state_in_another_dtype_than_the_parameter_stays_in_it() -> None:
    net = nn.Linear(2, 1, dtype=torch.bfloat16)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    state = optimizer.state_dict()
    state["state"] = {0: {"momentum_buffer": torch.tensor([[1.0000001, 2.0]])}}
    torch_state.load_optimizer(optimizer, state)
    kept = optimizer.state[net.weight]["momentum_buffer"]
    assert kept.dtype == torch.float32
    assert kept[0, 0].item() == float(np.float32(1.0000001))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda net: torch.optim.SGD(net.parameters(), lr=1), "other options"),
        (lambda net: torch.optim.Adam([net.weight]), "2 parameters in the checkpoint, 1 here"),
        (lambda net: torch.optim.Adam([{"params": [net.weight]}, {"params": [net.bias]}]), "1 parameter groups"),
    ],
)
def test_state_of_another_optimizer(make: Any, words: str) -> None:
    net, optimizer = trained(torch.optim.Adam)
    other = make(net)
    before = repr(other.state_dict())
    with pytest.raises(StateMismatch, match=words):
        torch_state.load_optimizer(other, optimizer.state_dict())
    assert repr(other.state_dict()) == before


def test_parameters_are_known_by_their_names_in_the_network() -> None:
    net = nn.Linear(3, 2)
    alone = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [net.bias, alone]}, {"params": [net.weight]}], lr=0.1)
    assert torch_state.parameter_names(optimizer, net) == ["bias", None, "weight"]


def test_shapes_of_parameters() -> None:
    assert torch_state.parameter_shapes(torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=1)) == [[2, 3], [2]]


def test_kinds_name_the_schedulers_inside() -> None:
    sgd = torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=1)
    step, line = torch.optim.lr_scheduler.StepLR(sgd, 1), torch.optim.lr_scheduler.LinearLR(sgd)
    chain = torch.optim.lr_scheduler.ChainedScheduler([step, line], sgd)
    assert torch_state.kind_of(sgd) == "SGD"
    assert torch_state.kind_of(chain) == "ChainedScheduler(StepLR, LinearLR)"


def test_what_is_no_scaler() -> None:
    torch_state.check_scaler(torch.amp.GradScaler("cpu"))
    with pytest.raises(WrongTypeError, match="GradScaler, not float"):
        torch_state.check_scaler(0.5)


def test_what_the_loop_cannot_drive() -> None:
    net = nn.Linear(1, 1)
    with pytest.raises(WrongTypeError, match=r"torch\.optim\.Optimizer"):
        torch_state.check_optimizer("sgd")
    with pytest.raises(Unsupported, match="LBFGS"):
        torch_state.check_optimizer(torch.optim.LBFGS(net.parameters()))
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    torch_state.check_optimizer(sgd)
    torch_state.check_scheduler(torch.optim.lr_scheduler.StepLR(sgd, 2))
    with pytest.raises(Unsupported, match="ReduceLROnPlateau"):
        torch_state.check_scheduler(torch.optim.lr_scheduler.ReduceLROnPlateau(sgd))
    with pytest.raises(WrongTypeError, match="scheduler"):
        torch_state.check_scheduler(0.1)


def test_stored_tensors_get_memory_of_their_own() -> None:
    array = np.arange(4.0)
    made = torch_state.make_tensor(ArrayRef("m", array))
    array[0] = 9
    assert made.tolist() == [0, 1, 2, 3]
