"""The end record is found without reading the file, and entries stand in the order in which training made them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.checkpoint.entries import Entry, end_record_of, in_order, keys_in, look, names_in, of_another, older
from mindport.checkpoint.names import Key
from mindport.errors import MissingFile, NotADirectory
from mindport.formats import ckpt
from mindport.storage.atomic import commit


def write(folder: Path, file: str, info: dict[str, Any] | None, **options: Any) -> Path:
    commit(folder / file, ckpt.write({"w": np.arange(500, dtype=np.float32)}, info=info, **options))
    return folder / file


def entry(step: int, total: int | None, prefix: str = "net") -> Entry:
    return Entry(Key(prefix, 1, step), f"{prefix}-1_{step}.ckpt", 1, 0.0, total)


def test_a_file_tells_its_step_and_metrics(tmp_path: Path) -> None:
    info = {"total_step": 11, "metrics": {"loss": 0.5, "note": "x"}, "saved_at_s": 99.25, "prefix": "net"}
    path = write(tmp_path, "net-2_3.ckpt", info)
    os.utime(path, (0, 1234.5))
    found = look(tmp_path, Key("net", 2, 3))
    size = path.stat().st_size
    assert found == Entry(
        Key("net", 2, 3), str(path), size, 99.25, 11, {"loss": 0.5}, checksummed=True, base="net", changed_at_s=1234.5
    )


@pytest.mark.parametrize("value", [None, "1", True, float("nan"), float("inf"), 10**400, [1]])
def test_what_is_no_time_and_no_prefix_is_not_taken_for_one(tmp_path: Path, value: Any) -> None:
    write(tmp_path, "net-1_1.ckpt", {"total_step": 1, "saved_at_s": value, "prefix": [value]})
    found = look(tmp_path, Key("net", 1, 1))
    assert (found.total, found.saved_at_s, found.base) == (1, None, None)


@pytest.mark.parametrize(
    ("prefix", "recorded", "base", "expected"),
    [
        ("exp_2", "exp_2", "exp", True),
        ("exp_2", "exp", "exp_2", True),
        ("exp_2", "exp", "exp", False),
        ("exp_2", "exp_2", "exp_2", False),
        ("exp_2", None, "exp", False),
        ("exp_2", "exp_2", None, False),
        ("mine", "exp", "mine", False),
        ("exp_2", "exp_3", "exp", False),
    ],
)
def test_whose_run_a_file_is_of(prefix: str, recorded: str | None, base: str | None, expected: bool) -> None:
    found = Entry(Key(prefix, 1, 1), f"{prefix}-1_1.ckpt", 1, base=recorded)
    assert of_another(found, base) is expected


@pytest.mark.parametrize("crc_check", [False, True])
@pytest.mark.parametrize("size", [0, 100, 20_000, 300_000])
def test_the_end_record_is_found_at_any_length(tmp_path: Path, size: int, crc_check: bool) -> None:
    path = write(tmp_path, "net-1_1.ckpt", {"total_step": 1, "note": "é" * size}, crc_check=crc_check)
    end = end_record_of(str(path), path.stat().st_size)
    assert end is not None
    assert end.info == {"total_step": 1, "note": "é" * size}
    assert end.records == 1


def test_a_digest_that_looks_like_a_header_is_seen_through(tmp_path: Path) -> None:
    """One digest in some 4000 holds the key of the end record."""
    for number in range(1_000_000):
        data = b"".join(ckpt.write({"n": np.array(number)}, info={"total_step": 7}))
        if b"\xc2\x3e" in data[-16:]:
            break
    (tmp_path / "net-1_1.ckpt").write_bytes(data)
    assert look(tmp_path, Key("net", 1, 1)).total == 7


def test_a_file_of_mindspore_has_none(tmp_path: Path) -> None:
    for crc_check in (False, True):
        write(tmp_path, "net-1_1.ckpt", None, checksums=False, crc_check=crc_check)
        found = look(tmp_path, Key("net", 1, 1))
        assert (found.total, found.checksummed) == (None, False)


@settings(deadline=None)
@given(cut=st.integers(0, 2300), flip=st.one_of(st.none(), st.integers(0, 2300)))
def test_damage_never_raises(tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int | None) -> None:
    folder = tmp_path_factory.getbasetemp()
    data = bytearray(b"".join(ckpt.write({"w": np.arange(500, dtype=np.float32)}, info={"total_step": 7})))
    whole = len(data)
    del data[max(0, whole - cut) :]
    if flip is not None and data:
        data[flip % len(data)] ^= 0x10
    (folder / "net-1_1.ckpt").write_bytes(data)
    found = look(folder, Key("net", 1, 1))
    if cut or flip is None:
        assert found.checksummed == (cut == 0)


def test_tensor_content_is_not_taken_for_an_end_record(tmp_path: Path) -> None:
    """A file of MindSpore whose last tensor ends with the bytes of one of our files, one byte short."""
    ours = b"".join(ckpt.write({"w": np.zeros(3, np.float32)}, info={"total_step": 9}))
    content = np.frombuffer(ours + b"\0", np.uint8)
    commit(tmp_path / "net-1_1.ckpt", ckpt.write({"trap": content}, checksums=False))
    assert look(tmp_path, Key("net", 1, 1)).total is None


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net-1_1.ckpt")
    (tmp_path / "net-1_2.ckpt").mkdir()
    (tmp_path / "net-1_3.ckpt").touch()
    for step in (1, 2, 3):
        found = look(tmp_path, Key("net", 1, step))
        assert (found.total, found.checksummed) == (None, False)
    with pytest.raises(MissingFile):
        look(tmp_path, Key("net", 1, 4))
    assert end_record_of(str(tmp_path / "absent"), 100) is None


def test_listing_takes_exactly_this_prefix(tmp_path: Path) -> None:
    for name in ("net-10_1.ckpt", "net-9_2.ckpt", "net_2-1_1.ckpt", "net10-1_1.ckpt", "net-graph.meta", "x-1_1.ckpt"):
        (tmp_path / name).touch()
    assert keys_in(tmp_path, "net") == [Key("net", 9, 2), Key("net", 10, 1)]
    with pytest.raises(MissingFile):
        keys_in(tmp_path / "absent", "net")
    with pytest.raises(NotADirectory):
        keys_in(tmp_path / "net-graph.meta", "net")


def test_a_listing_is_made_again_if_the_directory_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, listings = Path.iterdir, []

    def iterdir(self: Path) -> Any:
        listings.append(self)
        names = list(real(self))
        if len(listings) < 3:
            (tmp_path / f"net-1_{len(listings)}.ckpt").touch()
            os.utime(tmp_path, ns=(0, len(listings)))
        return iter(names)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert sorted(names_in(tmp_path)) == ["net-1_1.ckpt", "net-1_2.ckpt"]
    assert len(listings) == 3


def test_steps_since_training_began_decide_the_order() -> None:
    assert in_order([entry(3, 7), entry(1, 9), entry(2, 8)]) == [entry(3, 7), entry(2, 8), entry(1, 9)]


def test_files_that_do_not_say_stand_where_their_name_belongs() -> None:
    ordered = in_order([entry(4, None), entry(3, 30), entry(1, None), entry(5, 50), entry(2, 20), entry(6, None)])
    assert [e.key.step for e in ordered] == [1, 2, 3, 4, 5, 6]
    assert in_order([entry(2, None), entry(1, None)]) == [entry(1, None), entry(2, None)]
    assert in_order([]) == []


@given(st.permutations([entry(1, 1), entry(2, None), entry(3, 3), entry(4, None), entry(5, 5)]))
def test_the_order_does_not_depend_on_the_listing(entries: list[Entry]) -> None:
    assert [e.key.step for e in in_order(entries)] == [1, 2, 3, 4, 5]


def test_older_means_surely_older() -> None:
    assert older(entry(5, 1), entry(1, 2))
    assert not older(entry(1, 2), entry(5, 2)), "the same step"
    assert not older(entry(1, 2), entry(1, 2))
    assert older(entry(1, None), entry(2, 1))
    assert not older(entry(2, None), entry(1, 100))
    assert not older(entry(1, 1, "net_2"), entry(2, 2, "net")), "another run"
