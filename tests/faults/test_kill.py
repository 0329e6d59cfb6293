"""A process killed before, within or after any system call of a save leaves a directory that can be gone on from."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from faults import bed
from faults.server import Server
from mindport.checkpoint import runs
from mindport.checkpoint.saver import Saver
from mindport.storage.temporary import leftovers


@pytest.mark.parametrize("keep", bed.KEEPS)
@pytest.mark.parametrize("when", ["before", "within", "after"])
def test_killed_at_each_system_call(server: Server, tmp_path: Path, keep: str, when: str) -> None:
    names = bed.calls_of_a_save(tmp_path / "count", bed.KEEPS[keep])
    renamed = names.index("rename") + (when != "after")  # from here on the new file is there
    assert names.count("write") >= 2
    assert names.count("fsync") == 2
    assert ("unlink" in names) == (keep != "all")
    for at, name in enumerate(names):
        folder = tmp_path / f"{at}-{name}"
        (answer,) = server.run({"kind": "die", "directory": str(folder), "keep": keep, "when": when, "at": at})
        assert answer["signal"] == signal.SIGKILL, (name, answer)
        done = bed.BEFORE + 1
        newest = bed.judge(folder, at_least=done - 1, at_most=done, may_leave=True)
        assert newest == (done if at >= renamed else done - 1), name
        _next_run_works(folder, keep, newest)


def _next_run_works(folder: Path, keep: str, newest: int) -> None:
    found = runs.resume(folder, "net")
    assert found is not None
    assert bed.same(found.file, newest)
    assert leftovers(folder) == [], "the next run cleans up"
    with found.claim as claim, bed.installed(bed.Faulty()):
        saver = Saver(folder, claim.prefix, bed.KEEPS[keep], claim=claim)
        for total in (newest + 1, newest + 2):
            bed.save(saver, total)
    bed.judge(folder, at_least=newest + 2, at_most=newest + 2)
    expected = {"keep1": 1, "keep5": 5, "all": newest + 2}[keep]
    assert bed.kept(folder) == list(range(newest + 3 - expected, newest + 3))
    assert not [p.name for p in folder.iterdir() if p.suffix != ".ckpt"], "nothing but checkpoints stays"
    shutil.rmtree(folder)  # pytest keeps temporary directories, and there are many here


def test_terminated_at_each_system_call(server: Server, tmp_path: Path) -> None:
    for at, name in enumerate(bed.calls_of_a_save(tmp_path / "count", bed.KEEPS["keep1"])):
        folder = tmp_path / f"{at}-{name}"
        job = {"kind": "die", "directory": str(folder), "keep": "keep1", "when": "within", "at": at}
        (answer,) = server.run({**job, "number": int(signal.SIGTERM)})
        assert answer["signal"] == signal.SIGTERM
        bed.judge(folder, at_least=bed.BEFORE, at_most=bed.BEFORE + 1, may_leave=True)


@pytest.mark.parametrize("killed_after_s", [0.02, 0.05, 0.11])
def test_killed_at_any_moment(server: Server, tmp_path: Path, killed_after_s: float) -> None:
    """Not between system calls but whenever the clock says so, real syncs included."""
    for keep in bed.KEEPS:
        folder = tmp_path / keep
        folder.mkdir()
        job = {"kind": "write", "directory": str(folder), "keep": keep, "saves": 100_000}
        (answer,) = server.run(job, killed_after_s=killed_after_s, killed_after_words=1)
        assert answer["signal"] == signal.SIGKILL
        bed.judge(folder, at_least=1, at_most=100_000, may_leave=True)
        found = runs.resume(folder, "net")
        assert found is not None
        found.claim.release()
        assert leftovers(folder) == []


def test_killed_while_claiming_burns_no_number(server: Server, tmp_path: Path) -> None:
    for _ in range(3):
        job = {"kind": "claim", "directory": str(tmp_path), "start_s": 0.0, "hold_s": 60.0}
        (answer,) = server.run(job, killed_after_s=0.05, killed_after_words=2)
        assert answer["signal"] == signal.SIGKILL
        assert answer["said"][0] == "net"
        for path in tmp_path.glob("*.ckpt"):
            path.unlink()
    with runs.claim_new(tmp_path, "net") as claim:
        assert claim.prefix == "net"
    assert list(tmp_path.iterdir()) == []
