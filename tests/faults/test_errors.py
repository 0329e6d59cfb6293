"""Every system call of a save fails once: one clear error, older checkpoints intact, nothing left, next save works."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults import bed
from faults.server import Server
from mindport.errors import MindportError, NoPermission, NoSpace, NotDurable, StorageError
from mindport.events import Event, PruneFailed, Saved, SaveFailed, subscribe

SETTLED = {"lock", "dup"}  # these may fail without harm: the lock only helps to recognise left-over files


def faulted_save(folder: Path, keep: str, at: int, fault: Callable[[bed.Call], Any]) -> tuple[Any, list[Event]]:
    """A run whose last save meets the fault, then the same save again; returns what came out of the first attempt."""
    heard: list[Event] = []
    with bed.installed(bed.Faulty()):
        claim, saver = bed.prepare(folder, bed.KEEPS[keep])
        with claim:
            unsubscribe = subscribe(heard.append)
            outcome: BaseException | None = None
            try:
                with bed.installed(bed.Faulty(at, fault)):
                    bed.save(saver, bed.BEFORE + 1)
            except (MindportError, KeyboardInterrupt) as exc:
                outcome = exc
            unsubscribe()
            bed.judge(folder, at_least=bed.BEFORE, at_most=bed.BEFORE + 1)
            bed.save(saver, bed.BEFORE + 1)
            bed.judge(folder, at_least=bed.BEFORE + 1, at_most=bed.BEFORE + 1)
            bed.save(saver, bed.BEFORE + 2)
            newest = bed.judge(folder, at_least=bed.BEFORE + 2, at_most=bed.BEFORE + 2)
    expected = {"keep1": 1, "keep5": 5, "all": newest}[keep]
    assert bed.kept(folder) == list(range(newest + 1 - expected, newest + 1))
    assert not [p.name for p in folder.iterdir() if p.suffix != ".ckpt"]
    shutil.rmtree(folder)  # pytest keeps temporary directories, and there are many here
    return outcome, heard


@pytest.mark.parametrize(
    ("error", "keep"),
    [
        pytest.param(error, keep, marks=() if (error == "ENOSPC" or keep == "keep1") else pytest.mark.slow)
        for error in ("ENOSPC", "EIO", "EDQUOT", "EROFS")
        for keep in bed.KEEPS
    ],
)
def test_each_call_fails(tmp_path: Path, keep: str, error: str) -> None:
    names = bed.calls_of_a_save(tmp_path / "count", bed.KEEPS[keep])
    in_place = names.index("rename")
    for at, name in enumerate(names):
        folder = tmp_path / f"{at}-{name}"
        outcome, heard = faulted_save(folder, keep, at, bed.failing(bed.ERRORS[error]))
        kinds = [type(event) for event in heard]
        if name in SETTLED or (name == "close" and at > in_place):
            assert outcome is None, name
            assert Saved in kinds, name
        elif name == "unlink":  # the save is done; only the deletion is reported
            assert outcome is None
            assert kinds == [Saved, PruneFailed]
        else:
            assert isinstance(outcome, StorageError), (name, outcome)
            assert kinds == [SaveFailed], name
            assert "net-2_3.ckpt" in str(outcome), "the message names the file, and so epoch and step"
            assert outcome.errno == bed.ERRORS[error]
            assert outcome.filename == str(folder / "net-2_3.ckpt")
            if name in {"fsync", "close"}:
                assert isinstance(outcome, NotDurable)
            elif error in {"ENOSPC", "EDQUOT"}:
                assert isinstance(outcome, NoSpace)
            elif error == "EROFS":
                assert isinstance(outcome, NoPermission)


@pytest.mark.parametrize("keep", bed.KEEPS)
def test_a_write_fails_half_way(tmp_path: Path, keep: str) -> None:
    names = bed.calls_of_a_save(tmp_path / "count", bed.KEEPS[keep])
    for at in (i for i, name in enumerate(names) if name == "write"):
        outcome, _ = faulted_save(tmp_path / str(at), keep, at, bed.failing_half_way(bed.ERRORS["ENOSPC"]))
        assert isinstance(outcome, NoSpace)


def test_short_writes_are_continued(tmp_path: Path) -> None:
    names = bed.calls_of_a_save(tmp_path / "count", bed.KEEPS["keep5"])
    for at in (i for i, name in enumerate(names) if name == "write"):
        outcome, heard = faulted_save(tmp_path / str(at), "keep5", at, bed.short)
        assert outcome is None
        assert isinstance(heard[0], Saved)


@pytest.mark.parametrize("keep", ["keep1", "keep5", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupted_at_each_call(tmp_path: Path, keep: str, after: bool) -> None:
    for at, name in enumerate(bed.calls_of_a_save(tmp_path / "count", bed.KEEPS[keep])):
        outcome, _ = faulted_save(tmp_path / f"{at}-{name}", keep, at, bed.interrupted(after))
        assert isinstance(outcome, KeyboardInterrupt), name


def test_a_failed_sync_is_not_tried_again_on_the_same_file(tmp_path: Path) -> None:
    names = bed.calls_of_a_save(tmp_path / "count", bed.KEEPS["keep1"])
    calls = bed.Faulty(names.index("fsync"), bed.failing(bed.ERRORS["EIO"]))
    with bed.installed(bed.Faulty()):
        claim, saver = bed.prepare(tmp_path / "run", bed.KEEPS["keep1"])
        with claim, bed.installed(calls), pytest.raises(NotDurable, match="nothing was put in place"):
            bed.save(saver, bed.BEFORE + 1)
    assert calls.names.count("fsync") == 1
    assert "rename" not in calls.names
    assert calls.names.count("unlink") == 1, "only the temporary file is deleted"


def test_an_unsynced_directory_prunes_nothing(tmp_path: Path) -> None:
    """The new file is there, but a power cut might take it back: the older one must stay."""
    names = bed.calls_of_a_save(tmp_path / "count", bed.KEEPS["keep1"])
    last_sync = len(names) - 1 - names[::-1].index("fsync")
    with bed.installed(bed.Faulty()):
        claim, saver = bed.prepare(tmp_path / "run", bed.KEEPS["keep1"])
        with claim, bed.installed(bed.Faulty(last_sync, bed.failing(bed.ERRORS["EIO"]))):
            with pytest.raises(NotDurable, match="a power cut may take it back"):
                bed.save(saver, bed.BEFORE + 1)
            assert bed.kept(tmp_path / "run") == [bed.BEFORE, bed.BEFORE + 1]


def test_a_real_limit_of_the_system(server: Server, tmp_path: Path) -> None:
    """The kernel itself refuses: files over 600 kB (EFBIG), as a full disk refuses."""
    (answer,) = server.run({"kind": "limited", "directory": str(tmp_path), "limit_bytes": 600_000})
    assert answer["code"] == 0
    assert answer["said"][0] == "NoSpace"
    assert "net-2_3.ckpt" in answer["said"][1]
    assert list(tmp_path.glob("*.ckpt")) == []
    assert list(tmp_path.glob(".mindport-*")) == []


def test_faults_while_the_run_begins(tmp_path: Path) -> None:
    """Making the directory and claiming the prefix fail as clearly as saving does."""
    from mindport.checkpoint import runs

    counted = bed.Faulty()
    with bed.installed(counted):
        runs.claim_new(tmp_path / "count" / "deep", "net").release()
    errors: list[int | None] = []
    for at, name in enumerate(counted.names):
        folder = tmp_path / f"{at}-{name}"
        with bed.installed(bed.Faulty(at, bed.failing(bed.ERRORS["EIO"]))):
            try:
                runs.claim_new(folder / "deep", "net").release()
            except StorageError as exc:
                errors.append(exc.errno)
        with bed.installed(bed.Faulty()), runs.claim_new(folder / "deep", "net") as claim:
            assert claim.prefix == "net"
    assert len(errors) >= 5
    assert set(errors) == {bed.ERRORS["EIO"]}
