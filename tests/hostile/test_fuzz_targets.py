"""The fuzz targets over their corpus and over reproducible mutations of it, without a fuzzer.

Promises: any bytes end in a value or a FormatError, and reading them takes no more memory than allowed.
"""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from fuzz import make_corpus
from fuzz.targets import TARGETS

CORPUS = make_corpus.FOLDER
CKPT = sorted((CORPUS / "ckpt").iterdir())
OTHERS = sorted(path for name in TARGETS if name != "ckpt" for path in (CORPUS / name).glob("*"))
INTERESTING = [0x00, 0x01, 0x08, 0x0A, 0x12, 0x1A, 0x7F, 0x80, 0xC2, 0xFF]


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to four of a fuzzer's usual changes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(out) + 1), rng.choice([1, 2, 4, 8, 40])
        match rng.randrange(6):
            case 0:
                del out[at : at + size]
            case 1:
                out[at:at] = bytes(rng.choices(INTERESTING, k=size))
            case 2:
                out[at : at + 1] = bytes([rng.choice(INTERESTING)])
            case 3:
                out[at:at] = out[at : at + size] * rng.randint(1, 9)
            case 4:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                out[at:at] = other[start : start + 8 * size]
            case _:
                if at < len(out):
                    out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


def test_the_corpus_is_what_its_script_makes() -> None:
    made = dict(make_corpus.ckpt_files())
    assert {path.name: path.read_bytes() for path in CKPT} == made
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < make_corpus.LIMIT_BYTES


@pytest.mark.parametrize("path", CKPT, ids=lambda path: path.name)
def test_corpus_of_checkpoints(path: Path) -> None:
    assert TARGETS["ckpt"](path.read_bytes()) is not path.name.startswith("bad_")


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_corpus_of_other_formats(path: Path) -> None:
    assert TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", ["safetensors", "npz", "mindir", "air", "graph_meta"])
def test_mutations_of_other_formats(name: str) -> None:
    rng, data = random.Random(name), [path.read_bytes() for path in OTHERS]  # every reader meets the other formats too
    outcomes = {TARGETS[name](mutated(rng.choice(data), data, rng)) for _ in range(120)}
    assert False in outcomes


def test_mutations_of_checkpoints() -> None:
    rng, data = random.Random(7), [path.read_bytes() for path in CKPT]
    counts = {True: 0, False: 0}
    for _ in range(500):
        counts[TARGETS["ckpt"](mutated(rng.choice(data), data, rng))] += 1
    assert min(counts.values()) > 2  # both the refusing and the reading side were met


def test_memory_is_bounded() -> None:
    rng, data = random.Random(8), [path.read_bytes() for path in CKPT]
    inputs = [mutated(rng.choice(data), data, rng) for _ in range(200)]
    TARGETS["ckpt"](data[0])
    tracemalloc.start()
    try:
        for item in inputs:
            TARGETS["ckpt"](item)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
