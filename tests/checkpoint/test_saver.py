"""The saver writes first and deletes afterwards, and deletes nothing that is not its own."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindport.checkpoint import runs
from mindport.checkpoint.names import Key
from mindport.checkpoint.policy import All, Latest, OnePerMinutes
from mindport.checkpoint.saver import Saver
from mindport.errors import AlreadyExists, MissingFile, UsageError
from mindport.events import Event, Pruned, PruneFailed, Saved, SaveFailed, subscribe
from mindport.formats import ckpt
from mindport.storage.atomic import commit


def array(step: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(step).standard_normal((3, step + 1)).astype(np.float32)


def save(saver: Saver, step: int, total: int | None = None) -> Any:
    return saver.save(Key(saver.prefix, 1, step), {"w": array(step)}, {"total_step": total or step})


def steps_in(folder: Path, prefix: str = "net") -> list[int]:
    return [key.step for key in restore_keys(folder, prefix)]


def restore_keys(folder: Path, prefix: str) -> list[Key]:
    return sorted(key for name in os.listdir(folder) if (key := Key.parse(name, prefix)))


@pytest.fixture
def claim(tmp_path: Path) -> Any:
    with runs.claim_new(tmp_path, "net") as claimed:
        yield claimed


def test_a_save_returns_what_is_on_the_disk(tmp_path: Path, claim: runs.Claim) -> None:
    before_s = time.time()
    saver = Saver(tmp_path, "net", All(), claim=claim)
    entry = saver.save(Key("net", 2, 3), {"w": array(3)}, {"total_step": 11, "metrics": {"loss": 0.25}, "note": "kept"})
    assert entry.path == str(tmp_path / "net-2_3.ckpt")
    assert entry.nbytes == Path(entry.path).stat().st_size
    assert (entry.total, entry.metrics, entry.checksummed) == (11, {"loss": 0.25}, True)
    assert before_s - 0.001 <= entry.saved_at_s <= time.time() + 0.001
    file = ckpt.read(entry.path, verify=True)
    assert (file.info.epoch, file.info.step, file.info.total_step) == (2, 3, 11)
    assert file.info.extra == {"note": "kept", "saved_at_s": entry.saved_at_s, "prefix": "net"}
    np.testing.assert_array_equal(np.asarray(file["w"]), array(3))


def test_mindspores_crc_is_appended_on_request(tmp_path: Path, claim: runs.Claim) -> None:
    saver = Saver(tmp_path, "net", Latest(2), claim=claim, crc_check=True)
    for step in (1, 2, 3):
        entry = save(saver, step)
        assert Path(entry.path).read_bytes()[-17:-10] == b"crc_num"
        assert (entry.total, entry.checksummed) == (step, True)
    assert steps_in(tmp_path) == [2, 3]
    assert ckpt.read(entry.path, verify=True).info.crc is not None


def test_only_the_newest_stay(tmp_path: Path, claim: runs.Claim) -> None:
    saver = Saver(tmp_path, "net", Latest(3), claim=claim)
    for step in range(1, 8):
        save(saver, step)
        assert steps_in(tmp_path) == list(range(max(1, step - 2), step + 1))


def test_deleting_comes_after_the_new_file_is_durable(tmp_path: Path, claim: runs.Claim) -> None:
    saver = Saver(tmp_path, "net", Latest(1), claim=claim)
    heard: list[Event] = []
    save(saver, 1)
    leave = subscribe(heard.append)
    try:
        save(saver, 2)
        with pytest.raises(UsageError):  # a tensor that lies about its size: the file cannot be written
            saver.save(Key("net", 1, 3), [Liar()], {"total_step": 3})
    finally:
        leave()
    assert [type(event) for event in heard] == [Saved, Pruned, SaveFailed]
    assert [Path(event.path).name for event in heard] == ["net-1_2.ckpt", "net-1_1.ckpt", "net-1_3.ckpt"]
    assert steps_in(tmp_path) == [2]
    assert sorted(os.listdir(tmp_path)) == [".net.mindport-run", "net-1_2.ckpt"]


class Liar:
    name, shape, nbytes = "w", (4,), 16

    def __init__(self) -> None:
        from mindport.dtypes import named

        self.dtype = named("float32")

    def numpy(self) -> np.ndarray[Any, Any]:
        return np.zeros(3, np.float32)

    def chunks(self, limit_bytes: int = 1) -> Any:
        return iter([memoryview(bytes(12))])


def test_only_files_of_this_run_are_deleted(tmp_path: Path, claim: runs.Claim) -> None:
    """Other runs, other prefixes, MindSpore's files, and files that somebody else puts there stay."""
    others = [
        "net_2-1_1.ckpt", "net10-1_1.ckpt", "net_a-1_1.ckpt", "network-1_1.ckpt", "net-01_1.ckpt", "net.ckpt",
        "net-graph.meta", "net_2-graph.meta", "net-1_1.safetensors", "net-1_1_breakpoint.ckpt",
    ]  # fmt: skip
    for name in others:
        (tmp_path / name).write_bytes(b"precious")
    saver = Saver(tmp_path, "net", Latest(1), claim=claim)
    save(saver, 2)
    commit(tmp_path / "net-1_1.ckpt", ckpt.write({"w": array(1)}, info={"total_step": 1}))  # not by this saver
    save(saver, 3)
    assert steps_in(tmp_path) == [1, 3]
    assert all((tmp_path / name).read_bytes() == b"precious" for name in others)


