"""Damage to our own files is always found; damage to anybody's file ends in a value or a FormatError, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindport.errors import FormatError, StorageError
from mindport.formats import ckpt
from mindport.formats.ckpt_record import read_record
from mindport.formats.mapped import map_file
from oracles.golden import FILES, FOLDER

RNG = np.random.default_rng(4)
WEIGHTS: dict[str, Any] = {
    "conv.weight": RNG.standard_normal((2, 3)).astype(np.float32),
    "bias": RNG.standard_normal(3).astype(np.float16),
    "step": 5,
    "note": "ab",
    "table": ckpt.MapTensor(np.array([1, 2], "i4"), np.ones((2, 2), "f4"), np.zeros(2, "i4")),
    "last": np.arange(5, dtype=np.int64),
}
OURS = b"".join(ckpt.write(WEIGHTS, info={"epoch": 1, "step": 2}))
WITH_CRC = b"".join(ckpt.write(WEIGHTS, crc_check=True))
PLAIN = b"".join(ckpt.write(WEIGHTS, checksums=False))


def records(data: bytes) -> list[bytes]:
    """The file cut at its record borders; the last piece is the end record, if there is one."""
    buf, pos, pieces = memoryview(data), 0, []
    while pos < len(buf) and buf[pos] == 0x0A:
        end = read_record(buf, pos, len(buf)).end
        pieces.append(data[pos:end])
        pos = end
    return [*pieces, data[pos:]] if pos < len(data) else pieces


def must_be_refused(path: Path, data: bytes) -> FormatError:
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        touch_all(ckpt.read(path, verify=True))
    assert caught.value.path == str(path)
    return caught.value


def touch_all(file: ckpt.CheckpointFile) -> None:
    for value in file.values():
        if hasattr(value, "numpy"):
            value.numpy().tobytes()


@pytest.mark.parametrize("data", [OURS, WITH_CRC], ids=["ours", "with_crc"])
def test_every_flipped_bit_is_found(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.ckpt"
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << (position * 5 % 8)
        must_be_refused(path, bytes(changed))


@pytest.mark.slow
@pytest.mark.parametrize("data", [OURS, WITH_CRC], ids=["ours", "with_crc"])
def test_every_bit_and_every_byte_value_is_found(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.ckpt"
    for position in range(len(data)):
        for value in (*(1 << bit for bit in range(8)), data[position] ^ 0xFF or 1, data[position] or 1):
            changed = bytearray(data)
            changed[position] ^= value
            must_be_refused(path, bytes(changed))


@pytest.mark.parametrize("data", [OURS, WITH_CRC], ids=["ours", "with_crc"])
def test_every_truncation_is_found(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.ckpt"
    whole_without_crc = len(data) - 17 if data is WITH_CRC else -1
    for size in range(len(data)):
        if size == whole_without_crc:  # exactly the trailer is lost: the file is whole without it
            path.write_bytes(data[:size])
            assert ckpt.read(path, verify=True).info.crc is None
        else:
            must_be_refused(path, data[:size])


def test_lost_doubled_moved_and_foreign_records_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    pieces = records(OURS)
    assert len(pieces) == 7
    for i in range(7):
        must_be_refused(path, b"".join(pieces[:i] + pieces[i + 1 :]))
        must_be_refused(path, b"".join([*pieces[: i + 1], pieces[i], *pieces[i + 1 :]]))
        for j in range(i):
            swapped = list(pieces)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            must_be_refused(path, b"".join(swapped))
    other = records(b"".join(ckpt.write({**WEIGHTS, "step": 6})))
    assert other[2] != pieces[2]
    must_be_refused(path, b"".join([*pieces[:2], other[2], *pieces[3:]]))  # a sound record of another file
    must_be_refused(path, OURS + b"\0")
    must_be_refused(path, OURS + pieces[0])


def test_zero_and_stale_pages_are_found(tmp_path: Path) -> None:
    """What a power cut leaves in files that nobody synced."""
    old = b"".join(ckpt.write({"w": RNG.standard_normal(9000).astype("f4")}, info={"step": 1}))
    new = b"".join(ckpt.write({"w": RNG.standard_normal(9000).astype("f4")}, info={"step": 2}))
    for page in range(0, len(new), 4096):
        rest = new[page + 4096 :]
        must_be_refused(tmp_path / "a.ckpt", new[:page] + bytes(min(4096, len(new) - page)) + rest)
        must_be_refused(tmp_path / "a.ckpt", new[:page] + old[page : page + 4096] + rest)


def test_the_error_names_tensor_and_place(tmp_path: Path) -> None:
    name_at = OURS.index(b"conv.weight")
    changed = bytearray(OURS)
    changed[name_at] ^= 0x20  # "Conv.weight": sound in itself, found by the list's digest and traced to its record
    error = must_be_refused(tmp_path / "a.ckpt", bytes(changed))
    assert "'Conv.weight' is damaged" in str(error)
    assert error.offset == 64
    pieces = records(OURS)
    lost = must_be_refused(tmp_path / "a.ckpt", b"".join(pieces[:1] + pieces[2:]))
    assert "a record was lost, doubled, moved" in str(lost)
    cut = must_be_refused(tmp_path / "a.ckpt", OURS[: len(pieces[0]) + 30])
    assert "after tensor 'conv.weight'" in str(cut)
    assert cut.offset == len(pieces[0])


def harmless(path: Path, data: bytes) -> bool:
    """Reads the file completely; True if it was accepted. Anything but a FormatError fails the test."""
    path.write_bytes(data)
    try:
        touch_all(ckpt.read(path, verify=True))
    except FormatError:
        return False
    return True


@pytest.mark.parametrize("data", [PLAIN, OURS], ids=["plain", "ours"])
def test_every_byte_replaced_never_crashes(tmp_path: Path, data: bytes) -> None:
    accepted = 0
    for position in range(len(data)):
        for value in {0x00, 0x80, 0xFF} - {data[position]}:
            accepted += harmless(tmp_path / "a.ckpt", data[:position] + bytes([value]) + data[position + 1 :])
    assert (accepted > 0) is (data is PLAIN)  # without checksums a changed weight cannot be seen


def test_truncated_foreign_files_never_crash(tmp_path: Path) -> None:
    borders = {0}
    for piece in records(PLAIN):
        borders.add(max(borders) + len(piece))
    accepted = {size for size in range(len(PLAIN) + 1) if harmless(tmp_path / "a.ckpt", PLAIN[:size])}
    assert accepted == borders - {0}


def mutations() -> st.SearchStrategy[bytes]:
    golden = [(FOLDER / name).read_bytes() for name in FILES if name.endswith(".ckpt")]
    bases = st.sampled_from([OURS, WITH_CRC, PLAIN, *golden])

    @st.composite
    def mutated(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(bases))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, max(len(data) - 1, 0)))
            kind = draw(st.sampled_from(["set", "insert", "delete", "copy", "varint"]))
            if kind == "set" and data:
                data[at] = draw(st.integers(0, 255))
            elif kind == "insert":
                data[at:at] = draw(st.binary(max_size=6))
            elif kind == "delete":
                del data[at : at + draw(st.integers(1, 40))]
            elif kind == "copy":
                data[at:at] = data[at : at + draw(st.integers(1, 80))]
            else:
                data[at:at] = draw(st.sampled_from([b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x80" * 11]))
        return bytes(data)

    return mutated()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=mutations() | st.binary(max_size=200) | st.builds(lambda b: b"\x0a" + b, st.binary(max_size=60)))
def test_mutated_files_give_values_or_format_errors(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.ckpt"
    assert harmless(path, data) in (True, False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=mutations())
def test_mutated_files_that_load_are_sound(tmp_path: Path, data: bytes) -> None:
    """Whatever is accepted obeys the structural promises: shapes fit contents, names are unique."""
    path = tmp_path / "a.ckpt"
    if harmless(path, data):
        file = ckpt.read(path)
        assert len(set(file)) == len(file)
        for tensor in file.tensors():
            assert tensor.numpy().nbytes == tensor.nbytes == sum(len(c) for c in tensor.chunks())


def test_a_file_that_shrinks_while_open_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(b"".join(ckpt.write({"w": np.ones(50000, "f4")})))
    file = ckpt.read(path)
    with path.open("r+b") as other:
        other.truncate(path.stat().st_size // 2)
    with pytest.raises((FormatError, StorageError), match="shorter"):
        file.verify()


def test_the_pass_is_linear_in_the_number_of_records(tmp_path: Path) -> None:
    one = np.ones(1, np.float32)

    def tiny(count: int) -> Iterator[Any]:
        from mindport.tensors import ArrayRef

        return (ArrayRef(f"p{i}", one) for i in range(count))

    path = tmp_path / "a.ckpt"
    path.write_bytes(b"".join(ckpt.write(tiny(20000))))
    file = ckpt.read(path, verify=True)
    assert len(file) == 20000
    assert file["p19999"].item() == 1
    assert len(map_file(path)) == path.stat().st_size
