"""`ModelCheckpoint`, sentence by sentence of the tutorial, and what happens when the disk or the caller misbehaves."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mindport.checkpoint.names import graph_meta_name
from mindport.errors import (
    InUse,
    MindportError,
    NoPermission,
    NoSpace,
    NotADirectory,
    NotAFile,
    StorageError,
    UsageError,
    WrongTypeError,
)
from mindport.events import Event, Pruned, Saved, subscribe
from mindport.formats import ckpt, graph_meta
from mindport.formats.mapped import map_file
from mindport.train.callback import Callback, CheckpointConfig, LossMonitor, ModelCheckpoint, RunContext
from mindport.train.callback.base import RunParameters
from mindport.train.serialization import load_checkpoint
from train.worlds import BATCHES, Interrupted, Losses, World


def trained(
    directory: Path | None, *config: Any, epochs: int = 2, prefix: str = "resnet50", **options: Any
) -> ModelCheckpoint:
    """Trains five steps an epoch and returns the callback."""
    world = World()
    checkpoint = ModelCheckpoint(prefix, directory, CheckpointConfig(*config, **options))
    world.model.train(epochs, world.loader, [checkpoint])
    return checkpoint


def files(directory: Path) -> list[str]:
    found = [p.name for p in directory.iterdir() if not p.name.startswith(".")]
    return sorted(found, key=lambda n: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", n)])


def test_model_checkpoint_with_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves every step, keeps five, prefix CKP, in the working directory."""
    monkeypatch.chdir(tmp_path)
    world = World()
    world.model.train(2, world.loader, ModelCheckpoint())
    assert files(tmp_path) == [*(f"CKP-2_{i}.ckpt" for i in range(1, 6)), "CKP-graph.meta"]


def test_files_with_a_crc_are_resumed_and_pruned_like_others(tmp_path: Path) -> None:
    trained(tmp_path, 1, 0, 2, crc_check=True, epochs=1)
    assert files(tmp_path) == ["resnet50-1_4.ckpt", "resnet50-1_5.ckpt", "resnet50-graph.meta"]
    world = World()
    checkpoint = ModelCheckpoint("resnet50", tmp_path, CheckpointConfig(1, 0, 2, crc_check=True))
    world.model.train(2, world.loader, [checkpoint], resume=True)
    assert files(tmp_path) == ["resnet50-2_4.ckpt", "resnet50-2_5.ckpt", "resnet50-graph.meta"]
    for name in files(tmp_path)[:2]:
        assert (tmp_path / name).read_bytes()[-17:-10] == b"crc_num"
        assert load_checkpoint(tmp_path / name, crc_check=True)


def test_the_default_directory_is_the_working_directory_at_construction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    checkpoint = ModelCheckpoint()
    monkeypatch.chdir(tmp_path / "b")
    world = World()
    world.model.train(1, world.loader, [checkpoint])
    assert len(files(tmp_path / "a")) == 6
    assert files(tmp_path / "b") == []


def test_the_prefix_stays_known_after_the_run(tmp_path: Path) -> None:
    trained(tmp_path, epochs=1)
    seen: list[str] = []

    class Later(Callback):
        def end(self, run_context: RunContext) -> None:
            seen.append(checkpoint.prefix)

    world, checkpoint = World(), ModelCheckpoint("resnet50", tmp_path)
    assert checkpoint.prefix == "resnet50"
    world.model.train(1, world.loader, [checkpoint, Later()])
    assert [*seen, checkpoint.prefix] == ["resnet50_2", "resnet50_2"]


def test_an_evaluation_within_training_leaves_the_run_its_claim(tmp_path: Path) -> None:
    world = World()
    checkpoint = ModelCheckpoint("net", tmp_path, CheckpointConfig(keep_checkpoint_max=9))

    class Judge(Callback):
        def epoch_end(self, run_context: RunContext) -> None:
            if run_context.original_args().mode == "train":
                world.model.eval([*world.loader][:1], callbacks)

    callbacks = [checkpoint, Judge()]
    world.model.train(2, world.loader, callbacks)
    assert files(tmp_path) == [*(f"net-{e}_{i}.ckpt" for e in (1, 2) for i in range(1, 6)), "net-graph.meta"][1:]


def test_a_graph_that_cannot_be_written_leaves_the_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = graph_meta.write

    def write(outline: graph_meta.GraphOutline) -> Any:
        if outline.nodes:
            raise ValueError("an argument of another world")
        return real(outline)

    monkeypatch.setattr(graph_meta, "write", write)
    trained(tmp_path, epochs=1)
    assert [n.op_type for n in graph_meta.read(tmp_path / "resnet50-graph.meta").graph] == []


