"""Every file that real MindSpore wrote reads to its values or to the right error, and our bytes are MindSpore's."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from mindport.errors import ChecksumMismatch, CorruptFile, FormatError, TruncatedFile, UsageError
from mindport.formats import ckpt, registry, safetensors
from mindport.tensors import Tensor
from oracles.golden import FILES, FOLDER, described, expected

REFUSED: dict[str, tuple[type[FormatError], str]] = {
    "bad_too_few_bytes.ckpt": (CorruptFile, "'a' lacks 4 of the bytes its shape needs"),
    "bad_too_many_bytes.ckpt": (CorruptFile, "'a' holds 8 bytes, its shape needs 4"),
    "crc_bad_payload.ckpt": (ChecksumMismatch, "the content has CRC 0xd0aaaa08, the trailer says 0x1f34bdc0"),
    "crc_bad_trailer.ckpt": (ChecksumMismatch, "the trailer says 0x1f34bdc1"),
    "dup_nonadjacent.ckpt": (CorruptFile, "'a' stands in the file twice .at byte 52"),
    "empty_file.ckpt": (TruncatedFile, "empty"),
    "enc_plus_crc_unloadable.ckpt": (CorruptFile, "magic number .at byte 128"),
    "truncated_mid_record.ckpt": (TruncatedFile, "announces 32 bytes, 3 are left, after tensor 'p'"),
}
PLAIN = [n for n, f in FILES.items() if n.endswith(".ckpt") and "expected" in f and "mode" not in f]
ENCRYPTED = [n for n, f in FILES.items() if "mode" in f]


def test_the_copies_are_what_mindspore_wrote() -> None:
    for name, file in FILES.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == file["sha256"], name


@pytest.mark.parametrize("name", [n for n in PLAIN if n not in REFUSED])
def test_values_are_those_mindspore_was_given(name: str) -> None:
    found = ckpt.read(FOLDER / name, verify=True)
    want = expected(name)
    if name == "maptensor.ckpt":
        keys, values, status = found["map"]
        assert [a.dtype.name for a in (keys, values, status)] == ["int32", "float32", "int32"]
        assert keys.tolist() == [1, 2]
        assert values.tolist() == np.ones((2, 4)).tolist()
        assert status.tolist() == [0, 0]
        assert list(found) == ["map", "w"]
        assert described({"w": found["w"]}) == want
        return
    assert described(found) == want
    assert list(found) == list(want)  # file order
    assert found.info.tensor_count == len(want)
    assert (found.info.schema, found.info.has_checksums, found.info.digest) == (0, False, "")
    assert found.info.crc == FILES[name].get("crc32")


@pytest.mark.parametrize("name", [*REFUSED])
def test_what_contradicts_itself_is_refused(name: str) -> None:
    kind, words = REFUSED[name]
    file = FILES[name]
    key = bytes.fromhex(file["key_hex"]) if "key_hex" in file else None
    with pytest.raises(kind, match=words) as caught:
        ckpt.read(FOLDER / name, verify=True, dec_key=key)
    assert type(caught.value) is kind
    assert name in str(caught.value)


def test_crc_is_compared_only_when_asked() -> None:
    opened = ckpt.read(FOLDER / "crc_bad_payload.ckpt")
    assert list(opened) == ["p", "q"]
    with pytest.raises(ChecksumMismatch):
        opened.verify()


def test_the_old_spelling_of_unsigned_types_is_read() -> None:
    found = ckpt.read(FOLDER / "bad_unknown_type.ckpt")  # MindSpore 2.10 refuses "Uint8", its 1.0 wrote so
    assert found["a"].dtype.name == "uint8"


def test_a_file_cut_between_records_cannot_be_told_from_a_whole_one() -> None:
    assert list(ckpt.read(FOLDER / "truncated_at_record.ckpt", verify=True)) == ["p"]


@pytest.mark.parametrize("name", [n for n in ENCRYPTED if n not in REFUSED])
def test_encrypted_files_open_with_their_key(name: str) -> None:
    file = FILES[name]
    key = bytes.fromhex(file["key_hex"])
    found = ckpt.read(FOLDER / name, dec_key=key, dec_mode=file["mode"])
    assert described(found) == expected(file["plaintext_file"])
    assert found.info.encrypted == file["mode"]
    with pytest.raises(FormatError, match="its key is needed"):
        ckpt.read(FOLDER / name)
    with pytest.raises(
        FormatError, match=r"key is wrong|contradict|does not begin|announces|sound|field|damaged|holds"
    ):
        ckpt.read(FOLDER / name, dec_key=bytes(len(key)), dec_mode=file["mode"])
    other = "AES-CBC" if file["mode"] == "AES-GCM" else "AES-GCM"
    with pytest.raises(FormatError, match=f"encrypted with {file['mode']}, not with {other}"):
        ckpt.read(FOLDER / name, dec_key=key, dec_mode=other)


def test_a_key_for_a_plain_file_is_refused() -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        ckpt.read(FOLDER / "plain.ckpt", dec_key=bytes(16))


# files whose records an ordinary save reproduces: no slices, no 1.0 scalars, no dropped or constructed records
SAME_BYTES = [
    *("append_dict.ckpt", "dtypes.ckpt", "dtypes_saved_but_not_loadable.ckpt", "empty_async.ckpt", "empty_sync.ckpt"),
    *("maptensor.ckpt", "names.ckpt", "plain.ckpt", "plain_2424.ckpt", "scalars_0d.ckpt", "train_adam.ckpt"),
    *("train_conv_sgd.ckpt", "train_exception.ckpt", "train_momentum.ckpt"),
]


@pytest.mark.parametrize("name", SAME_BYTES)
def test_written_without_checksums_the_bytes_are_mindspores(name: str) -> None:
    values = ckpt.read(FOLDER / name)
    assert b"".join(ckpt.write(values, checksums=False)) == (FOLDER / name).read_bytes()


def test_with_crc_check_the_bytes_are_mindspores() -> None:
    values = ckpt.read(FOLDER / "plain.ckpt")
    data = b"".join(ckpt.write(values, checksums=False, crc_check=True))
    assert data == (FOLDER / "crc.ckpt").read_bytes()


def test_python_values_are_stored_as_append_dict_stores_them() -> None:
    golden = (FOLDER / "append_dict.ckpt").read_bytes()
    values = dict(ckpt.read(FOLDER / "append_dict.ckpt"))
    plain = {n: v.item() if isinstance(v, Tensor) and v.shape == () else v for n, v in values.items()}
    assert plain["epoch_num"] == 3
    assert plain["flag"] is True
    plain["param"] = values["param"]  # a parameter without dimensions has a dtype of its own
    assert b"".join(ckpt.write(plain, checksums=False)) == golden


def test_safetensors_files_of_mindspore() -> None:
    found = safetensors.read(FOLDER / "plain.safetensors", verify=True)
    assert {n: t.dtype.name for n, t in found.items()} == {
        "q": "int64", "p": "float32", "s0": "float32", "bf": "bfloat16", "i4": "qint4x2",
    }  # fmt: skip
    assert described({"p": found["p"], "q": found["q"]}) == expected("plain.ckpt")
    assert found.info == {"format": "ms", "i4": "Int4"}
    assert safetensors.read(FOLDER / "crc.safetensors", verify=True).info["crc_num"] == "1472096988"


def test_every_golden_file_is_recognised_by_content() -> None:
    for name in FILES:
        if name != "empty_file.ckpt":
            assert registry.detect(FOLDER / name).name == name.rpartition(".")[2], name