def test_a_resumed_run_prunes_what_its_earlier_processes_left(tmp_path: Path) -> None:
    with runs.claim_new(tmp_path, "net") as claim:
        saver = Saver(tmp_path, "net", All(), claim=claim)
        for step in range(1, 6):
            save(saver, step)
    commit(tmp_path / "net-1_6.ckpt", ckpt.write({"w": array(6)}, checksums=False))  # MindSpore's
    (tmp_path / "net-1_7.ckpt").write_bytes(b"torn")
    os.symlink(tmp_path / "net-1_1.ckpt", tmp_path / "net-1_8.ckpt")
    with runs.claim_run(tmp_path, "net") as claim:
        saver = Saver(tmp_path, "net", Latest(2), claim=claim)
        save(saver, 9)
        assert steps_in(tmp_path) == [5, 6, 7, 8, 9], "without our checksums, or a link: not ours to delete"


def test_without_a_claim_nothing_older_is_touched_or_replaced(tmp_path: Path) -> None:
    first = Saver(tmp_path, "net", Latest(1))
    second = Saver(tmp_path, "net", Latest(1))
    save(first, 1)
    with pytest.raises(AlreadyExists):
        save(second, 1)
    save(second, 2)
    save(second, 3)
    assert steps_in(tmp_path) == [1, 3], "each deletes only its own"
    save(first, 4)
    assert steps_in(tmp_path) == [3, 4]
    save(first, 4)
    assert steps_in(tmp_path) == [3, 4], "its own file may be replaced"
    save(Saver(tmp_path, "net", Latest(1)), 5)
    assert steps_in(tmp_path) == [3, 4, 5], "what was there before is not its own"


def test_a_resumed_run_replaces_a_damaged_file_of_its_own(tmp_path: Path, claim: runs.Claim) -> None:
    saver = Saver(tmp_path, "net", Latest(5), claim=claim)
    save(saver, 1)
    (tmp_path / "net-1_2.ckpt").write_bytes(b"torn")
    save(saver, 2)
    assert ckpt.read(tmp_path / "net-1_2.ckpt", verify=True).info.step == 2


def test_files_that_are_not_surely_older_stay(tmp_path: Path) -> None:
    """Resumed from step 3 although a file of step 6 is there: that one is no reason to delete step 3, and stays."""
    with runs.claim_new(tmp_path, "net") as claim:
        saver = Saver(tmp_path, "net", All(), claim=claim)
        for step in (2, 3, 6):
            save(saver, step)
    with runs.claim_run(tmp_path, "net") as claim:
        saver = Saver(tmp_path, "net", Latest(2), claim=claim)
        save(saver, 4)
        assert steps_in(tmp_path) == [3, 4, 6]
        save(saver, 7)
        assert steps_in(tmp_path) == [6, 7]


def test_a_file_that_somebody_changed_is_left_alone(tmp_path: Path, claim: runs.Claim) -> None:
    saver = Saver(tmp_path, "net", Latest(1), claim=claim)
    entry = save(saver, 1)
    commit(entry.path, ckpt.write({"theirs": array(9)}))
    heard: list[Event] = []
    leave = subscribe(heard.append)
    save(saver, 2)
    save(saver, 3)
    leave()
    assert steps_in(tmp_path) == [1, 3]
    assert [Path(event.path).name for event in heard if isinstance(event, PruneFailed)] == ["net-1_1.ckpt"]


def test_a_failed_deletion_is_reported_and_tried_again(
    tmp_path: Path, claim: runs.Claim, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saver = Saver(tmp_path, "net", Latest(1), claim=claim)
    save(saver, 1)

    def refuse(path: str, dir_fd: int | None = None) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "mindport"):
        patched.setattr("mindport.storage.system.calls.unlink", refuse)
        save(saver, 2)
    assert "Operation not permitted" in caplog.text
    assert steps_in(tmp_path) == [1, 2]
    save(saver, 3)
    assert steps_in(tmp_path) == [3]