def test_the_directory_is_made_if_it_is_missing(tmp_path: Path) -> None:
    checkpoint = trained(tmp_path / "models" / "deep", 5, epochs=1)
    assert files(tmp_path / "models" / "deep") == ["resnet50-1_5.ckpt", "resnet50-graph.meta"]
    assert checkpoint.latest_ckpt_file_name == str(tmp_path / "models" / "deep" / "resnet50-1_5.ckpt")


def test_steps_are_counted_across_epochs_and_named_inside_their_epoch(tmp_path: Path) -> None:
    trained(tmp_path, 3, 0, 10)
    names = [f"resnet50-{e}_{s}.ckpt" for e, s in ((1, 3), (2, 1), (2, 4), (2, 5))]
    assert files(tmp_path) == [*names, "resnet50-graph.meta"]


def test_the_last_step_is_always_saved_at_a_normal_end(tmp_path: Path) -> None:
    trained(tmp_path, 1000, epochs=1)
    assert files(tmp_path) == ["resnet50-1_5.ckpt", "resnet50-graph.meta"]


def test_the_last_step_is_saved_once(tmp_path: Path) -> None:
    saved: list[Event] = []
    end = subscribe(saved.append)
    trained(tmp_path, 5, epochs=1)
    end()
    assert len([e for e in saved if isinstance(e, Saved)]) == 1


def test_both_save_policies_cancelled_writes_only_what_end_must(tmp_path: Path) -> None:
    trained(tmp_path, None, None, 5)
    assert files(tmp_path) == ["resnet50-2_5.ckpt", "resnet50-graph.meta"]


def test_keep_checkpoint_max_keeps_the_newest(tmp_path: Path) -> None:
    trained(tmp_path, 1, 0, 2)
    assert files(tmp_path) == ["resnet50-2_4.ckpt", "resnet50-2_5.ckpt", "resnet50-graph.meta"]


def test_none_cancels_and_all_files_are_kept(tmp_path: Path) -> None:
    trained(tmp_path, 1, 0, None)
    assert len([n for n in files(tmp_path) if n.endswith(".ckpt")]) == 2 * BATCHES


def test_per_n_minutes_keeps_the_first_of_the_window_and_the_last(tmp_path: Path) -> None:
    trained(tmp_path, 1, 0, None, 60)
    assert files(tmp_path) == ["resnet50-1_1.ckpt", "resnet50-2_5.ckpt", "resnet50-graph.meta"]


def test_seconds_count_from_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("mindport.train.callback.checkpoint.time.monotonic", lambda: now[0])

    class TenSeconds(Callback):
        def step_begin(self, run_context: RunContext) -> None:
            now[0] += 10

    world = World()
    checkpoint = ModelCheckpoint("net", tmp_path, CheckpointConfig(None, 25, 10))
    world.model.train(2, world.loader, [TenSeconds(), checkpoint])
    assert [n for n in files(tmp_path) if n.endswith("ckpt")] == [
        f"net-{e}_{s}.ckpt" for e, s in ((1, 3), (2, 1), (2, 4), (2, 5))
    ]


def test_a_second_run_gets_the_suffix_of_its_ordinal_and_a_third_one_too(tmp_path: Path) -> None:
    prefixes = [trained(tmp_path, 5, epochs=1).latest_ckpt_file_name for _ in range(3)]
    assert files(tmp_path) == [
        "resnet50-1_5.ckpt", "resnet50-graph.meta",
        "resnet50_2-1_5.ckpt", "resnet50_2-graph.meta",
        "resnet50_3-1_5.ckpt", "resnet50_3-graph.meta",
    ]  # fmt: skip
    assert [Path(p).name for p in prefixes] == [f"resnet50{s}-1_5.ckpt" for s in ("", "_2", "_3")]


def test_a_left_over_meta_without_checkpoints_is_no_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "resnet50-graph.meta").write_bytes(b"left over")
    trained(tmp_path, 5, epochs=1)
    assert files(tmp_path) == ["resnet50-1_5.ckpt", "resnet50-graph.meta"]
    assert graph_meta.decoded(map_file(tmp_path / "resnet50-graph.meta")).graph.name == "Net"


