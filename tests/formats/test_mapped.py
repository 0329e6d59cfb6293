"""Maps are private and writable, of regular files only, and keep no descriptor."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from mindport.errors import CorruptFile, MissingFile, NotADirectory, NotAFile, StorageError, TruncatedFile
from mindport.formats import npz
from mindport.formats.mapped import head_of, is_zip, map_file, map_private, open_regular


def test_a_map_is_private_and_writable(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello")
    view, other = map_file(path), map_file(path)
    view[0] = ord("j")
    assert bytes(view) == b"jello"
    assert bytes(other) == path.read_bytes() == b"hello"


def test_an_empty_file_maps_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert len(map_file(tmp_path / "a")) == 0
    assert head_of(tmp_path / "a", 10) == b""


def test_the_head_is_read_without_a_map(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    assert head_of(tmp_path / "a", 2) == b"he"
    assert head_of(str(tmp_path / "a"), 99) == b"hello"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for target, error in (
            (tmp_path, NotAFile),
            (tmp_path / "pipe", NotAFile),
            (Path("/dev/zero"), NotAFile),
            (tmp_path / "socket", StorageError),
            (tmp_path / "absent", MissingFile),
            (tmp_path / "pipe" / "below", NotADirectory),
        ):
            with pytest.raises(error):
                open_regular(target)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    assert bytes(map_file(tmp_path / "b")) == b"x"
    with pytest.raises(StorageError):
        map_file(tmp_path / "loop")


def test_failures_close_the_descriptor(tmp_path: Path) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(NotAFile):
            open_regular(tmp_path)
        (tmp_path / "a").write_bytes(b"x" * 10)
        view = map_file(tmp_path / "a")
        del view
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    fd, _ = open_regular(tmp_path / "a")
    try:
        with pytest.raises((TruncatedFile, StorageError)):
            map_private(fd, 10, tmp_path / "a")
    finally:
        os.close(fd)


def test_an_archive_is_told_by_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"".join(npz.write({"w": np.ones(2, np.float32)})))
    assert is_zip(path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x06\x07") + 16] ^= 2  # the number of disks
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match="end record") as caught:
        is_zip(path)
    assert caught.value.path == str(path)
    path.write_bytes(b"no archive")
    assert not is_zip(path)