def test_a_file_that_is_gone_already_is_no_matter(tmp_path: Path, claim: runs.Claim) -> None:
    saver = Saver(tmp_path, "net", Latest(2), claim=claim)
    for step in (1, 2):
        save(saver, step)
    (tmp_path / "net-1_1.ckpt").unlink()
    for step in (3, 4):
        save(saver, step)
    assert steps_in(tmp_path) == [3, 4]


def test_one_per_minutes_is_remembered_across_restarts(tmp_path: Path) -> None:
    """The times are those in the files."""
    for step in range(1, 5):
        with runs.claim_new(tmp_path, "net") if step == 1 else runs.claim_run(tmp_path, "net") as claim:
            save(Saver(tmp_path, "net", OnePerMinutes(1), claim=claim, clock=lambda at=1e9 + 40 * step: at), step)
    with runs.claim_run(tmp_path, "net") as claim:
        save(Saver(tmp_path, "net", OnePerMinutes(1), claim=claim), 5)
    assert steps_in(tmp_path) == [1, 3, 5]


def test_one_per_minutes_outlives_a_copy_without_times(tmp_path: Path) -> None:
    """Copied files have all changed just now; how old they are stands in them."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with runs.claim_new(tmp_path / "a", "net") as claim:
        hours = iter(range(8))
        saver = Saver(tmp_path / "a", "net", All(), claim=claim, clock=lambda: 1e9 + 3600 * next(hours))
        for step in range(1, 9):
            save(saver, step)
    for path in (tmp_path / "a").glob("*.ckpt"):
        shutil.copyfile(path, tmp_path / "b" / path.name)
    with runs.claim_run(tmp_path / "b", "net") as claim:
        save(Saver(tmp_path / "b", "net", OnePerMinutes(30), claim=claim), 9)
    assert steps_in(tmp_path / "b") == list(range(1, 10))


def test_one_per_minutes_keeps_what_does_not_say_its_age(tmp_path: Path) -> None:
    for step in range(1, 5):
        commit(tmp_path / f"net-1_{step}.ckpt", ckpt.write({"w": array(step)}, info={"total_step": step}))
    with runs.claim_run(tmp_path, "net") as claim:
        saver = Saver(tmp_path, "net", OnePerMinutes(30), claim=claim)
        for step in range(5, 9):
            save(saver, step)
    assert steps_in(tmp_path) == [1, 2, 3, 4, 5, 8]


def test_a_file_that_names_another_prefix_is_not_pruned(tmp_path: Path) -> None:
    """Somebody copied a file of the second run of `exp` to the first one of `exp_2`."""
    info = {"total_step": 1, "prefix": "exp"}
    commit(tmp_path / "exp_2-1_1.ckpt", ckpt.write({"w": array(1)}, info=info))
    with runs.claim_run(tmp_path, "exp_2", base="exp_2") as claim:
        for step in (2, 3):
            save(Saver(tmp_path, "exp_2", Latest(1), claim=claim), step)
    assert steps_in(tmp_path, "exp_2") == [1, 3]


def test_a_prefix_that_is_not_utf_8_can_be_saved(tmp_path: Path) -> None:
    base = os.fsdecode(b"n\xe4t")
    with runs.claim_new(tmp_path, base) as claim:
        entry = save(Saver(tmp_path, base, All(), claim=claim), 1)
    assert ckpt.read(entry.path, verify=True).info.extra == {"saved_at_s": entry.saved_at_s}


def test_the_same_state_at_the_same_time_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with runs.claim_new(tmp_path / name, "net") as claim:
            save(Saver(tmp_path / name, "net", All(), claim=claim, clock=lambda: 1e9), 3)
    assert (tmp_path / "a" / "net-1_3.ckpt").read_bytes() == (tmp_path / "b" / "net-1_3.ckpt").read_bytes()


def test_wrong_calls_are_usage_errors(tmp_path: Path, claim: runs.Claim) -> None:
    with pytest.raises(UsageError, match="claim is for the run 'net'"):
        Saver(tmp_path, "other", All(), claim=claim)
    saver = Saver(tmp_path, "net", All(), claim=claim)
    with pytest.raises(UsageError, match="the key is for 'net_2'"):
        saver.save(Key("net_2", 1, 1), {"w": array(1)})
    with pytest.raises(UsageError):
        Saver(tmp_path, "a/b", All())
    with pytest.raises(MissingFile, match="make it first"):
        save(Saver(tmp_path / "absent", "net", All()), 1)