def test_other_prefixes_are_no_earlier_runs_and_are_never_deleted(tmp_path: Path) -> None:
    others = ["resnet50v2-1_1.ckpt", "resnet50_a-1_1.ckpt", "resnet5-1_1.ckpt", "resnet50.ckpt", "resnet50-best.ckpt"]
    for name in others:
        (tmp_path / name).write_bytes(b"somebody's")
    trained(tmp_path, 1, 0, 1, epochs=1)
    assert set(files(tmp_path)) == {*others, "resnet50-1_5.ckpt", "resnet50-graph.meta"}
    assert all((tmp_path / name).read_bytes() == b"somebody's" for name in others)


def test_the_graph_meta_is_written_once_at_the_first_step(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Look(Callback):
        def step_end(self, run_context: RunContext) -> None:
            seen.append((run_context.original_args().cur_step_num, (tmp_path / "net-graph.meta").stat().st_mtime_ns))

    world = World()
    world.model.train(2, world.loader, [ModelCheckpoint("net", tmp_path, CheckpointConfig(100)), Look()])
    assert [step for step, _ in seen] == list(range(1, 11))
    assert len({at for _, at in seen}) == 1
    graph = graph_meta.decoded(map_file(tmp_path / "net-graph.meta")).graph
    assert [p.name for p in graph.parameters][:3] == ["x", "conv.weight", "conv.bias"]
    assert "Conv2D" in [n.op_type for n in graph.node]


def test_a_deleted_graph_meta_is_not_written_again(tmp_path: Path) -> None:
    class Delete(Callback):
        def step_end(self, run_context: RunContext) -> None:
            (tmp_path / "net-graph.meta").unlink(missing_ok=True)

    world = World()
    world.model.train(1, world.loader, [ModelCheckpoint("net", tmp_path), Delete()])
    assert not (tmp_path / "net-graph.meta").exists()


def test_a_callback_after_model_checkpoint_finds_the_steps_file_on_disk(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint("net", tmp_path, CheckpointConfig(2))
    seen = {}

    class After(Callback):
        def step_end(self, run_context: RunContext) -> None:
            args = run_context.original_args()
            if checkpoint.latest_ckpt_file_name:
                info = ckpt.read(checkpoint.latest_ckpt_file_name, verify=True).info
                seen[args.cur_step_num] = (info.epoch, info.step, info.total_step)

    world = World()
    world.model.train(2, world.loader, [checkpoint, After()])
    assert seen == {
        2: (1, 2, 2),
        3: (1, 2, 2),
        4: (1, 4, 4),
        5: (1, 4, 4),
        **{i: (2, i - i % 2 - 5, i - i % 2) for i in range(6, 11)},
    }


def test_pruning_happens_only_after_the_new_file_is_durable(tmp_path: Path) -> None:
    events: list[Event] = []
    end = subscribe(lambda e: events.append(e))
    trained(tmp_path, 1, 0, 1, epochs=1)
    end()
    kinds = [type(e) for e in events if isinstance(e, (Saved, Pruned))]
    assert kinds == [Saved] + [Saved, Pruned] * (BATCHES - 1)


def test_the_loss_of_the_step_is_recorded_in_the_file(tmp_path: Path) -> None:
    losses = []

    class Loss(Callback):
        def step_end(self, run_context: RunContext) -> None:
            losses.append(float(run_context.original_args().net_outputs))

    world = World()
    checkpoint = ModelCheckpoint("net", tmp_path)
    world.model.train(1, world.loader, [checkpoint, Loss()])
    assert ckpt.read(checkpoint.latest_ckpt_file_name).info.metrics == {"loss": losses[-1]}


def test_append_info_is_in_the_file_and_a_resumed_run_ignores_it(tmp_path: Path) -> None:
    info = ["epoch_num", "step_num", {"lr": 0.25, "note": "häß", "table": np.arange(6, dtype=np.int16).reshape(2, 3)}]
    checkpoint = trained(tmp_path, 5, append_info=info, epochs=1)
    found = load_checkpoint(checkpoint.latest_ckpt_file_name)
    assert (int(found["epoch_num"]), int(found["step_num"]), float(found["lr"])) == (1, 5, 0.25)
    assert found["note"] == "häß"
    assert np.asarray(found["table"]).tolist() == [[0, 1, 2], [3, 4, 5]]
    world = World()
    again = ModelCheckpoint("resnet50", tmp_path, CheckpointConfig(5, append_info=info))
    world.model.train(2, world.loader, [again], resume=True)
    assert Path(again.latest_ckpt_file_name).name == "resnet50-2_5.ckpt"


def by_hand(**values: Any) -> RunContext:
    """A run context as a training loop of one's own makes it."""
    fields: dict[str, Any] = {"train_network": World().network, "cur_epoch_num": 1, "cur_step_num": 1, "batch_num": 32}
    return RunContext(RunParameters(fields | values))


def test_checkpoint_save_ckpt_steps(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint("CKP", tmp_path, CheckpointConfig(16, keep_checkpoint_max=5))
    checkpoint.begin(by_hand(cur_step_num=0))
    checkpoint.step_end(by_hand(cur_epoch_num=5, cur_step_num=160))
    assert files(tmp_path) == ["CKP-5_32.ckpt", "CKP-graph.meta"]
    checkpoint.step_end(by_hand(cur_epoch_num=5, cur_step_num=175))
    assert files(tmp_path) == ["CKP-5_32.ckpt", "CKP-graph.meta"]
    checkpoint.__exit__(None, None, None)


def test_save_checkpoint_before_any_step_saves_nothing(tmp_path: Path) -> None:
    with ModelCheckpoint("net", tmp_path) as checkpoint:
        checkpoint.begin(by_hand(cur_step_num=0))
        checkpoint.step_end(by_hand(cur_step_num=0))
        checkpoint.end(by_hand(cur_step_num=0))
    assert [n for n in files(tmp_path) if n.endswith("ckpt")] == []


def test_in_a_loop_of_ones_own_the_network_alone_is_saved(tmp_path: Path) -> None:
    with ModelCheckpoint("net", tmp_path) as checkpoint:
        context = by_hand(cur_step_num=3)
        checkpoint.step_end(context)
        network = context.original_args().train_network
        assert list(ckpt.read(tmp_path / "net-1_3.ckpt")) == list(network.state_dict())
    graph = graph_meta.decoded(map_file(tmp_path / "net-graph.meta")).graph
    assert [p.name for p in graph.parameters] == list(network.state_dict())


def test_training_ended_by_an_error_leaves_the_last_due_file_and_frees_the_run(tmp_path: Path) -> None:
    class Fail(Callback):
        def step_end(self, run_context: RunContext) -> None:
            if run_context.original_args().cur_step_num == 3:
                raise Interrupted

    world = World()
    with pytest.raises(Interrupted):
        world.model.train(1, world.loader, [ModelCheckpoint("net", tmp_path, CheckpointConfig(2)), Fail()])
    assert files(tmp_path) == ["net-1_2.ckpt", "net-graph.meta"]
    world.model.train(1, world.loader, [ModelCheckpoint("net", tmp_path, CheckpointConfig(2))])
    assert "net_2-1_5.ckpt" in files(tmp_path)


def test_a_stop_request_is_a_normal_end(tmp_path: Path) -> None:
    class Stop(Callback):
        def step_end(self, run_context: RunContext) -> None:
            if run_context.original_args().cur_step_num == 7:
                run_context.request_stop()

    world = World()
    world.model.train(5, world.loader, [ModelCheckpoint("net", tmp_path, CheckpointConfig(5)), Stop()])
    assert files(tmp_path) == ["net-1_5.ckpt", "net-2_2.ckpt", "net-graph.meta"]


def test_evaluation_saves_nothing(tmp_path: Path) -> None:
    world = World()
    world.model.eval(world.loader, [ModelCheckpoint("net", tmp_path)])
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((123,), TypeError),
        ((None,), TypeError),
        (("a/b",), ValueError),
        (("a\0b",), ValueError),
        (("x" * 300,), ValueError),
        (("net", "", None), ValueError),
        (("net", "  ", None), ValueError),
        (("net", 5, None), TypeError),
        (("net", b"dir", None), TypeError),
        (("net", "dir", "config"), TypeError),
        (("net", "dir", 1), TypeError),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], error: type[Exception], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        ModelCheckpoint(*arguments)
    assert isinstance(caught.value, (UsageError, WrongTypeError))
    assert list(tmp_path.iterdir()) == []


def test_model_checkpoint_arguments_that_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ModelCheckpoint("ckpt_2", "./new").directory == str(tmp_path / "new")
    assert ModelCheckpoint("", Path()).prefix == ""
    assert ModelCheckpoint(directory="./").latest_ckpt_file_name == ""


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(NotADirectory, match="file"):
        ModelCheckpoint("net", tmp_path / "file")
    with pytest.raises(StorageError):
        ModelCheckpoint("net", tmp_path / "file" / "deeper")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_directory_with_a_checkpoints_name_is_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "net-1_2.ckpt").mkdir()
    world = World()
    world.model.train(1, world.loader, [ModelCheckpoint("net", tmp_path, CheckpointConfig(5))])
    assert files(tmp_path) == ["net-1_2.ckpt", "net_2-1_5.ckpt", "net_2-graph.meta"]


def test_a_directory_where_the_file_should_be(tmp_path: Path) -> None:
    class InTheWay(Callback):
        def step_begin(self, run_context: RunContext) -> None:
            if run_context.original_args().cur_step_num == 3:
                (tmp_path / "net-1_3.ckpt").mkdir()

    world = World()
    with pytest.raises(NotAFile, match="net-1_3"):
        world.model.train(1, world.loader, [InTheWay(), ModelCheckpoint("net", tmp_path)])
    assert (tmp_path / "net-1_3.ckpt").is_dir()
    assert [ckpt.read(tmp_path / f"net-1_{i}.ckpt", verify=True).info.total_step for i in (1, 2)] == [1, 2]


def test_a_full_disk_ends_training_with_one_clear_error_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mindport.storage import system

    class Full(Callback):
        def step_begin(self, run_context: RunContext) -> None:
            if run_context.original_args().cur_step_num == 3:

                def write(fd: int, data: Any) -> int:
                    raise OSError(errno.ENOSPC, "No space left on device")

                monkeypatch.setattr(system.calls, "write", write)

    world = World()
    with pytest.raises(NoSpace, match=r"No space left"):
        world.model.train(1, world.loader, [Full(), ModelCheckpoint("net", tmp_path, CheckpointConfig(1, 0, 1))])
    monkeypatch.undo()
    assert files(tmp_path) == ["net-1_2.ckpt", "net-graph.meta"]
    losses = Losses()
    again = World()
    again.model.train(1, again.loader, [losses, ModelCheckpoint("net", tmp_path)], resume=True)
    assert sorted(losses.by_step) == [3, 4, 5]


def test_a_read_only_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mindport.storage import system

    def refuse(*arguments: Any, **options: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(system.calls, "open", refuse)
    world = World()
    with pytest.raises(NoPermission, match="Read-only"):
        world.model.train(1, world.loader, [ModelCheckpoint("net", tmp_path)])
    assert files(tmp_path) == []


def test_two_processes_given_one_directory_never_damage_each_others_files(tmp_path: Path) -> None:
    """torchrun's variables: each process has its own rank_N; without them each gets a run of its own."""
    script = Path(__file__).parents[1] / "rank_run.py"
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "RANK": str(rank), "WORLD_SIZE": "2"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    last_two = ["net-1_4.ckpt", "net-1_5.ckpt", "net-graph.meta"]
    assert files(tmp_path / "rank_0") == files(tmp_path / "rank_1") == last_two
    assert files(tmp_path / "shared") == sorted([*last_two, *(name.replace("net", "net_2") for name in last_two)])
    for path in tmp_path.rglob("*.ckpt"):
        ckpt.read(path, verify=True)
    lines = [line.split() for output in outputs for line in output.splitlines()]
    assert len({path for path, _ in lines}) == 4
    for path, total in lines:  # each process finds its own weights in its own file
        assert float(np.asarray(load_checkpoint(path)["head.bias"]).sum()) == float(total)


def test_a_run_in_progress_cannot_be_resumed_by_another_process(tmp_path: Path) -> None:
    world = World()

    class ResumeElsewhere(Callback):
        def step_end(self, run_context: RunContext) -> None:
            if run_context.original_args().cur_step_num == 2:
                other = World()
                other.model.train(1, other.loader, [ModelCheckpoint("net", tmp_path)], resume=True)

    with pytest.raises(InUse):
        world.model.train(1, world.loader, [ModelCheckpoint("net", tmp_path), ResumeElsewhere()])


def test_a_compiled_or_wrapped_network_is_saved_under_its_own_names(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 2))
    with ModelCheckpoint("net", tmp_path) as checkpoint:
        checkpoint.step_end(by_hand(train_network=torch.nn.DataParallel(network)))
    assert list(load_checkpoint(tmp_path / "net-1_1.ckpt")) == ["0.weight", "0.bias"]


def test_names_of_the_graph_file() -> None:
    assert graph_meta_name("resnet50_2") == "resnet50_2-graph.meta"


def test_loss_monitor_before_model_checkpoint_keeps_a_diverged_state_off_the_disk(tmp_path: Path) -> None:
    world = World()
    world.network.head.weight.data.fill_(float("nan"))
    with pytest.raises(MindportError, match="diverged"):
        world.model.train(1, world.loader, [LossMonitor(), ModelCheckpoint("net", tmp_path)])
    assert [n for n in files(tmp_path) if n.endswith("ckpt")] == []
