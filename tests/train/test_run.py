"""Resuming is exact: a run that was interrupted after any step ends bit for bit like one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mindport import Model
from mindport.checkpoint.snapshot import STATE
from mindport.errors import CorruptFile, RestoreError, StateMismatch, Unsupported, UsageError
from mindport.events import Event, Inexact, Restored, Skipped, subscribe
from mindport.formats import ckpt
from mindport.storage.atomic import commit
from mindport.train.callback import Callback, CheckpointConfig, ModelCheckpoint
from mindport.train.serialization import load_checkpoint, save_checkpoint
from train.worlds import BATCHES, InterruptAt, Interrupted, Losses, Secretive, World, digest_of

EPOCHS = 3
STEPS = EPOCHS * BATCHES


def saver(directory: Path, *, steps: int = 1, keep: int = 2) -> ModelCheckpoint:
    return ModelCheckpoint("net", directory, CheckpointConfig(save_checkpoint_steps=steps, keep_checkpoint_max=keep))


def uninterrupted(optimizer: str, loader: str) -> tuple[dict[str, bytes], dict[int, str]]:
    world, losses = World(optimizer, loader), Losses()
    world.model.train(EPOCHS, world.loader, [losses])
    return world.end(), losses.by_step


def check_resumed_at(k: int, optimizer: str, loader: str, directory: Path, wanted: Any) -> None:
    """Trains to step k, throws everything away, resumes with fresh objects and other random numbers."""
    first, losses = World(optimizer, loader), Losses()
    with pytest.raises(Interrupted):
        first.model.train(EPOCHS, first.loader, [losses, saver(directory, steps=k), InterruptAt(k)])
    second = World(optimizer, loader, number=99)
    second.model.train(EPOCHS, second.loader, [losses, saver(directory, steps=STEPS)], resume=True)
    assert losses.by_step == wanted[1]
    assert second.end() == wanted[0]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw-cosine", "adafactor"])
def test_resume_after_every_step_ends_like_an_uninterrupted_run(optimizer: str, tmp_path: Path) -> None:
    wanted = uninterrupted(optimizer, "shuffle")
    assert len(wanted[1]) == STEPS
    for k in range(1, STEPS + 1):
        check_resumed_at(k, optimizer, "shuffle", tmp_path / str(k), wanted)


@pytest.mark.parametrize("loader", ["noisy", "generator", "weighted", "stateful", "list"])
def test_resume_is_exact_for_every_kind_of_data(loader: str, tmp_path: Path) -> None:
    wanted = uninterrupted("sgd", loader)
    for k in (1, 4, BATCHES, BATCHES + 2, STEPS - 1):
        check_resumed_at(k, "sgd", loader, tmp_path / str(k), wanted)


@pytest.mark.parametrize("loader", ["workers", "persistent"])
def test_resume_is_exact_with_worker_processes(loader: str, tmp_path: Path) -> None:
    events: list[Event] = []
    end = subscribe(events.append)
    check_resumed_at(BATCHES + 2, "sgd", loader, tmp_path, uninterrupted("sgd", loader))
    end()
    assert not [e for e in events if isinstance(e, Inexact)]


@pytest.mark.parametrize("k", [2, BATCHES])
def test_data_that_do_not_come_again_are_told_by_name(k: int, tmp_path: Path) -> None:
    world = World()
    with pytest.raises(Interrupted):
        world.model.train(3, Secretive(), [saver(tmp_path), InterruptAt(BATCHES + k)])
    events: list[Event] = []
    end = subscribe(events.append)
    again = World()
    again.model.train(3, Secretive(), [saver(tmp_path)], resume=True)
    end()
    told = [e for e in events if isinstance(e, Inexact)]
    assert [Path(e.path).name for e in told] == [f"net-2_{k}.ckpt"]
    assert told[0].reason.startswith(f"data: batch {k} of the epoch is not the one that was trained on")


def test_resume_twice_in_a_row(tmp_path: Path) -> None:
    wanted = uninterrupted("adam", "shuffle")
    losses = Losses()
    for number, end in ((5, 4), (8, 9)):
        world = World("adam", "shuffle", number=number)
        with pytest.raises(Interrupted):
            world.model.train(EPOCHS, world.loader, [losses, saver(tmp_path), InterruptAt(end)], resume=True)
    world = World("adam", "shuffle", number=77)
    world.model.train(EPOCHS, world.loader, [losses, saver(tmp_path)], resume=True)
    assert (world.end(), losses.by_step) == wanted
    assert {p.name for p in tmp_path.glob("*.ckpt")} == {"net-3_4.ckpt", "net-3_5.ckpt"}


def test_resume_after_sigkill(tmp_path: Path) -> None:
    """A real process, really killed in the middle of an epoch, once while training and once while it writes."""
    script = Path(__file__).with_name("killed_run.py")

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), str(tmp_path / "run"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    assert start("--kill-after", "7").returncode == -signal.SIGKILL
    assert start("--kill-while-writing", "9").returncode == -signal.SIGKILL
    done = start()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == digest_of(uninterrupted("adamw-cosine", "shuffle")[0])
    assert "resumed at 8" in done.stdout
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".") and "net-" in p.name]


def test_no_checkpoint_means_a_fresh_start(tmp_path: Path) -> None:
    wanted = uninterrupted("sgd", "shuffle")
    world, losses = World(), Losses()
    world.model.train(EPOCHS, world.loader, [losses, saver(tmp_path)], resume=True)
    assert (world.end(), losses.by_step) == wanted


def test_a_resumed_run_continues_its_own_prefix_instead_of_taking_a_new_one(tmp_path: Path) -> None:
    for resume in (False, False, True):
        world = World()
        checkpoint = saver(tmp_path, keep=1)
        world.model.train(2 if resume else 1, world.loader, [checkpoint], resume=resume)
    assert {p.name for p in tmp_path.glob("net*.ckpt")} == {"net-1_5.ckpt", "net_2-2_5.ckpt"}


def test_resume_walks_back_over_damaged_files_and_names_them(tmp_path: Path) -> None:
    world = World()
    world.model.train(1, world.loader, [saver(tmp_path, keep=3)])
    newest, second = tmp_path / "net-1_5.ckpt", tmp_path / "net-1_4.ckpt"
    newest.write_bytes(newest.read_bytes()[:-40])
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 0x10
    second.write_bytes(data)
    events: list[Event] = []
    end = subscribe(events.append)
    again, losses = World(number=42), Losses()
    again.model.train(1, again.loader, [losses, saver(tmp_path, keep=3)], resume=True)
    end()
    assert [Path(e.path).name for e in events if isinstance(e, Skipped)] == [newest.name, second.name]
    restored = next(e for e in events if isinstance(e, Restored))
    assert (restored.epoch, restored.step) == (1, 3)
    assert sorted(losses.by_step) == [4, 5]
    assert again.end() == world.end()


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    world = World()
    world.model.train(2, world.loader, [saver(tmp_path)])
    before = {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in tmp_path.iterdir() if p.suffix == ".ckpt"}
    again, losses = World(number=3), Losses()
    again.model.train(2, again.loader, [losses, saver(tmp_path)], resume=True)
    assert losses.by_step == {}
    assert again.end()["x.network.head.weight"] == world.end()["x.network.head.weight"]
    assert before == {
        p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in tmp_path.iterdir() if p.suffix == ".ckpt"
    }


def other_network(world: World) -> None:
    world.network.head = nn.Linear(72, 5)


def more_parameters(world: World) -> None:
    world.network.extra = nn.Linear(2, 2)


def other_optimizer(world: World) -> None:
    world.model = Model(world.network, nn.CrossEntropyLoss(), torch.optim.Adam(world.network.parameters()))


def fewer_groups(world: World) -> None:
    half = torch.optim.SGD(list(world.network.parameters())[:2], lr=0.1, momentum=0.9)
    world.model = Model(world.network, nn.CrossEntropyLoss(), half)


def other_order(world: World) -> None:
    backwards = torch.optim.SGD(list(world.network.parameters())[::-1], lr=0.05, momentum=0.9, weight_decay=0.01)
    world.model = Model(world.network, nn.CrossEntropyLoss(), backwards)


def a_scheduler(world: World) -> None:
    scheduler = torch.optim.lr_scheduler.ConstantLR(world.optimizer)
    world.model = Model(world.network, nn.CrossEntropyLoss(), world.optimizer, scheduler=scheduler)


def other_data(world: World) -> None:
    world.loader = world.loader.__class__(world.loader.dataset, batch_size=5, shuffle=True)


def other_generator(world: World) -> None:
    world.loader = World("sgd", "generator").loader


def other_loader(world: World) -> None:
    world.loader = World("sgd", "stateful").loader


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_network, r"head\.weight.*float32 \(4, 72\)"),
        (more_parameters, r"network: not in the checkpoint: extra\.weight, extra\.bias"),
        (other_optimizer, "optimizer: group 0 has other options"),
        (fewer_groups, "optimizer: group 0 has 6 parameters in the checkpoint, 2 here"),
        (other_order, "optimizer: it has the same number of parameters, but others or in another order"),
        (a_scheduler, "scheduler: none with state in the checkpoint, one here"),
        (other_data, "data: an epoch had 5 batches when the checkpoint was saved, here it has 3"),
        (other_generator, "random state: the checkpoint has the data generators none"),
        (other_loader, "data: the checkpoint is of a loader without a state_dict, here is one with"),
    ],
)
def test_a_state_that_cannot_be_restored_exactly_says_so_by_name(change: Any, words: str, tmp_path: Path) -> None:
    world = World()
    world.model.train(1, world.loader, [saver(tmp_path)])
    again = World(number=8)
    change(again)
    before = again.end()
    with pytest.raises(RestoreError, match=words):
        again.model.train(2, again.loader, [saver(tmp_path)], resume=True)
    assert again.end() == before
    world = World()
    world.model.train(2, world.loader, [saver(tmp_path)], resume=True)  # the failed attempt left the run free


def test_all_reasons_are_listed_at_once(tmp_path: Path) -> None:
    world = World()
    world.model.train(1, world.loader, [saver(tmp_path)])
    again = World()
    more_parameters(again)
    a_scheduler(again)
    other_data(again)
    with pytest.raises(StateMismatch) as caught:
        again.model.train(2, again.loader, [saver(tmp_path)], resume=True)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "network",
        "scheduler",
        "data",
    ]


def test_a_checkpoint_without_state_is_not_resumed_from(tmp_path: Path) -> None:
    world = World()
    save_checkpoint(world.network, tmp_path / "net-1_1.ckpt")
    with pytest.raises(StateMismatch, match="holds weights only"):
        world.model.train(1, world.loader, [saver(tmp_path)], resume=True)


def rewritten(path: Path, change: Any) -> None:
    """Writes a checkpoint anew, with valid checksums, after `change` was made to its state."""
    file = ckpt.read(path)
    tree = json.loads(bytes(np.asarray(file[STATE])))
    change(tree)
    content = {name: file[name] for name in file}
    content[STATE] = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    info = {"epoch": file.info.epoch, "step": file.info.step, "total_step": file.info.total_step}
    commit(path, ckpt.write(content, info=info))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda t: t.update(version=9), StateMismatch, "state of version 9"),
        (lambda t: t.pop("version"), StateMismatch, "version None"),
        (lambda t: t.pop("loop"), CorruptFile, "'loop'"),
        (lambda t: t["loop"].update(epoch="x"), CorruptFile, r"'loop\.epoch'"),
        (lambda t: t["data"].pop("epoch_start"), CorruptFile, r"'data\.epoch_start'"),
        (lambda t: t["data"]["now"].pop("torch"), CorruptFile, r"'data\.now\.torch'"),
        (lambda t: t["data"]["now"].update(torch=None), StateMismatch, "torch's generator is of another version"),
        (lambda t: t["data"]["now"].update(python={"$tuple": [3, [1], None]}), StateMismatch, "Python's generator"),
        (
            lambda t: t["data"]["now"]["numpy"].update(bit_generator="PCG64"),
            StateMismatch,
            "NumPy's generator was PCG64",
        ),
        (lambda t: t["optimizer"].update(param_groups=[1]), CorruptFile, r"'optimizer\.param_groups'"),
        (lambda t: t.update(scheduler=[]), CorruptFile, "'scheduler'"),
        (lambda t: t.update(callbacks=None), CorruptFile, "'callbacks'"),
    ],
)
def test_damaged_or_later_state_is_one_clear_error(change: Any, error: Any, words: str, tmp_path: Path) -> None:
    world = World()
    world.model.train(1, world.loader, [saver(tmp_path, keep=1)])
    rewritten(tmp_path / "net-1_5.ckpt", change)
    again = World()
    before = again.end()
    with pytest.raises(error, match=words):
        again.model.train(2, again.loader, [saver(tmp_path)], resume=True)
    assert again.end() == before


def test_resume_needs_one_model_checkpoint(tmp_path: Path) -> None:
    world = World()
    with pytest.raises(UsageError, match="exactly one ModelCheckpoint"):
        world.model.train(1, world.loader, resume=True)
    with pytest.raises(UsageError, match="there are 2"):
        world.model.train(1, world.loader, [saver(tmp_path), saver(tmp_path)], resume=True)


class Counter(Callback):
    """A callback with state."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def step_end(self, run_context: Any) -> None:
        self.value += 1

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


