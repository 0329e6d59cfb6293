"""Encrypted files: MindSpore's layout block by block, and nothing accepted that is not sound."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mindport.errors import ChecksumMismatch, CorruptFile, FormatError, UsageError
from mindport.formats import encryption
from mindport.formats.encryption import MODES, check_key, decrypt, encrypt
from oracles.golden import FILES, FOLDER

KEY = bytes(range(16))
PLAIN = bytes(range(256)) * 10
CASES = [(mode, size) for mode, sizes in MODES.items() for size in sizes]


def encrypted(data: bytes, key: bytes = KEY, mode: str = "AES-GCM", block: int = 1000) -> bytes:
    return b"".join(encrypt(iter([data[:7], data[7:]]), key, mode, block_bytes=block))


@pytest.mark.parametrize(("mode", "size"), CASES)
def test_blocks_come_back(mode: str, size: int) -> None:
    key = bytes(range(size))
    for data in (PLAIN, b"x", PLAIN[:1000], PLAIN[:2000]):
        out = encrypted(data, key, mode)
        assert bytes(decrypt(memoryview(out), key, mode)) == data
        assert out != encrypted(data, key, mode)  # random per block


@pytest.mark.parametrize("name", [n for n, f in FILES.items() if n.startswith("enc_multiblock")])
def test_given_mindspores_random_bytes_the_file_is_mindspores(name: str) -> None:
    """Byte for byte, block for block, against files that MindSpore wrote."""
    golden, file = (FOLDER / name).read_bytes(), FILES[name]
    plain = (FOLDER / file["plaintext_file"]).read_bytes()
    ivs, pos = [], 0
    while pos < len(golden):
        at = pos + (20 if file["mode"] == "AES-GCM" else 4)
        body, _ = struct.unpack("<II", golden[at : at + 8])
        ivs.append(golden[at + 8 : at + 24])
        pos = at + 4 + body
    key, random = bytes.fromhex(file["key_hex"]), iter(ivs)
    out = b"".join(encrypt(iter([plain]), key, file["mode"], block_bytes=1024, random=lambda n: next(random)))
    assert len(ivs) == 3
    assert out == golden


@pytest.mark.parametrize("mode", MODES)
def test_every_flipped_bit_of_the_framing_is_found(mode: str) -> None:
    data = encrypted(PLAIN, KEY, mode, block=1 << 20)
    header = 48 if mode == "AES-GCM" else 32
    for position in range(header):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        try:
            found = bytes(decrypt(memoryview(changed), KEY, mode))
        except FormatError:
            continue
        # GCM uses 12 of the 16 iv bytes; a changed CBC iv changes only the first block of the plain text
        assert mode != "AES-GCM" or (found == PLAIN and 40 <= position < 44)
        assert found[16:] == PLAIN[16:]


def test_gcm_finds_every_damage_to_content() -> None:
    data = encrypted(PLAIN, block=1 << 20)
    for position in range(48, len(data), 37):
        changed = bytearray(data)
        changed[position] ^= 4
        with pytest.raises(ChecksumMismatch, match="key is wrong, or the encrypted content is damaged"):
            decrypt(memoryview(changed), KEY)


@pytest.mark.parametrize("mode", MODES)
def test_truncated_files_are_refused(mode: str) -> None:
    data = encrypted(PLAIN, KEY, mode, block=1 << 20)
    for size in range(0, len(data), 13):
        with pytest.raises(FormatError):
            decrypt(memoryview(data)[:size], KEY, mode)


def test_the_revision_with_a_long_nonce_is_read() -> None:
    iv = bytes(range(50, 66))
    worker = Cipher(algorithms.AES(KEY), modes.GCM(iv)).encryptor()
    text = worker.update(PLAIN) + worker.finalize()
    head = struct.pack("<I", 0x7F3A5ED8) + worker.tag + struct.pack("<II", 24 + len(text), 16) + iv
    assert bytes(decrypt(memoryview(head + struct.pack("<I", len(text)) + text), KEY)) == PLAIN


def test_the_first_layout_is_read_where_it_can_be_checked() -> None:
    iv = bytes(16)
    padded = PLAIN + bytes([16]) * 16
    worker = Cipher(algorithms.AES(KEY), modes.CBC(iv)).encryptor()
    text = worker.update(padded) + worker.finalize()
    data = struct.pack("<III", 0x7F3A5ED8, 24 + len(text), 16) + iv + struct.pack("<I", len(text)) + text
    assert bytes(decrypt(memoryview(data), KEY, "AES-CBC")) == PLAIN
    with pytest.raises(CorruptFile, match="first layout has no tag"):
        decrypt(memoryview(data), KEY, "AES-GCM")


def test_gcm_is_the_standard_one() -> None:
    data = encrypted(PLAIN, block=1 << 20)
    tag, iv, text = data[4:20], data[28:44], data[48:]
    assert AESGCM(KEY).decrypt(iv[:12], text + tag, None) == PLAIN


def test_keys_and_modes_are_checked() -> None:
    for key, mode, words in (
        (bytes(16), "AES-ECB", "unknown encryption mode 'AES-ECB'"),
        (bytes(15), "AES-CBC", "16, 24, 32 bytes, not 15 bytes"),
        ("0123456789abcdef", "AES-GCM", "not str"),
        (bytes(32), "SM4-CBC", "16 bytes, not 32 bytes"),
        (bytes(16), None, "unknown encryption mode None"),
    ):
        with pytest.raises(UsageError, match=words):
            check_key(key, mode)


def test_blocks_are_made_as_the_stream_comes() -> None:
    asked = 0

    def stream() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield bytes(100)

    out = encrypt(stream(), KEY, block_bytes=1000)
    next(out)
    assert asked == 10
    assert encryption.BLOCK_BYTES == 64 << 20
