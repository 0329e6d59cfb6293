"""A state of another kind is refused before anything is changed; a failure on the way leaves nothing half restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from mindport import Model
from mindport.errors import StateMismatch
from mindport.train.callback import Callback, CheckpointConfig, ModelCheckpoint
from mindport.train.putback import Part, differences, other_kinds, other_shapes, put_back, some
from train.worlds import World


def sequential(optimizer: Any, *kinds: Any) -> Any:
    parts = [kind(optimizer) for kind in kinds]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[2 * (i + 1) for i in range(len(parts) - 1)])


def step(optimizer: Any) -> Any:
    return lr_scheduler.StepLR(optimizer, 2)


def exponential(optimizer: Any) -> Any:
    return lr_scheduler.ExponentialLR(optimizer, 0.9)


def by_lambda(optimizer: Any) -> Any:
    return lr_scheduler.LambdaLR(optimizer, lambda n: 0.9**n)


def multiplicative(optimizer: Any) -> Any:
    return lr_scheduler.MultiplicativeLR(optimizer, lambda _: 0.9)


def chained(optimizer: Any, *kinds: Any) -> Any:
    return lr_scheduler.ChainedScheduler([kind(optimizer) for kind in kinds], optimizer)


def run(directory: Path, scheduler: Any, kind: Any = torch.optim.Adam, *more: Callback, resume: bool = False) -> World:
    world = World()
    world.optimizer = kind(world.network.parameters(), lr=0.01)
    world.scheduler = None if scheduler is None else scheduler(world.optimizer)
    world.model = Model(world.network, nn.CrossEntropyLoss(), world.optimizer, scheduler=world.scheduler)
    before = world.end()
    callbacks = [*more, ModelCheckpoint("net", directory, CheckpointConfig(save_checkpoint_steps=5))]
    try:
        world.model.train(2 if resume else 1, world.loader, callbacks, resume=resume)
    except StateMismatch:
        assert world.end() == before
        raise
    return world


ADAM, ADAMW = torch.optim.Adam, torch.optim.AdamW


@pytest.mark.parametrize(
    ("saved", "here", "kinds", "words"),
    [
        (
            lambda o: sequential(o, lr_scheduler.LinearLR, step, exponential),
            lambda o: sequential(o, lr_scheduler.LinearLR, step),
            (ADAM, ADAM),
            r"scheduler: SequentialLR\(LinearLR, StepLR, ExponentialLR\) in the checkpoint, SequentialLR\(LinearLR, S",
        ),
        (
            lambda o: sequential(o, lr_scheduler.LinearLR, step),
            lambda o: sequential(o, lr_scheduler.LinearLR, exponential),
            (ADAM, ADAM),
            r"SequentialLR\(LinearLR, StepLR\) in the checkpoint, SequentialLR\(LinearLR, ExponentialLR\) here",
        ),
        (
            lambda o: chained(o, step, exponential),
            lambda o: chained(o, step),
            (ADAM, ADAM),
            "scheduler: it combines 2 in the checkpoint, 1 here",
        ),
        (by_lambda, multiplicative, (ADAM, ADAM), "scheduler: LambdaLR in the checkpoint, MultiplicativeLR here"),
        (None, None, (ADAM, ADAMW), "optimizer: Adam in the checkpoint, AdamW here"),
    ],
)
def test_parts_of_another_class_are_refused(saved: Any, here: Any, kinds: Any, words: str, tmp_path: Path) -> None:
    run(tmp_path, saved, kinds[0])
    with pytest.raises(StateMismatch, match=words):
        run(tmp_path, here, kinds[1], resume=True)
    run(tmp_path, saved, kinds[0], resume=True)


def test_another_class_of_loss_is_refused(tmp_path: Path) -> None:
    def train(loss: Any, *, resume: bool) -> None:
        world = World()
        callbacks = [ModelCheckpoint("net", tmp_path)]
        Model(world.network, loss, world.optimizer).train(1, world.loader, callbacks, resume=resume)

    train(nn.CrossEntropyLoss(), resume=False)
    with pytest.raises(StateMismatch, match="loss_fn: CrossEntropyLoss in the checkpoint, MultiMarginLoss here"):
        train(nn.MultiMarginLoss(), resume=True)


def test_parameters_of_another_shape_outside_the_network_are_refused(tmp_path: Path) -> None:
    def train(size: int, *, resume: bool) -> None:
        world = World()
        more = nn.Parameter(torch.ones(size, 2))
        both = torch.optim.SGD([*world.network.parameters(), more], lr=0.1)
        loss = lambda output, label: nn.functional.cross_entropy(output, label) * more.mean()  # noqa: E731
        callbacks = [ModelCheckpoint("net", tmp_path)]
        Model(world.network, loss, both).train(1, world.loader, callbacks, resume=resume)

    train(3, resume=False)
    with pytest.raises(StateMismatch, match=r"parameter 6 has shape \(3, 2\) in the checkpoint, \(4, 2\) here"):
        train(4, resume=True)


class Picky(Callback):
    """Takes no state that it did not make itself."""

    def __init__(self) -> None:
        self.value = {"mine": 1}

    def state_dict(self) -> dict[str, Any]:
        return self.value

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = dict(state)
        raise KeyError("not mine")


class Module(nn.Module):
    """A network whose extra state cannot be loaded, but only after all weights were."""

    def __init__(self, fail: bool) -> None:
        super().__init__()
        self.net, self.fail = World().network, fail

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def get_extra_state(self) -> dict[str, Any]:
        return {"scale": 3}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if self.fail:
            self.fail = False  # the undo works
            raise IndexError("out of place")


def test_a_callback_that_refuses_its_state_leaves_nothing_half_restored(tmp_path: Path) -> None:
    run(tmp_path, step, ADAM, Picky())
    with pytest.raises(StateMismatch, match=r"(?s)made anew: callback Picky:\n  callback Picky: KeyError: 'not mine'"):
        run(tmp_path, step, ADAM, Picky(), resume=True)


def test_extra_state_that_fails_leaves_the_weights_as_they_were(tmp_path: Path) -> None:
    def train(*, resume: bool) -> nn.Module:
        world, net = World(), Module(fail=resume)
        before = {name: w.clone() for name, w in net.state_dict().items() if torch.is_tensor(w)}
        model = Model(net, nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=0.1))
        try:
            model.train(1, world.loader, [ModelCheckpoint("net", tmp_path)], resume=resume)
        except StateMismatch:
            assert all(torch.equal(before[n], w) for n, w in net.state_dict().items() if n in before)
            raise
        return net

    train(resume=False)
    with pytest.raises(StateMismatch, match=r"nothing was changed:\n  network \(extra state\): IndexError"):
        train(resume=True)


def noted(log: list[str], name: str, *, load: bool = True, undo: bool = True) -> Part:
    def note(what: str, works: bool) -> Callable[[], None]:
        def do() -> None:
            log.append(f"{what} {name}")
            if not works:
                raise RuntimeError(f"{what} {name}")

        return do

    return Part(name, note("load", load), note("undo", undo))


def test_parts_are_undone_last_first_even_when_one_refuses() -> None:
    log: list[str] = []
    parts = [noted(log, "a"), noted(log, "b", undo=False), noted(log, "c", load=False), noted(log, "d")]
    with pytest.raises(StateMismatch, match=r"F does not fit.* made anew: b:\n  c: RuntimeError: load c"):
        put_back(parts, "F")
    assert log == ["load a", "load b", "load c", "undo c", "undo b", "undo a"]


def test_differences_in_words() -> None:
    inner = {"_schedulers": [{"last": 1}, {"last": 1, "gamma": 2}]}
    assert differences("scheduler", inner, inner) == []
    other = {"_schedulers": [{"last": 1}, {"last": 1}]}
    assert differences("scheduler", inner, other) == [
        "scheduler 2 of 2: the checkpoint holds the state of another kind of scheduler 2 of 2 (gamma)"
    ]
    assert other_kinds({"a": "X", "b": "Y"}, {"a": "Z", "c": "Y"}) == ["a: Z in the checkpoint, X here"]
    assert other_shapes([[2], [3]], [[2], [4]]) == [
        "optimizer: parameter 1 has shape (4,) in the checkpoint, (3,) here"
    ]
    assert some("abcdefg") == "a, b, c, d, e and 2 more"
