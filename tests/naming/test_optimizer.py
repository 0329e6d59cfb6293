"""Converted optimizer states: real MindSpore goes on training from them as PyTorch does, and they come back equal."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mindport.errors import StateMismatch, Unsupported
from mindport.formats import ckpt
from mindport.naming.network import map_names
from mindport.naming.optimizer import OPTIMIZERS, optimizer_to_mindspore, optimizer_to_torch
from mindport.storage.atomic import commit

pytestmark = [pytest.mark.mindspore, pytest.mark.xdist_group("naming")]

# case: torch optimizer, MindSpore target, arguments of the MindSpore optimizer
CASES = {
    "momentum": (
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "Momentum",
        {"learning_rate": 0.05, "momentum": 0.9},
    ),
    "momentum_decay": (
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, weight_decay=0.01),
        "Momentum",
        {"learning_rate": 0.05, "momentum": 0.8, "weight_decay": 0.01},
    ),
    "sgd_nesterov": (
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "SGD",
        {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    "adam": (lambda p: torch.optim.Adam(p, lr=0.01), "Adam", {"learning_rate": 0.01}),
    "adam_amsgrad": (
        lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
        "Adam",
        {"learning_rate": 0.01, "use_amsgrad": True},
    ),
    "adamw": (
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        "AdamW",
        {"lr": 0.01, "weight_decay": 0.1},
    ),
    "adagrad": (
        lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1, eps=0.0),
        "Adagrad",
        {"learning_rate": 0.05},
    ),
    "adadelta": (lambda p: torch.optim.Adadelta(p, lr=0.5), "Adadelta", {"learning_rate": 0.5, "rho": 0.9}),
    "adamax": (lambda p: torch.optim.Adamax(p, lr=0.02), "Adamax", {"learning_rate": 0.02}),
    "rprop": (lambda p: torch.optim.Rprop(p, lr=0.01), "Rprop", {"learning_rate": 0.01}),
}
BEFORE, AFTER = 3, 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.conv = nn.Conv1d(2, 4, 3)
        self.bn = nn.BatchNorm1d(3)


def train(net, optimizer, steps, seed):
    """Steps with random gradients; returns them."""
    generator = torch.Generator().manual_seed(seed)
    grads = []
    for _ in range(steps):
        for p in net.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        grads.append({n: p.grad.clone() for n, p in net.named_parameters()})
        optimizer.step()
    return grads


def started(case):
    torch.manual_seed(7)
    net = Net()
    optimizer = CASES[case][0](net.parameters())
    train(net, optimizer, BEFORE, seed=1)
    return net, optimizer


@pytest.fixture(scope="module")
def mindspore_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("optimizers")
    for case, (_, target, arguments) in CASES.items():
        net, optimizer = started(case)
        names = map_names(net)
        weights, _ = names.to_mindspore(net.state_dict())
        weights |= optimizer_to_mindspore(optimizer, names, net, target=target)
        commit(folder / f"{case}.ckpt", ckpt.write(weights))
        spec = {"class": OPTIMIZERS[target].mindspore, "arguments": arguments, "steps": AFTER}
        if "weight_decay" in arguments:
            spec["group"] = {"weight_decay": arguments["weight_decay"]}
        (folder / f"{case}.json").write_text(json.dumps(spec))
        grads = train(net, optimizer, AFTER, seed=2)
        layout = {e.torch: e for e in names.entries}
        np.savez(
            folder / f"{case}.npz",
            **{
                f"{i}/{layout[n].mindspore}": g.numpy().reshape(layout[n].mindspore_shape)
                for i, step in enumerate(grads)
                for n, g in step.items()
            },
        )
    script = pathlib.Path(__file__).with_name("ms_optimizers.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=300)
    return folder, json.loads((folder / "report").read_text())


@pytest.mark.parametrize("case", CASES)
def test_mindspore_goes_on_training_as_pytorch_does(case, mindspore_run):
    folder, report = mindspore_run
    assert report[case] == {"net_missing": [], "missing": [], "unused": []}
    net, optimizer = started(case)
    train(net, optimizer, AFTER, seed=2)
    after = ckpt.read(folder / f"{case}.after.ckpt")
    for e in map_names(net).entries:
        if e.torch and e.mindspore:
            expected = net.state_dict()[e.torch].numpy().reshape(e.mindspore_shape)
            np.testing.assert_allclose(after[e.mindspore].numpy(), expected, rtol=2e-5, atol=2e-6, err_msg=e.torch)


@pytest.mark.parametrize("case", CASES)
def test_state_written_by_mindspore_continues_in_pytorch(case, mindspore_run):
    folder, _ = mindspore_run
    after = ckpt.read(folder / f"{case}.after.ckpt")
    net, optimizer = started(case)
    names = map_names(net)
    weights, _ = names.to_torch(after)
    net.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in weights.items()})
    state = optimizer_to_torch(optimizer, after, names, net, target=CASES[case][1])
    optimizer.load_state_dict(_tensors(state))
    train(net, optimizer, 2, seed=3)

    straight, straight_optimizer = started(case)
    train(straight, straight_optimizer, AFTER, seed=2)
    train(straight, straight_optimizer, 2, seed=3)
    for (name, p), q in zip(net.named_parameters(), straight.parameters(), strict=True):
        np.testing.assert_allclose(p.detach(), q.detach(), rtol=3e-5, atol=3e-6, err_msg=name)


def _tensors(value):
    if isinstance(value, dict):
        return {k: _tensors(v) for k, v in value.items()}
    return torch.tensor(value) if isinstance(value, (np.ndarray, np.generic)) else value


def test_every_rule_has_a_case():
    assert {target for _, target, _ in CASES.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize(
    ("make", "target", "reason"),
    [
        (lambda p: torch.optim.RMSprop(p), None, "mean square"),
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), "Momentum", "Nesterov"),
        (lambda p: torch.optim.AdamW(p), "AdamWeightDecay", "bias correction"),
        (lambda p: torch.optim.Adam(p), "AdamW", "Adam fits: Adam"),
    ],
)
def test_states_whose_values_differ_are_refused_with_the_reason(make, target, reason):
    net = Net()
    with pytest.raises(Unsupported, match=reason):
        optimizer_to_mindspore(make(net.parameters()), map_names(net), net, target=target)


def test_groups_with_different_learning_rates_are_refused():
    net = Net()
    optimizer = torch.optim.Adam([{"params": net.fc.parameters(), "lr": 0.1}, {"params": net.conv.parameters()}])
    with pytest.raises(Unsupported, match="lr"):
        optimizer_to_mindspore(optimizer, map_names(net), net)


def test_foreign_parameters_and_missing_state_are_named():
    net = Net()
    with pytest.raises(StateMismatch, match="does not have"):
        optimizer_to_mindspore(torch.optim.Adam(nn.Linear(2, 2).parameters()), map_names(net), net)
    with pytest.raises(StateMismatch, match=r"moment1\.fc\.weight is missing"):
        optimizer_to_torch(torch.optim.Adam(net.parameters()), {}, map_names(net), net)
