"""Left-over temporary files are recognised, and deleted only when their writer is surely dead."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mindport.checkpoint.names import Key
from mindport.errors import MissingFile
from mindport.storage import process, temporary


def name_for(writer: process.Process) -> str:
    return f".mindport-{writer.world}-{writer.pid}-{writer.start}-0123456789abcdef.tmp"


def dead_process() -> process.Process:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return dataclasses.replace(process.current(), pid=child.pid)


def test_names_are_unique_hidden_and_ours() -> None:
    names = {temporary.new_name() for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        assert name.startswith(".")
        assert Key.parse(name, "") is None
        assert len(name) < 100
        assert temporary.writer_of(name) == process.current()


@pytest.mark.parametrize(
    "name",
    [
        "net-1_1.ckpt",
        ".mindport.tmp",
        ".mindport-0a0a0a0a-1-1-0123456789abcdef.tmp.bak",
        "x.mindport-0a0a0a0a-1-1-0123456789abcdef.tmp",
        ".mindport-0a0a0a0a-1-1-0123456789abcdeF.tmp",
        ".mindport-0a0a0a0a--1-1-0123456789abcdef.tmp",
        ".mindport-0a0a0a0a-1-1-0123456789abcdef.tmp\n",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert temporary.writer_of(name) is None


def test_only_files_of_the_dead_go(tmp_path: Path) -> None:
    dead = tmp_path / name_for(dead_process())
    dead.write_bytes(b"12345")
    alive = tmp_path / temporary.new_name()
    alive.touch()
    fresh = tmp_path / name_for(dataclasses.replace(process.current(), world="00000000"))
    fresh.touch()
    link = tmp_path / name_for(dataclasses.replace(dead_process(), start=1))
    link.symlink_to(alive)
    other = tmp_path / "net.tmp"
    other.touch()
    found = {item.path: (item.nbytes, item.dead) for item in temporary.leftovers(tmp_path)}
    assert found == {str(dead): (5, True), str(alive): (0, False), str(fresh): (0, False)}
    assert temporary.clean(tmp_path) == [str(dead)]
    assert sorted(tmp_path.iterdir()) == sorted([alive, fresh, link, other])
    assert temporary.clean(tmp_path) == []


def test_files_of_other_machines_go_when_unlocked_and_quiet_for_an_hour(tmp_path: Path) -> None:
    foreign = tmp_path / name_for(dataclasses.replace(process.current(), world="00000000"))
    foreign.touch()
    os.utime(foreign, (0, time.time() - 3000))
    assert temporary.clean(tmp_path) == []
    os.utime(foreign, (0, time.time() - 4000))
    fd = os.open(foreign, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert temporary.clean(tmp_path) == []
    os.close(fd)
    assert temporary.clean(tmp_path) == [str(foreign)]


def test_one_that_resists_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dead = tmp_path / name_for(dead_process())
    dead.touch()

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("mindport.storage.system.calls.unlink", refuse)
    assert temporary.clean(tmp_path) == []
    assert "Permission denied" in caplog.text


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        temporary.leftovers(tmp_path / "absent")
