"""MindSpore's encrypted files: blocks of AES-GCM, AES-CBC or SM4-CBC, through the `cryptography` package.

The plain file is cut into blocks of 64 MiB; each becomes (numbers are little-endian uint32)::

    magic  [tag 16, GCM only]  body length  { iv length = 16, iv, cipher length, ciphertext }

GCM takes the first 12 bytes of the iv as nonce and no additional data; CBC takes all 16, with PKCS#7 padding. Two
older layouts are read too: one with a 16-byte nonce, and the first one, which had GCM's magic for both modes and no
tag (its CBC files are read; its GCM files cannot be checked and are refused).

Blocks are not bound to each other: a lost block is found by the checksums of a file of mindport, not by the cipher.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from typing import Any

from mindport import extras
from mindport.errors import ChecksumMismatch, CorruptFile, TruncatedFile, UsageError
from mindport.formats.sniff import ENCRYPTED, encrypted
from mindport.wire.writer import Chunk

__all__ = ["BLOCK_BYTES", "MODES", "check_key", "decrypt", "encrypt"]

BLOCK_BYTES = 64 << 20
MODES = {"AES-GCM": (16, 24, 32), "AES-CBC": (16, 24, 32), "SM4-CBC": (16,)}  # mode -> key lengths in bytes

_MAGIC = {mode: number.to_bytes(4, "little") for number, mode in ENCRYPTED.items()}
_WORD, _IV, _TAG = 4, 16, 16
_GCM_NONCE = 12


def check_key(key: object, mode: object) -> None:
    """Raises UsageError unless `key` is bytes of a length that `mode` takes."""
    lengths = MODES.get(mode) if isinstance(mode, str) else None
    if lengths is None:
        raise UsageError(f"unknown encryption mode {mode!r}; known: {', '.join(MODES)}")
    if not isinstance(key, bytes) or len(key) not in lengths:
        wanted = ", ".join(map(str, lengths))
        got = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
        raise UsageError(f"{mode} needs a key of {wanted} bytes, not {got}")


def _cipher(mode: str, key: bytes, iv: bytes, tag: bytes | None = None) -> Any:
    ciphers = extras.need("cryptography.hazmat.primitives.ciphers", "encrypted files")
    modes = ciphers.modes
    algorithm = _algorithm(mode, key)
    if mode == "AES-GCM":
        return ciphers.Cipher(algorithm, modes.GCM(iv, tag) if tag is not None else modes.GCM(iv))
    return ciphers.Cipher(algorithm, modes.CBC(iv))


def _algorithm(mode: str, key: bytes) -> Any:
    if mode != "SM4-CBC":
        return extras.need("cryptography.hazmat.primitives.ciphers.algorithms").AES(key)
    return extras.need("cryptography.hazmat.primitives.ciphers.algorithms").SM4(key)


def encrypt(
    chunks: Iterator[Chunk],
    key: bytes,
    mode: str = "AES-GCM",
    *,
    block_bytes: int = BLOCK_BYTES,
    random: Callable[[int], bytes] = os.urandom,
) -> Iterator[Chunk]:
    """Yields the encrypted file. Holds one block (64 MiB) in memory.

    Raises:
        UsageError: unknown mode or a key of the wrong length.
        MissingExtra: `cryptography` is not installed.
    """
    check_key(key, mode)
    _cipher(mode, key, bytes(_IV))  # a missing package is said before anything is written
    return _encrypted(chunks, key, mode, block_bytes, random)


def _encrypted(
    chunks: Iterator[Chunk], key: bytes, mode: str, block_bytes: int, random: Callable[[int], bytes]
) -> Iterator[Chunk]:
    held = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            room = block_bytes - len(held)
            held += view[:room]
            view = view[room:]
            if len(held) == block_bytes:
                yield from _block(held, key, mode, random(_IV))
                held.clear()
    if held:
        yield from _block(held, key, mode, random(_IV))


def _block(plain: bytearray, key: bytes, mode: str, iv: bytes) -> Iterator[Chunk]:
    tag = b""
    if mode == "AES-GCM":
        worker = _cipher(mode, key, iv[:_GCM_NONCE]).encryptor()
        text = worker.update(plain) + worker.finalize()
        tag = worker.tag
    else:
        worker = _cipher(mode, key, iv).encryptor()
        short = 16 - len(plain) % 16
        text = worker.update(plain) + worker.update(bytes((short,)) * short) + worker.finalize()
    yield _MAGIC[mode] + tag + _word(_WORD + _IV + _WORD + len(text)) + _word(_IV) + iv + _word(len(text))
    yield text


def _word(value: int) -> bytes:
    return value.to_bytes(_WORD, "little")


def decrypt(buf: memoryview, key: bytes, mode: str = "AES-GCM") -> memoryview:
    """Returns the plain content of an encrypted file, in private writable memory.

    Raises:
        UsageError: unknown mode or a key of the wrong length.
        CorruptFile, TruncatedFile, ChecksumMismatch: the file is damaged, or key or mode are wrong.
        MissingExtra: `cryptography` is not installed.
    """
    check_key(key, mode)
    stored = encrypted(bytes(buf[:4]))
    if stored != mode and not (mode == "AES-CBC" and stored == "AES-GCM" and _tagless(buf, _WORD)):
        raise CorruptFile(f"the file is encrypted with {stored or 'nothing known'}, not with {mode}", offset=0)
    magic = buf[:_WORD]
    plain = mmap.mmap(-1, max(1, len(buf)))  # never longer than the ciphertext
    pos = size = 0
    while pos < len(buf):
        if buf[pos : pos + _WORD] != magic:
            raise CorruptFile("an encrypted block does not begin with its magic number", offset=pos)
        pos, part = _plain_block(buf, pos, key, mode)
        plain[size : size + len(part)] = part
        size += len(part)
    return memoryview(plain)[:size]


def _plain_block(buf: memoryview, pos: int, key: bytes, mode: str) -> tuple[int, bytes]:
    """Returns `(position after the block, plain content)`."""
    start = pos
    pos += _WORD
    tag = None
    if mode == "AES-GCM" and not _tagless(buf, pos):
        tag = bytes(buf[pos : pos + _TAG])
        pos += _TAG
    length = _number(buf, pos)
    end = pos + _WORD + length
    if end > len(buf):
        raise TruncatedFile(f"an encrypted block announces {length} bytes, {len(buf) - pos} are left", offset=start)
    iv_at = pos + 2 * _WORD
    text_at = iv_at + _IV + _WORD
    if _number(buf, pos + _WORD) != _IV or text_at + _number(buf, text_at - _WORD) != end:
        raise CorruptFile("the lengths in an encrypted block contradict each other", offset=start)
    if tag is None and mode == "AES-GCM":
        raise CorruptFile("an AES-GCM block of MindSpore's first layout has no tag and cannot be checked", offset=start)
    return end, _open_block(bytes(buf[iv_at : iv_at + _IV]), tag, buf[text_at:end], key, mode, start)


def _tagless(buf: memoryview, pos: int) -> bool:
    """True for the first layout: a body length that fits and the iv's length follow the magic number directly."""
    return _number(buf, pos) <= len(buf) - pos - _WORD and _number(buf, pos + _WORD) == _IV


def _number(buf: memoryview, pos: int) -> int:
    return int.from_bytes(buf[pos : pos + _WORD], "little")


def _open_block(iv: bytes, tag: bytes | None, text: memoryview, key: bytes, mode: str, at: int) -> bytes:
    if mode == "AES-GCM":
        invalid = extras.need("cryptography.exceptions").InvalidTag
        for nonce in (iv[:_GCM_NONCE], iv):  # one revision of MindSpore used all 16 bytes
            worker = _cipher(mode, key, nonce, tag).decryptor()
            plain: bytes = worker.update(text)
            try:
                return plain + bytes(worker.finalize())
            except invalid:
                continue
        raise ChecksumMismatch("the key is wrong, or the encrypted content is damaged", offset=at)
    if len(text) % 16 or not len(text):
        raise CorruptFile("an encrypted block is no multiple of 16 bytes", offset=at)
    worker = _cipher(mode, key, iv).decryptor()
    plain = worker.update(text) + worker.finalize()
    short = plain[-1]
    if not 1 <= short <= 16 or plain[-short:] != bytes((short,)) * short:
        raise CorruptFile("the key is wrong, or the encrypted content is damaged", offset=at)
    return plain[:-short]