def test_callbacks_with_state_get_it_back(tmp_path: Path) -> None:
    world = World()
    world.model.train(1, world.loader, [Counter(), Counter(100), saver(tmp_path)])
    one, two = Counter(), Counter()
    again = World()
    again.model.train(2, again.loader, [one, two, saver(tmp_path)], resume=True)
    assert (one.value, two.value) == (10, 110)
    with pytest.raises(StateMismatch, match="callbacks: the checkpoint has the state of Counter, Counter~2"):
        again.model.train(3, again.loader, [saver(tmp_path)], resume=True)


def test_a_callback_with_state_after_model_checkpoint_is_refused(tmp_path: Path) -> None:
    world = World()
    with pytest.raises(UsageError, match="Counter has a state_dict and stands after ModelCheckpoint"):
        world.model.train(1, world.loader, [saver(tmp_path), Counter()])


def test_state_that_cannot_be_stored_is_refused_by_its_path(tmp_path: Path) -> None:
    world = World()
    with pytest.raises(Unsupported, match=r"callbacks\.Counter\.value.*cannot be stored exactly"):
        world.model.train(1, world.loader, [Counter(_Half()), saver(tmp_path)])
    assert not list(tmp_path.glob("*.ckpt"))


class _Half:
    def __add__(self, other: int) -> Any:
        return self


