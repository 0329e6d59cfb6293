"""`Model`: the loop, its order and numbers, evaluation and prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mindport import Model, Tensor
from mindport.errors import Unsupported, UsageError, WrongTypeError
from mindport.train.callback import Callback, RunContext
from train.worlds import BATCHES, World, loader


class Diary(Callback):
    """Writes down every call with the numbers of that moment."""

    def __init__(self, stop_at: int = 0) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.stop_at = stop_at

    def _note(self, what: str, context: RunContext) -> None:
        args = context.original_args()
        self.calls.append((what, args.cur_epoch_num, args.cur_step_num, args.cur_step_in_epoch))

    def begin(self, run_context: RunContext) -> None:
        self._note("begin", run_context)

    def epoch_begin(self, run_context: RunContext) -> None:
        self._note("epoch_begin", run_context)

    def step_begin(self, run_context: RunContext) -> None:
        self._note("step_begin", run_context)

    def step_end(self, run_context: RunContext) -> None:
        self._note("step_end", run_context)
        if run_context.original_args().cur_step_num == self.stop_at:
            run_context.request_stop()

    def epoch_end(self, run_context: RunContext) -> None:
        self._note("epoch_end", run_context)

    def end(self, run_context: RunContext) -> None:
        self._note("end", run_context)


def test_the_order_of_calls_and_the_numbering() -> None:
    world, diary = World(), Diary()
    world.model.train(2, [*loader("list")][:2], diary)
    assert diary.calls == [
        ("begin", 1, 0, 0),
        ("epoch_begin", 1, 0, 0),
        ("step_begin", 1, 1, 1),
        ("step_end", 1, 1, 1),
        ("step_begin", 1, 2, 2),
        ("step_end", 1, 2, 2),
        ("epoch_end", 1, 2, 2),
        ("epoch_begin", 2, 2, 2),
        ("step_begin", 2, 3, 1),
        ("step_end", 2, 3, 1),
        ("step_begin", 2, 4, 2),
        ("step_end", 2, 4, 2),
        ("epoch_end", 2, 4, 2),
        ("end", 2, 4, 2),
    ]


def test_a_stop_request_ends_after_this_step() -> None:
    world, diary = World(), Diary(stop_at=3)
    world.model.train(9, [*loader("list")][:2], [diary])
    assert [c for c in diary.calls if c[0] in {"epoch_end", "end"}] == [
        ("epoch_end", 1, 2, 2),
        ("epoch_end", 2, 3, 1),
        ("end", 2, 3, 1),
    ]


def test_what_callbacks_are_told() -> None:
    world = World("adamw-cosine")
    seen: dict[str, Any] = {}

    class Look(Callback):
        def step_end(self, run_context: RunContext) -> None:
            seen.update(run_context.original_args())

    look = Look()
    world.model.train(2, world.loader, [look])
    assert seen["train_network"] is seen["network"] is world.network
    assert (seen["optimizer"], seen["scheduler"]) == (world.optimizer, world.scheduler)
    assert (seen["batch_num"], seen["epoch_num"], seen["mode"]) == (BATCHES, 2, "train")
    assert seen["list_callback"] == [look]
    assert seen["train_dataset"] is world.loader
    assert isinstance(float(seen["net_outputs"]), float)


def test_a_dataset_of_unknown_length() -> None:
    class Unsized:
        def __iter__(self) -> Any:
            return iter(loader("list"))

    world, diary = World(), Diary()
    world.model.train(2, Unsized(), [diary])
    assert [c[1:] for c in diary.calls if c[0] == "step_end"][-1] == (2, 2 * BATCHES, BATCHES)


def test_training_learns() -> None:
    world = World("adam")
    before = world.model.eval(world.loader)
    world.model.train(25, world.loader)
    after = world.model.eval(world.loader)
    assert after["loss"] < before["loss"] / 2
    assert after["accuracy"] > 0.8


def test_the_network_may_give_the_loss_itself() -> None:
    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(3.0))

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (self.w * x - y).square().mean()

    net = Loss()
    data = [(np.ones(2, np.float32), np.full(2, 5, np.float32))]
    Model(net, optimizer=torch.optim.SGD(net.parameters(), lr=0.25)).train(30, data)
    assert net.w.item() == pytest.approx(5, abs=1e-3)


def test_training_puts_the_network_into_training_mode() -> None:
    world = World()
    world.network.eval()
    modes = []

    class Look(Callback):
        def step_begin(self, run_context: RunContext) -> None:
            modes.append(world.network.drop.training)

    world.model.train(1, world.loader, [Look()])
    assert modes == [True] * BATCHES


def test_eval_gives_the_same_as_by_hand_and_returns_to_the_former_mode() -> None:
    world = World()
    data = loader("list")
    world.network.train()
    found = world.model.eval(data)
    assert world.network.training
    world.network.eval()
    with torch.no_grad():
        outputs = [(world.network(x), y) for x, y in data]
    assert found["accuracy"] == pytest.approx(
        float(np.mean([(o.argmax(1) == y).float().mean().item() for o, y in outputs]))
    )
    losses = [nn.functional.cross_entropy(o, y).item() for o, y in outputs]
    assert found["loss"] == pytest.approx(float(np.mean(losses)), rel=1e-6)
    assert world.model.eval(data) == found
    assert not world.network.training


def test_callbacks_of_evaluation() -> None:
    world, diary = World(), Diary()
    world.model.eval(loader("list"), [diary])
    assert [c[0] for c in diary.calls] == [
        "begin",
        "epoch_begin",
        *["step_begin", "step_end"] * BATCHES,
        "epoch_end",
        "end",
    ]


def test_predict_takes_every_kind_of_tensor() -> None:
    world = World()
    x = np.random.default_rng(0).normal(size=(2, 2, 6, 7)).astype(np.float32)
    results = [world.model.predict(v) for v in (x, Tensor(x), torch.from_numpy(x))]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert not results[0].requires_grad
    assert world.network.training


def test_an_error_in_the_network_passes_unchanged_and_leaves_callbacks() -> None:
    left: list[Any] = []

    class Leave(Callback):
        def __exit__(self, *exc: object) -> None:
            left.append(exc[0])

    world = World()
    with pytest.raises(RuntimeError, match="size"):
        world.model.train(1, [(torch.zeros(1, 9, 6, 7), torch.zeros(1, dtype=torch.int64))], [Leave(), Leave()])
    assert left == [RuntimeError, RuntimeError]


NET = nn.Linear(1, 1)
SGD = torch.optim.SGD(NET.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"network": "net"}, WrongTypeError),
        ({"network": nn.Linear}, WrongTypeError),
        ({"loss_fn": 3}, WrongTypeError),
        ({"optimizer": "sgd"}, WrongTypeError),
        ({"optimizer": torch.optim.LBFGS(NET.parameters())}, Unsupported),
        ({"metrics": {"f7"}}, UsageError),
        ({"metrics": 3}, WrongTypeError),
        ({"scheduler": 0.1}, WrongTypeError),
        ({"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(SGD)}, Unsupported),
    ],
)
def test_wrong_arguments_of_model(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Model(**({"network": NET} | options))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, [1]), ValueError),
        ((-1, [1]), ValueError),
        ((1.0, [1]), TypeError),
        (("1", [1]), TypeError),
        ((True, [1]), TypeError),
        ((1, 5), TypeError),
        ((1, iter([])), ValueError),
        ((1, []), ValueError),
        ((1, [1], [None]), TypeError),
        ((1, [1], ["Error"]), TypeError),
        ((1, [1], [Callback(), "Error", None]), TypeError),
        ((1, [1], Callback), TypeError),
    ],
)
def test_wrong_arguments_of_train(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    world = World()
    before = world.network.head.weight.tolist()
    with pytest.raises(error) as caught:
        world.model.train(*arguments)
    assert isinstance(caught.value, UsageError)
    assert world.network.head.weight.tolist() == before


def test_what_training_and_evaluation_need() -> None:
    with pytest.raises(UsageError, match="optimizer"):
        Model(NET, nn.MSELoss()).train(1, [(torch.ones(1), torch.ones(1))])
    with pytest.raises(UsageError, match="metrics"):
        Model(NET, nn.MSELoss()).eval([(torch.ones(1), torch.ones(1))])
    with pytest.raises(UsageError, match="no batch"):
        Model(NET, nn.MSELoss(), metrics="mse").eval([])
    with pytest.raises(UsageError, match="loss_fn"):
        Model(NET, metrics="loss").eval([(torch.ones(1), torch.ones(1))])
