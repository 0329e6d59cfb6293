"""Writes the corpus anew: `python -m fuzz.make_corpus`. The same bytes come out every time.

Small files that reach every branch of the readers: our own writer's output in each mode, MindSpore's layouts made by
hand, and files with one thing wrong. Fuzzers start from these, and the tests mutate them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.targets import KEY

from mindport.dtypes import DTYPES
from mindport.formats import ckpt, encryption, npz, safetensors
from mindport.tensors import ArrayRef
from mindport.wire.writer import field_bytes, field_header, field_varint

FOLDER = Path(__file__).resolve().parent / "corpus"
LIMIT_BYTES = 50_000


def _weights() -> dict[str, Any]:
    return {
        "conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "bias": np.arange(3, dtype=np.float16),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.int16),
        "step": 5,
        "note": "aé",
        "table": ckpt.MapTensor(np.array([1, 2], "i4"), np.ones((2, 2), "f4"), np.zeros(2, "i4")),
        "last": np.arange(5, dtype=np.int64),
    }


def _record(name: bytes, value: bytes) -> bytes:
    return field_bytes(1, field_bytes(1, name) + field_bytes(2, value))


def _tensor(dims: list[int], kind: bytes, content: bytes) -> bytes:
    return b"".join(field_varint(1, d) for d in dims) + field_bytes(2, kind) + field_bytes(3, content)


def _every_dtype() -> dict[str, ArrayRef]:
    return {
        dtype.name: ArrayRef(dtype.name, np.arange(2 * dtype.numpy.itemsize, dtype=np.uint8).view(dtype.numpy), dtype)
        for dtype in DTYPES
        if dtype.name != "bool"
    }


def _encrypted(mode: str) -> bytes:
    plain = b"".join(ckpt.write({"w": np.arange(4, dtype=np.float32)}))
    # a fixed iv, so that the file is the same every time: right for a test file, never for a secret
    return b"".join(
        encryption.encrypt(iter([plain]), KEY, mode, block_bytes=128, random=lambda size: bytes(range(size)))
    )


def ckpt_files() -> Iterator[tuple[str, bytes]]:
    """Yields `(name, bytes)` of the checkpoints; readers accept them all but those called ``bad_...``."""
    weights = _weights()
    one = np.arange(2, dtype=np.float32)
    yield "ours", b"".join(ckpt.write(weights, info={"epoch": 1, "step": 2, "metrics": {"loss": 0.5}, "run": "x"}))
    yield "ours_crc", b"".join(ckpt.write(weights, crc_check=True))
    yield "ours_dtypes", b"".join(ckpt.write(_every_dtype()))
    yield "ours_empty", b"".join(ckpt.write({}))
    yield "ours_long_name", b"".join(ckpt.write({"n" * 400: one, "m" * 130: one}))
    yield "plain", b"".join(ckpt.write(weights, checksums=False))
    yield "plain_crc", b"".join(ckpt.write(weights, checksums=False, crc_check=True))
    for mode in ("AES-GCM", "AES-CBC", "SM4-CBC"):
        yield f"encrypted_{mode.lower()}", _encrypted(mode)
    content = one.tobytes()
    yield (
        "hand_slices",
        _record(b"w", _tensor([2], b"Float32", content[:4])) + _record(b"w", _tensor([2], b"Float32", content[4:])),
    )
    yield "hand_old_scalar", _record(b"s", _tensor([0], b"Float32", content[4:]))
    yield "hand_old_type", _record(b"u", _tensor([2], b"Uint16", content[4:]))
    packed = field_bytes(1, b"\x01\x02") + field_bytes(2, b"Int16") + field_bytes(3, content[:4])
    yield "hand_packed_dims", _record(b"p", packed)
    swapped = field_bytes(3, content) + field_bytes(2, b"Float32") + field_varint(1, 2)
    yield "hand_swapped_fields", field_bytes(1, field_bytes(2, swapped) + field_bytes(1, b"w"))
    yield (
        "hand_unknown_fields",
        field_bytes(
            1,
            field_bytes(1, b"w")
            + field_varint(9, 300)
            + field_bytes(2, _tensor([2], b"Float32", content) + field_bytes(200, b"later")),
        ),
    )
    yield "hand_cache_name", _record(b"w.__param_key__3", _tensor([2], b"Float32", content))
    yield "bad_text", _record(b"t", _tensor([0], b"str", b"\xff" * 8))
    yield "bad_huge_dims", _record(b"w", _tensor([1 << 40, 1 << 40], b"Int8", b"\1"))
    yield "bad_negative_dim", _record(b"w", _tensor([(1 << 64) - 1], b"Int8", b"\1"))
    yield "bad_lengths", field_header(1, 1 << 60) + field_header(1, 1 << 59)
    yield "bad_twice", _record(b"w", _tensor([], b"Int8", b"\1")) * 2
    yield "bad_utf8", _record(b"\xff\xfe", _tensor([], b"Int8", b"\1"))
    yield "bad_end_record", field_bytes(1000, field_varint(1, 1) + field_bytes(4, b"{"))


def _others() -> Iterator[tuple[str, str, bytes]]:
    arrays = {k: v for k, v in _weights().items() if isinstance(v, np.ndarray)}
    yield "safetensors", "ours", b"".join(safetensors.write(arrays, info={"format": "pt"}))
    yield "npz", "ours", b"".join(npz.write(arrays))
    from mindport.conversion.pipeline import to_target
    from mindport.dialects.literals import GE, MINDSPORE
    from mindport.formats import air, mindir
    from mindport.ops.samples import build, f32, sample, weight

    model = build("Conv", sample(f32(1, 2, 5, 6), weight(3, 2, 2, 3), weight(3), pads=[1, 0, 2, 1]))
    yield "mindir", "conv", b"".join(mindir.write(to_target(model, MINDSPORE)))
    yield "air", "conv", b"".join(air.write(to_target(model, GE)))


def main() -> None:
    """Writes the files."""
    made = [("ckpt", name, data) for name, data in ckpt_files()] + list(_others())
    total = sum(len(data) for _, _, data in made)
    if total > LIMIT_BYTES:
        raise SystemExit(f"the corpus has {total} bytes; it must stay below {LIMIT_BYTES}")
    for folder, name, data in made:
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
        (FOLDER / folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
