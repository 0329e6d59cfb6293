"""Checksums against content, from a file or from memory, in small pieces."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import xxhash

from mindport.errors import ChecksumMismatch, FormatError
from mindport.formats import ckpt, ckpt_verify
from mindport.formats.ckpt_record import read_record
from mindport.formats.ckpt_scan import scan
from mindport.formats.ckpt_verify import Source, first_damaged, intact, verify

WEIGHTS = {"a": np.arange(5000, dtype=np.float32), "b": np.arange(7, dtype=np.int16), "t": "text"}
DATA = b"".join(ckpt.write(WEIGHTS, crc_check=True))


@pytest.fixture(params=["memory", "file"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ckpt_verify, "BUFFER_BYTES", 1000)
    buf = memoryview(bytearray(DATA))
    if request.param == "memory":
        yield Source(buf, None)
        return
    path = tmp_path / "a.ckpt"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDONLY)
    yield Source(buf, fd)
    os.close(fd)


def test_sound_content_passes(source: Source) -> None:
    found = scan(source.buf)
    verify(source, found)
    assert first_damaged(source, found.body) is None
    assert b"".join(bytes(p) for p in source.pieces(5, 3000)) == DATA[5:3000]
    assert max(len(p) for p in source.pieces(0, len(DATA))) == 1000


def test_the_checksum_is_xxh3_64_from_the_tag_to_the_end_of_the_content(source: Source) -> None:
    """By the documentation alone, without the code under test."""
    record = read_record(source.buf, 0, len(DATA))
    tag_at = DATA.index(b"\x0a\x01a")
    content = WEIGHTS["a"].tobytes()
    content_at = DATA.index(content)
    expected = xxhash.xxh3_64_intdigest(DATA[tag_at : content_at + len(content)])
    after = content_at + len(content)
    assert DATA[after : after + 10] == b"\xa9\x06" + expected.to_bytes(8, "little")
    assert record.checksum == expected
    assert intact(source, record)


def test_the_digest_is_xxh3_128_of_everything_but_content() -> None:
    data = b"".join(ckpt.write({k: v for k, v in WEIGHTS.items() if k != "t"}))
    rest = data
    for array in (WEIGHTS["a"], WEIGHTS["b"]):
        rest = rest.replace(array.tobytes(), b"", 1)  # type: ignore[union-attr]
    assert data[-16:] == xxhash.xxh3_128_digest(rest[:-16])


@pytest.mark.parametrize("name", ["a", "b", "t"])
def test_the_damaged_tensor_is_named(name: str) -> None:
    value = WEIGHTS[name]
    content = value.encode("utf-32-le") if isinstance(value, str) else value.tobytes()
    at = DATA.index(content)
    changed = bytearray(DATA)
    changed[at + len(content) - 1] ^= 0x80
    buf = memoryview(changed)
    with pytest.raises(ChecksumMismatch, match=rf"'{name}' is damaged \(at byte {at}\)"):
        verify(Source(buf, None), scan(buf))


def test_a_wrong_crc_is_named() -> None:
    changed = bytearray(DATA)
    changed[-1] ^= 1
    buf = memoryview(changed)
    crc = zlib.crc32(DATA[:-17])
    with pytest.raises(ChecksumMismatch, match=f"has CRC {crc:#010x}, the trailer says"):
        verify(Source(buf, None), scan(buf))


def test_a_file_that_shrank_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDWR)
    try:
        source = Source(memoryview(DATA), fd)
        os.ftruncate(fd, 100)
        with pytest.raises(FormatError, match="became shorter"):
            source.check_size()
        with pytest.raises(FormatError, match="became shorter"):
            list(source.pieces(0, len(DATA)))
    finally:
        os.close(fd)