def test_a_loss_with_parameters_is_part_of_the_state(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.5))

        def forward(self, output: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return self.scale * nn.functional.cross_entropy(output, label)

    def make() -> tuple[World, Scaled, Model]:
        world, loss = World(), Scaled()
        both = [*world.network.parameters(), *loss.parameters()]
        return world, loss, Model(world.network, loss, torch.optim.SGD(both, lr=0.1, momentum=0.5))

    world, loss, model = make()
    model.train(2, world.loader, [saver(tmp_path / "whole")])
    first = make()
    first[2].train(1, first[0].loader, [saver(tmp_path / "cut")])
    second = make()
    second[2].train(2, second[0].loader, [saver(tmp_path / "cut")], resume=True)
    assert loss.scale.item() == second[1].scale.item() != first[1].scale.item()
    assert torch.equal(world.network.head.weight, second[0].network.head.weight)


def test_resume_with_a_scaler_is_exact(tmp_path: Path) -> None:
    """The scale starts where gradients overflow, so steps are left out, and grows again."""

    def make(number: int = 5) -> tuple[World, Any]:
        world = World("adamw-cosine", number=number)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=2)
        world.model = Model(world.network, steep, world.optimizer, scheduler=world.scheduler, scaler=scaler)
        return world, scaler

    def steep(output: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return 50 * nn.functional.cross_entropy(output, label)

    wanted, wanted_scaler = make()
    wanted.model.train(EPOCHS, wanted.loader)
    assert 0 < wanted.scheduler.last_epoch < STEPS  # the scheduler counts the steps that were made
    for k in (1, 4, BATCHES, STEPS - 2):
        cut, _ = make()
        with pytest.raises(Interrupted):
            cut.model.train(EPOCHS, cut.loader, [saver(tmp_path / str(k), steps=k), InterruptAt(k)])
        again, scaler = make(number=99)
        again.model.train(EPOCHS, again.loader, [saver(tmp_path / str(k), steps=STEPS)], resume=True)
        assert again.end() == wanted.end()
        assert scaler.state_dict() == wanted_scaler.state_dict()
    plain = World("adamw-cosine")
    with pytest.raises(StateMismatch, match="scaler: one with state in the checkpoint, none here"):
        plain.model.train(EPOCHS, plain.loader, [saver(tmp_path / "1")], resume=True)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_random_numbers_drawn_behind_model_checkpoint_are_told(place: str, tmp_path: Path) -> None:
    class Draws(Callback):
        def step_end(self, run_context: Any) -> None:
            torch.rand(2)

    world, checkpoint = World(), saver(tmp_path)
    events: list[Event] = []
    end = subscribe(events.append)
    world.model.train(2, world.loader, [Draws(), checkpoint] if place == "before" else [checkpoint, Draws()])
    end()
    told = [e for e in events if isinstance(e, Inexact)]
    assert [Path(e.path).name for e in told] == (["net-1_1.ckpt"] if place == "behind" else [])
    assert all("behind ModelCheckpoint (Draws)" in e.reason and "Put ModelCheckpoint last" in e.reason for e in told)


def test_what_begin_and_epoch_begin_change_is_not_changed_twice(tmp_path: Path) -> None:
    class Slower(Callback):
        def __init__(self) -> None:
            self.seen = 0

        def begin(self, run_context: Any) -> None:
            nn.init.constant_(run_context.original_args().network.head.bias, 0.5)

        def epoch_begin(self, run_context: Any) -> None:
            self.seen = 0
            for group in run_context.original_args().optimizer.param_groups:
                group["lr"] *= 0.5

        def step_end(self, run_context: Any) -> None:
            self.seen += 1

        def state_dict(self) -> dict[str, Any]:
            return {"seen": self.seen}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.seen = state["seen"]

    wanted, whole = World(), Slower()
    wanted.model.train(EPOCHS, wanted.loader, [whole])
    for k in (1, BATCHES, BATCHES + 2, STEPS):
        cut = World()
        with pytest.raises(Interrupted):
            cut.model.train(EPOCHS, cut.loader, [Slower(), saver(tmp_path / str(k), steps=k), InterruptAt(k)])
        again, slower = World(number=9), Slower()
        again.model.train(EPOCHS, again.loader, [slower, saver(tmp_path / str(k), steps=STEPS)], resume=True)
        assert again.end() == wanted.end()
        assert slower.seen == whole.seen == BATCHES


def test_a_network_that_changes_its_input_in_place_raises_no_alarm(tmp_path: Path) -> None:
    def make() -> tuple[Model, Any]:
        world = World()
        net = nn.Sequential(nn.ReLU(inplace=True), world.network)
        return Model(net, nn.CrossEntropyLoss(), world.optimizer), world.loader

    model, loader = make()
    with pytest.raises(Interrupted):
        model.train(2, loader, [saver(tmp_path, steps=3), InterruptAt(3)])
    events: list[Event] = []
    end = subscribe(events.append)
    model, loader = make()
    model.train(2, loader, [saver(tmp_path)], resume=True)
    end()
    assert [e for e in events if isinstance(e, Restored)]
    assert not [e for e in events if isinstance(e, Inexact)]


def test_network_parameters_with_buffers_and_optimizer_parameters_are_both_in_the_file(tmp_path: Path) -> None:
    world = World("adam")
    checkpoint = saver(tmp_path)
    world.model.train(1, world.loader, [checkpoint])
    file = ckpt.read(checkpoint.latest_ckpt_file_name, verify=True)
    names = list(world.network.state_dict())
    assert list(file)[: len(names)] == names
    assert STATE in file
    assert {f"{ckpt.RESERVED}optimizer.state.0.exp_avg", f"{ckpt.RESERVED}optimizer.state.5.max_exp_avg_sq"} <= set(
        file
    )
    assert list(load_checkpoint(checkpoint.latest_ckpt_file_name)) == names
    assert (file.info.epoch, file.info.step, file.info.total_step) == (1, 5, 5)


class Odd(nn.Module):
    """Has tensors that PyTorch refuses to write to as they are."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("row", torch.full((1, 1), scale).expand(1, 2))
        with torch.inference_mode():
            self.register_buffer("made", torch.full((2,), scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * self.row


def test_expanded_buffers_and_those_of_inference_mode_are_resumed(tmp_path: Path) -> None:
    data = [(torch.ones(1, 2), torch.zeros(1, 2))]
    nets = [Odd(scale) for scale in (2.0, 3.0)]
    for epoch, net in enumerate(nets, 1):
        model = Model(net, nn.functional.mse_loss, torch.optim.SGD(net.parameters(), 0.01))
        model.train(epoch, data, [saver(tmp_path)], resume=True)
    assert (nets[1].row.tolist(), nets[1].made.tolist()) == ([[2, 2]], [2, 2])
