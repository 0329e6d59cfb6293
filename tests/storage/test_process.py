"""A process is told apart from a dead one, also when its id is used again."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mindport.storage import process


def test_this_process_lives() -> None:
    me = process.current()
    assert me.pid == os.getpid()
    assert me.start > 0
    assert me.alive() is True


def test_a_process_that_ended_is_dead_and_so_is_an_older_one_of_the_same_id() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process._stat(child.pid)
    assert start is not None
    known = dataclasses.replace(process.current(), pid=child.pid, start=start[1])
    assert known.alive() is True
    assert dataclasses.replace(known, start=known.start - 1).alive() is False
    child.communicate(b"\n")
    assert known.alive() is False


def test_a_zombie_is_dead() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], os.environ)
    while (found := process._stat(pid)) is not None and found[0] != "Z":
        pass
    assert found is not None
    assert dataclasses.replace(process.current(), pid=pid, start=found[1]).alive() is False
    os.waitpid(pid, 0)


def test_nothing_is_known_of_other_machines() -> None:
    assert dataclasses.replace(process.current(), world="00000000").alive() is None


def test_without_proc_the_id_alone_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_stat", lambda pid: None)
    me = process.current()
    assert me.start == 0
    assert me.alive() is True
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert dataclasses.replace(me, pid=child.pid).alive() is False


def test_the_world_is_that_of_this_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    here = process.current().world
    assert len(here) == 8
    assert process.current().world == here
    monkeypatch.setattr(Path, "read_text", lambda self, encoding=None: "another boot\n")
    assert process.current().world != here
