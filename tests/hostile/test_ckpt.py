"""Hand-made `.ckpt` files that want memory, time or a crash: read in a process of its own that is measured.

Promises: one exception class, memory at most twice the file plus 64 MB, time linear in the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindport.errors import CorruptFile
from mindport.formats import ckpt
from mindport.tensors import ArrayRef
from mindport.wire.writer import field_bytes, field_header, field_varint

# reads every file given, touches all values of small ones, and says what came out and what it cost
CHILD = """
import json, resource, sys, time
from mindport.errors import FormatError, StorageError
from mindport.formats import ckpt

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

results = []
ckpt.read(sys.argv[1])
for path in sys.argv[2:]:
    open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
    before, started = peak(), time.process_time()
    try:
        file = ckpt.read(path)
        outcome, count = "read", len(file)
        first = next(iter(file.values()), None)
        if getattr(first, "nbytes", 0) < 1 << 24 and hasattr(first, "numpy"):
            first.numpy().sum()
    except (FormatError, StorageError) as exc:
        outcome, count = type(exc).__name__, 0
    file = first = None
    results.append([outcome, count, peak() - before, time.process_time() - started])
print(json.dumps(results))
"""


def record(name: bytes, value: bytes) -> bytes:
    return field_bytes(1, field_bytes(1, name) + field_bytes(2, value))


def tensor(dims: bytes, kind: bytes, content: bytes) -> bytes:
    return dims + field_bytes(2, kind) + field_bytes(3, content)


def tiny(count: int, checksums: bool) -> bytes:
    one = np.ones(1, np.float32)
    return b"".join(ckpt.write((ArrayRef(f"p{i}", one) for i in range(count)), checksums=checksums))


def slices(count: int) -> bytes:
    dims = field_varint(1, count)
    return record(b"w", tensor(dims, b"Int8", b"\1")) * count


MADE: dict[str, tuple[Callable[[], bytes], str]] = {
    "dims without end": (lambda: record(b"w", tensor(field_varint(1, 1) * 2_000_000, b"Int8", b"\1")), "CorruptFile"),
    "packed dims without end": (
        lambda: record(b"w", tensor(field_bytes(1, b"\1" * 4_000_000), b"Int8", b"\1")), "CorruptFile",
    ),
    "unknown fields without end": (lambda: record(b"w", field_varint(50, 1) * 200_000), "CorruptFile"),
    "a type without end": (lambda: record(b"w", tensor(b"", b"F" * 8_000_000, b"\1")), "CorruptFile"),
    "a name without end": (lambda: record(b"n" * 8_000_000, tensor(b"", b"Int8", b"\1")), "read"),
    "a bad name without end": (lambda: record(b"\xff" * 8_000_000, tensor(b"", b"Int8", b"\1")), "CorruptFile"),
    "dims far beyond the data": (
        lambda: record(b"w", tensor(field_varint(1, 1 << 40), b"Float64", b"\1")), "CorruptFile",
    ),
    "lengths far beyond the data": (lambda: field_header(1, 1 << 60) + field_header(1, 1 << 59), "TruncatedFile"),
    "description without end": (
        lambda: field_bytes(
            1000,
            field_varint(1, 1) + field_bytes(2, b"x") + field_varint(3, 0)
            + field_bytes(4, b'{"a":[' + b"[]," * 2_000_000 + b"0]}") + field_bytes(5, bytes(16)),
        ),
        "CorruptFile",
    ),
    "one tensor in 50000 slices": (lambda: slices(50_000), "read"),
    "slices without end": (lambda: slices(50_000) + record(b"w", tensor(b"", b"Int8", b"\1")), "CorruptFile"),
    "100000 tiny tensors of ours": (lambda: tiny(100_000, True), "read"),
    "100000 tiny tensors": (lambda: tiny(100_000, False), "read"),
    "zeros": (lambda: bytes(1 << 20), "CorruptFile"),
}  # fmt: skip


def measured(paths: list[Path], folder: Path, limit_s: int = 120) -> Iterator[list[Any]]:
    warm = folder / "warm.ckpt"
    warm.write_bytes(b"".join(ckpt.write({"w": np.ones(3)})))
    command = [sys.executable, "-c", CHILD, str(warm), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return iter(json.loads(done.stdout))


def test_hostile_files_cost_no_more_than_promised(tmp_path: Path) -> None:
    paths = []
    for i, (make, _) in enumerate(MADE.values()):
        paths.append(tmp_path / f"{i}.ckpt")
        paths[-1].write_bytes(make())
    wrong = []
    for (name, (_, wanted)), path, (outcome, _, peak, seconds) in zip(
        MADE.items(), paths, measured(paths, tmp_path), strict=True
    ):
        size = path.stat().st_size
        if outcome != wanted or peak > 2 * size + (64 << 20) or seconds > 2 + size / 200_000:
            wrong.append(f"{name}: {outcome}, {peak >> 20} MB and {seconds:.1f} s for {size >> 10} kB")
    assert not wrong, "\n".join(wrong)


def test_holes_and_special_files(tmp_path: Path) -> None:
    hole = tmp_path / "hole.ckpt"
    with hole.open("wb") as file:
        file.truncate(16 << 30)
    announced = tmp_path / "announced.ckpt"
    content = 16 << 30
    value = field_varint(1, content) + field_bytes(2, b"Int8") + field_header(3, content)
    body = field_bytes(1, b"w") + field_header(2, len(value) + content) + value
    with announced.open("wb") as file:
        file.write(field_header(1, len(body) + content) + body)
        file.truncate(file.tell() + content)
    os.mkfifo(tmp_path / "pipe.ckpt")
    (tmp_path / "folder.ckpt").mkdir()
    paths = [hole, announced, tmp_path / "pipe.ckpt", tmp_path / "folder.ckpt", Path("/dev/zero"), Path("/dev/full")]
    found = list(measured(paths, tmp_path, limit_s=30))
    assert [f[0] for f in found] == ["CorruptFile", "read", "NotAFile", "NotAFile", "NotAFile", "NotAFile"]
    assert max(f[2] for f in found) < 64 << 20
    assert max(f[3] for f in found) < 2


@pytest.mark.slow
@pytest.mark.parametrize("checksums", [True, False])
def test_a_million_tiny_tensors(tmp_path: Path, checksums: bool) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(tiny(1_000_000, checksums))
    ((outcome, count, peak, seconds),) = measured([path], tmp_path)
    assert (outcome, count) == ("read", 1_000_000)
    assert seconds < 60
    # names and positions, whatever the file's size: 180 bytes a tensor
    assert peak < 2 * path.stat().st_size + (64 << 20) + 120_000_000


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    evil = "\x1b]0;owned\x07\r\n" + "\u202e" * 3
    path.write_bytes(record(evil.encode(), tensor(field_varint(1, 9), b"Int8", b"\1")))
    with pytest.raises(CorruptFile, match="lacks 8") as caught:
        ckpt.read(path)
    assert all(c.isprintable() for c in str(caught.value))
