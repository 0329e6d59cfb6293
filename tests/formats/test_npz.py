"""`.npz` against NumPy, both ways; nothing is unpickled and nothing is allocated from a lying size."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.dtypes import DTYPES
from mindport.errors import (
    ChecksumMismatch,
    CorruptFile,
    FormatError,
    TruncatedFile,
    Unsupported,
    UsageError,
    WrongTypeError,
)
from mindport.formats.npz import read, write
from mindport.tensors import ArrayRef

RNG = np.random.default_rng(3)
WEIGHTS: dict[str, Any] = {
    "conv.weight": RNG.standard_normal((2, 3, 1)).astype(np.float32),
    "scalar": np.array(7, np.int64),
    "empty": np.zeros((0, 2), np.float16),
    "层/名": np.array([True, False]),
}


def save(path: Path, weights: Any) -> Path:
    path.write_bytes(b"".join(write(weights)))
    return path


def member(content: bytes, name: str = "w.npy", **options: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def npy(fields: str, content: bytes = b"", version: int = 1) -> bytes:
    size = len(fields).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + fields.encode("latin-1") + content


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_every_dtype_comes_back(tmp_path: Path, dtype: Any) -> None:
    content = RNG.integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes()
    path = save(tmp_path / "a.npz", [ArrayRef("w;x", np.frombuffer(content, dtype.numpy).reshape(2, 3), dtype)])
    found = read(path, verify=True)["w;x"]
    assert (found.dtype, found.shape, b"".join(found.chunks())) == (dtype, (2, 3), content)
    assert found._ref.offset % 64 == 0
    with np.load(path) as reference:
        (array,) = reference.values()
    assert array.tobytes() == content


def test_numpy_reads_ours(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", WEIGHTS)
    with np.load(path) as reference:
        assert reference.files == list(WEIGHTS)
        for name, array in WEIGHTS.items():
            np.testing.assert_array_equal(reference[name], array)
            assert reference[name].dtype == array.dtype
    assert zipfile.ZipFile(path).testzip() is None
    assert path.read_bytes() == b"".join(write(dict(WEIGHTS)))


@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_we_read_numpys(tmp_path: Path, savez: Any) -> None:
    arrays = {**WEIGHTS, "f": np.asfortranarray(RNG.standard_normal((3, 4))), "big": np.arange(3, dtype=">i4")}
    savez(tmp_path / "a.npz", **arrays)
    found = read(tmp_path / "a.npz", verify=True)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
        assert found[name].shape == array.shape
    assert "f" in found
    assert len(found) == 6


def test_marked_types_are_named_in_the_archive(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", {"w": np.ones(3, ml_dtypes.bfloat16)})
    assert zipfile.ZipFile(path).namelist() == ["w;bfloat16.npy"]
    assert read(path)["w"].numpy().dtype == ml_dtypes.bfloat16


def test_stored_arrays_are_private_views(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", WEIGHTS)
    found = read(path)
    found["conv.weight"].numpy()[...] = 5
    assert (found["conv.weight"].numpy() == 5).all()
    assert read(path, verify=True)["conv.weight"].numpy()[0, 0, 0] != 5


def test_an_empty_archive(tmp_path: Path) -> None:
    assert dict(read(save(tmp_path / "a.npz", {}), verify=True)) == {}


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", WEIGHTS)
    data = bytearray(path.read_bytes())
    data[read(path)["conv.weight"]._ref.offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match=r"'conv\.weight' is damaged"):
        read(path, verify=True)


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([ArrayRef("a", np.ones(1)), ArrayRef("a", np.ones(1))], UsageError),
        ({"a": "text"}, Unsupported),
        ({"a": (1, 2)}, Unsupported),
        ({5: np.ones(1)}, WrongTypeError),
    ],
)
def test_what_cannot_be_stored_is_refused(weights: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        write(weights)


FIELDS = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
BAD: dict[str, tuple[bytes, str]] = {
    "no array": (member(b"hello"), "is no .npy array"),
    "other member": (member(b"x", "evil.py"), "no .npy array"),
    "objects": (member(npy(FIELDS.replace("<f4", "|O"), bytes(8))), "no plain number"),
    "record type": (member(npy(FIELDS.replace("'<f4'", "[('a', '<f4')]"), bytes(8))), "no plain number"),
    "code in the header": (member(npy("__import__('os').system('true')", bytes(8))), "no plain dictionary"),
    "deep header": (member(npy("(" * 5000, bytes(8))), "no plain dictionary"),
    "no shape": (member(npy("{'descr': '<f4'}", bytes(8))), "incomplete header"),
    "negative": (member(npy(FIELDS.replace("(2,)", "(-2,)"), bytes(8))), "no proper shape"),
    "text shape": (member(npy(FIELDS.replace("(2,)", "'2'"), bytes(8))), "no proper shape"),
    "too short": (member(npy(FIELDS, bytes(7))), "holds 7 bytes, its shape needs 8"),
    "too long": (member(npy(FIELDS, bytes(9))), "holds 9 bytes, its shape needs 8"),
    "huge": (member(npy(FIELDS.replace("(2,)", "(4611686018427387904, 4, 0)"))), "its shape needs 0"),
    "header beyond the end": (member(b"\x93NUMPY\x01\x00\xff\xff"), "more header than there is"),
    "version": (member(b"\x93NUMPY\x09\x00\x00\x00\x00\x00"), "is no .npy array"),
    "other compression": (member(npy(FIELDS, bytes(8)), compression=zipfile.ZIP_BZIP2), "unknown or impossible"),
    "wrong mark": (member(npy(FIELDS, bytes(8)), "w;bfloat16.npy"), "does not hold bfloat16"),
}


@pytest.mark.parametrize("name", BAD)
def test_contradictions_are_refused(tmp_path: Path, name: str) -> None:
    data, words = BAD[name]
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match=words) as caught:
        dict(read(path))
    assert caught.value.path == str(path)


def test_doubled_names_and_lying_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", npy(FIELDS, bytes(8)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("w.npy", npy(FIELDS, bytes(8)))
    with pytest.raises(CorruptFile, match="'w' twice"):
        read(path)
    data = bytearray(b"".join(write({"w": np.ones(2, np.float32)})))
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises((CorruptFile, TruncatedFile)):
            dict(read(path))


def test_a_bomb_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(member(bytes(20 << 20), compression=zipfile.ZIP_DEFLATED))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")  # announces 4 GB
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match="unknown or impossible"):
        dict(read(path))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_files_give_values_or_format_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    out = io.BytesIO()
    np.savez_compressed(out, **WEIGHTS)
    changed = bytearray(data.draw(st.sampled_from([out.getvalue(), b"".join(write(WEIGHTS))])))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated.npz"
    path.write_bytes(changed)
    try:
        found = dict(read(path))
    except FormatError:
        return
    assert all(v.numpy().nbytes == v.nbytes for v in found.values())


DIRECTORY_FIELDS = {"extra length": 30, "comment length": 32, "comment length, high byte": 33, "name": 46}


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("field", DIRECTORY_FIELDS)
def test_a_flip_in_the_directory_hides_no_array(tmp_path: Path, field: str, ours: bool) -> None:
    path = tmp_path / "a.npz"
    if ours:
        save(path, {f"w{i}": np.full(3, i, np.float32) for i in range(4)})
    else:
        np.savez(path, **{f"w{i}": np.full(3, i, np.float32) for i in range(4)})
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02") + DIRECTORY_FIELDS[field]
    for bit in range(8):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        with pytest.raises(FormatError) as caught:
            read(path, verify=True)
        assert caught.value.path == str(path)


def test_every_flip_in_the_directory_is_found_or_changes_nothing(tmp_path: Path) -> None:
    arrays = {f"w{i}": np.full(3, i, np.float32) for i in range(4)}
    path = save(tmp_path / "a.npz", arrays)
    data = path.read_bytes()
    for at in range(data.index(b"PK\x01\x02"), len(data)):
        for bit in range(8):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            try:
                found = read(path, verify=True)
                same = {name: found[name].numpy() for name in found}
            except FormatError:
                continue
            assert list(same) == list(arrays), (at, bit)
            assert all(np.array_equal(same[n], arrays[n]) for n in arrays), (at, bit)


def test_a_directory_that_does_not_fit_its_end_record_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(2), b=np.zeros(3))
    data = (tmp_path / "a.npz").read_bytes()
    end = data.rindex(b"PK\x05\x06")
    path = tmp_path / "b.npz"
    for at, value in [(end + 10, 3), (end + 12, data[end + 12] - 1), (end + 16, data[end + 16] ^ 0x80)]:
        path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
        with pytest.raises(FormatError):
            read(path, verify=True)
    path.write_bytes(b"some bytes before the archive" + data)
    assert list(read(path, verify=True)) == ["a", "b"]
