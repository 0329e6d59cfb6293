"""One step: batches of every form reach the network's device, and the loop refuses what it cannot use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mindport import Tensor
from mindport.adapters.torch_step import TorchStep, in_mode, to_host
from mindport.errors import UsageError, WrongTypeError


class Two(nn.Module):
    """Takes two inputs; counts nothing on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, a: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        return self.layer(a if b is None else a + b)


def step(loss_fn: Any = F.mse_loss, **options: Any) -> TorchStep:
    torch.manual_seed(0)
    net = Two()
    return TorchStep(net, loss_fn, torch.optim.SGD(net.parameters(), lr=0.001), **options)


A, LABEL = np.arange(12, dtype=np.float32).reshape(4, 3), np.ones((4, 2), np.float32)


@pytest.mark.parametrize(
    "batch",
    [
        (A, LABEL),
        [torch.from_numpy(A), torch.from_numpy(LABEL)],
        (Tensor(A), Tensor(LABEL)),
        (A / 2, A / 2, LABEL),
        (A.astype(">f4"), LABEL.astype(">f4")),
    ],
)
def test_batches_of_every_form_make_the_same_step(batch: Any) -> None:
    one = step()
    wanted = nn.MSELoss()(one.network(torch.from_numpy(A)), torch.from_numpy(LABEL))
    loss = one.train(batch)
    assert float(loss) == pytest.approx(wanted.item())
    assert (loss.shape, loss.requires_grad) == ((), False)
    assert float(one.train(batch)) < float(loss)


def test_the_network_may_return_the_loss_itself() -> None:
    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([2.0]))

        def forward(self, x: torch.Tensor, scale: Any = 1) -> torch.Tensor:
            return (self.w * x * scale).sum()

    net = Loss()
    one = TorchStep(net, None, torch.optim.SGD(net.parameters(), lr=0.0))
    x = torch.ones(3)
    assert [float(one.train(b)) for b in (x, (x,), (x, torch.tensor(2.0)), {"x": x, "scale": torch.tensor(3.0)})] == [
        6,
        6,
        12,
        18,
    ]


@pytest.mark.parametrize("batch", [A, (A,), {"x": A}])
def test_with_a_loss_a_batch_is_a_pair(batch: Any) -> None:
    with pytest.raises(UsageError, match="pair"):
        step().train(batch)


@pytest.mark.parametrize("loss_fn", [lambda o, _: o, lambda o, _: o.sum().item(), lambda o, _: None])
def test_the_loss_must_be_one_number(loss_fn: Any) -> None:
    with pytest.raises(UsageError, match="one number"):
        step(loss_fn).train((A, LABEL))


def test_the_scheduler_steps_after_each_optimizer_step() -> None:
    torch.manual_seed(0)
    net = Two()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    one = TorchStep(net, nn.MSELoss(), optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
    for _ in range(3):
        one.train((A * 0, LABEL))
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_nested_batches_are_moved_whole() -> None:
    class Pair(NamedTuple):
        a: Any
        b: Any

    moved = step().moved({"pair": Pair(A, [Tensor(A), "text", 3]), "t": (np.float32(2),)})
    assert isinstance(moved["pair"], Pair)
    assert torch.equal(moved["pair"].a, moved["pair"].b[0])
    assert moved["pair"].b[1:] == ["text", 3]
    assert moved["t"][0].item() == 2


def test_batches_go_where_the_network_is() -> None:
    one = step()
    one.network.to("meta")
    assert one.moved(A).device.type == "meta"
    assert one.device().type == "meta"
    assert TorchStep(nn.ReLU()).device().type == "cpu"
    buffered = nn.Module()
    buffered.register_buffer("b", torch.zeros(1, device="meta"))
    assert TorchStep(buffered).device().type == "meta"


def test_bfloat16_and_scalars_reach_the_host() -> None:
    host = to_host(
        {"a": torch.tensor([1.5], dtype=torch.bfloat16), "b": (torch.tensor(2), "x"), "c": [torch.zeros(1, 2)]}
    )
    assert (float(host["a"][0]), int(host["b"][0]), host["b"][1], host["c"][0].shape) == (1.5, 2, "x", (1, 2))


def test_evaluation_and_prediction_leave_no_gradients() -> None:
    one = step()
    output, label, loss = one.evaluate((A, LABEL))
    assert output.shape == (4, 2)
    assert label.tolist() == LABEL.tolist()
    assert loss == pytest.approx(F.mse_loss(one.network(torch.from_numpy(A)), torch.from_numpy(LABEL)).item())
    assert not one.predict((A,)).requires_grad
    assert one.predict((A, Tensor(A))).shape == (4, 2)
    assert TorchStep(one.network).evaluate((A, LABEL))[2] is None


def test_each_module_returns_to_its_own_mode() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.ReLU()))
    net[1][0].eval()
    before = [m.training for m in net.modules()]
    with in_mode(net, training=False):
        assert not any(m.training for m in net.modules())
    assert [m.training for m in net.modules()] == before
    during: list[bool] = []
    with pytest.raises(ZeroDivisionError), in_mode(net, training=True):
        during.append(1 / (0 * len([m.training for m in net.modules()])))
    assert [m.training for m in net.modules()] == before


class Answer(NamedTuple):
    score: Any
    place: Any


def test_named_tuples_and_torchs_own_tuples_reach_the_host() -> None:
    host = to_host(Answer(torch.ones(2), (torch.tensor([1 + 2j]).conj(),)))
    assert (type(host), host.score.tolist(), host.place[0].tolist()) == (Answer, [1, 1], [1 - 2j])
    best = to_host(torch.tensor([[1.0, 5.0], [3.0, 2.0]]).max(dim=1))
    assert (best[0].tolist(), best[1].tolist()) == ([5, 3], [1, 0])


def test_big_endian_inputs_are_predicted() -> None:
    one = step()
    assert torch.equal(one.predict((A.astype(">f4"),)), one.predict((A,)))


def test_a_masked_batch_is_refused() -> None:
    with pytest.raises(WrongTypeError, match="masked"):
        step().predict((np.ma.array(A, mask=A > 3),))


def test_a_step_with_a_scaler_is_that_of_torch_by_hand() -> None:
    made = []
    for by_hand in (True, False):
        torch.manual_seed(3)
        net = nn.Linear(3, 1)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
        schedule = torch.optim.lr_scheduler.StepLR(sgd, 2)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=2)
        x, y = 9 * torch.randn(4, 3), 9 * torch.randn(4, 1)
        driven = TorchStep(net, F.mse_loss, sgd, schedule, scaler)
        taken = 0
        for _ in range(6):
            if not by_hand:
                driven.train((x, y))
                continue
            sgd.zero_grad()
            scaler.scale(F.mse_loss(net(x), y)).backward()
            finite = all(bool(p.grad.isfinite().all()) for p in net.parameters())
            scaler.step(sgd)
            scaler.update()
            if finite:
                schedule.step()
                taken += 1
        assert by_hand is False or 0 < taken < 6  # the first steps overflow and are left out
        made.append((net.weight.tolist(), scaler.state_dict(), schedule.state_dict()))
    assert made[0] == made[1]
