"""The newest checkpoint that verifies is found; what was passed over is named, with the reason."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindport.checkpoint import restore
from mindport.errors import NotADirectory, StorageError
from mindport.events import Event, Skipped, subscribe
from mindport.formats import ckpt
from mindport.storage.atomic import commit


def write(folder: Path, step: int, *, total: int | None = None, prefix: str = "net", **options: Any) -> Path:
    info = None if options.get("checksums") is False else {"epoch": 1, "step": step, "total_step": total or step}
    data = {"conv": np.full((2, 3, 5), step, np.float32), "fc": np.arange(step + 7, dtype=np.int64)}
    path = folder / f"{prefix}-1_{step}.ckpt"
    commit(path, ckpt.write(data, info=info, **options))
    return path


def found(folder: Path, prefix: str = "net") -> tuple[str | None, dict[str, str]]:
    """Name of the file found, and the reasons of those passed over."""
    heard: list[Event] = []
    leave = subscribe(heard.append)
    try:
        result = restore.newest_valid(folder, prefix)
    finally:
        leave()
    skipped = {Path(event.path).name: event.reason for event in heard if isinstance(event, Skipped)}
    assert len(skipped) == len(heard)
    return (None if result is None else Path(result[0]).name), skipped


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_the_newest_is_found(tmp_path: Path) -> None:
    for step in (2, 9, 10, 1):
        write(tmp_path, step)
    write(tmp_path, 99, prefix="net_2")
    write(tmp_path, 98, prefix="net10")
    assert found(tmp_path) == ("net-1_10.ckpt", {})
    assert [entry.key.step for entry in restore.candidates(tmp_path, "net")] == [10, 9, 2, 1]


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert found(tmp_path / "absent") == (None, {})
    assert found(tmp_path) == (None, {})
    write(tmp_path, 1, prefix="network")
    assert found(tmp_path) == (None, {})
    with pytest.raises(NotADirectory):
        found(tmp_path / "network-1_1.ckpt")


def test_damaged_ones_are_passed_over_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in range(1, 8):
        write(tmp_path, step)
    flip(tmp_path / "net-1_7.ckpt", -40)  # the end record
    flip(tmp_path / "net-1_6.ckpt", 130)  # a tensor's content
    os.truncate(tmp_path / "net-1_5.ckpt", 200)
    (tmp_path / "net-1_4.ckpt").write_bytes(b"")
    (tmp_path / "net-1_3.ckpt").write_bytes(bytes(500))
    with caplog.at_level(logging.WARNING, "mindport"):
        name, skipped = found(tmp_path)
    assert name == "net-1_2.ckpt"
    assert sorted(skipped) == [f"net-1_{n}.ckpt" for n in range(3, 8)]
    for file, reason in skipped.items():
        assert file in reason
        assert reason in caplog.text
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert "conv" in skipped["net-1_6.ckpt"], "the damaged tensor is named"


def test_all_damaged_is_none(tmp_path: Path) -> None:
    flip(write(tmp_path, 1), 130)
    flip(write(tmp_path, 2), 130)
    name, skipped = found(tmp_path)
    assert name is None
    assert sorted(skipped) == ["net-1_1.ckpt", "net-1_2.ckpt"]


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "net-1_2.ckpt").mkdir()
    os.mkfifo(tmp_path / "net-1_3.ckpt")
    (tmp_path / "net-1_4.ckpt").symlink_to("/dev/zero")
    name, skipped = found(tmp_path)
    assert name == "net-1_1.ckpt"
    assert "directory" in skipped["net-1_2.ckpt"]
    assert "pipe" in skipped["net-1_3.ckpt"]
    assert "device" in skipped["net-1_4.ckpt"]


def test_a_link_that_leads_nowhere_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "net-1_2.ckpt").symlink_to("nowhere")
    name, skipped = found(tmp_path)
    assert name is None
    assert "No such file" in skipped["net-1_2.ckpt"]
    write(tmp_path, 1)
    assert found(tmp_path)[0] == "net-1_1.ckpt"


def test_a_file_that_may_not_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    newest = str(write(tmp_path, 2))
    real = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path) == newest:
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr("os.open", refuse)
    name, skipped = found(tmp_path)
    assert name == "net-1_1.ckpt"
    assert "Permission denied" in skipped["net-1_2.ckpt"]


def test_the_steps_since_training_began_count_more_than_the_name(tmp_path: Path) -> None:
    write(tmp_path, 8, total=5)
    write(tmp_path, 3, total=6)
    assert found(tmp_path)[0] == "net-1_3.ckpt"


def test_files_of_mindspore_are_found_too(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2, checksums=False)
    assert found(tmp_path) == ("net-1_2.ckpt", {})


def test_a_file_pruned_meanwhile_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    real, opened = ckpt.read, []

    def read(path: str, **options: Any) -> Any:
        opened.append(Path(path).name)
        if len(opened) == 1:  # a writer is faster: saves the next one, then prunes this one
            write(tmp_path, 2)
            Path(path).unlink()
        return real(path, **options)

    monkeypatch.setattr("mindport.formats.ckpt.read", read)
    assert found(tmp_path) == ("net-1_2.ckpt", {})
    assert opened == ["net-1_1.ckpt", "net-1_2.ckpt"]


def test_a_file_pruned_between_listing_and_looking_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restore.keys_in
    write(tmp_path, 1)

    def keys_in(*args: Any) -> Any:
        keys = real(*args)
        if (tmp_path / "net-1_1.ckpt").exists():  # a writer saves the next one and prunes this one
            write(tmp_path, 2)
            (tmp_path / "net-1_1.ckpt").unlink()
        return keys

    monkeypatch.setattr(restore, "keys_in", keys_in)
    assert found(tmp_path) == ("net-1_2.ckpt", {})


def test_a_file_written_anew_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = write(tmp_path, 2)
    flip(damaged, 130)
    write(tmp_path, 1)
    real = ckpt.read

    def read(path: str, **options: Any) -> Any:
        if path.endswith("net-1_1.ckpt"):
            Path(path).unlink()
            write(tmp_path, 2)
        return real(path, **options)

    monkeypatch.setattr("mindport.formats.ckpt.read", read)
    name, skipped = found(tmp_path)
    assert name == "net-1_2.ckpt"
    assert list(skipped) == ["net-1_2.ckpt"]


def test_looking_again_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write(source, 1)

    def read(path: str, **options: Any) -> Any:
        from mindport.errors import MissingFile

        raise MissingFile("gone", path=path)

    monkeypatch.setattr("mindport.formats.ckpt.read", read)
    monkeypatch.setattr(restore, "_MOST_LOOKS", 5)
    with pytest.raises(StorageError, match="vanish faster"):
        restore.newest_valid(source, "net")
    shutil.rmtree(source)


def test_a_damaged_file_is_reported_once_though_the_directory_is_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    flip(write(tmp_path, 3), 130)
    real = ckpt.read

    def read(path: str, **options: Any) -> Any:
        if path.endswith("net-1_2.ckpt"):
            Path(path).unlink()
        return real(path, **options)

    monkeypatch.setattr("mindport.formats.ckpt.read", read)
    name, skipped = found(tmp_path)
    assert name == "net-1_1.ckpt"
    assert list(skipped) == ["net-1_3.ckpt"]
