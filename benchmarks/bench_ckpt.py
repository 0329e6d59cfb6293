"""Saving and loading checkpoints: mindport against raw writes, safetensors, torch and MindSpore, in one run.

usage: python benchmarks/bench_ckpt.py [--case 64x16MiB] [--repeats 5] [--folder DIR] [--no-mindspore] [--json FILE]

A case is COUNTxSIZE (float32 tensors). Every save ends with fsync, except MindSpore's, which never syncs; it runs in
a process of its own. The page cache is warm. Loads end with all tensors as torch tensors (MindSpore: as its own).
Times are medians, in milliseconds; ratios are to mindport.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import xxhash

from mindport.formats import ckpt
from mindport.storage.atomic import commit

UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

MINDSPORE = """
import json, sys, time
import numpy as np, mindspore as ms
count, size, repeats, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rng = np.random.default_rng(0)
data = [ms.Tensor(rng.standard_normal(size // 4, np.float32)) for _ in range(count)]
weights = [{"name": f"layer{i}.weight", "data": tensor} for i, tensor in enumerate(data)]
saves, loads = [], []
for _ in range(repeats):
    start = time.perf_counter(); ms.save_checkpoint(weights, path); saves.append(time.perf_counter() - start)
for _ in range(repeats):
    start = time.perf_counter(); ms.load_checkpoint(path); loads.append(time.perf_counter() - start)
print(json.dumps([saves, loads]))
"""


def case(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)(B|KiB|MiB|GiB)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 64x16MiB")
    return int(found[1]), int(found[2]) * UNITS[found[3]]


def timed(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Runs all of them in turn, so that a slow moment of the machine hits each alike; the first round is a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats + 1):
        for name, run in work.items():
            gc.collect()
            start = time.perf_counter()
            result = run()
            times[name].append(time.perf_counter() - start)
            del result
    return {name: found[1:] for name, found in times.items()}


def sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def raw_write(path: Path, weights: dict[str, torch.Tensor]) -> None:
    part = path.with_suffix(".part")  # a new file, as mindport writes: truncating an old one costs extra
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    for tensor in weights.values():
        view = memoryview(tensor.numpy()).cast("B")
        while view:
            view = view[os.write(fd, view) :]
    os.fsync(fd)
    os.close(fd)
    part.replace(path)


def read_and_hash(path: Path) -> None:
    """The machine's own limit for a verified load."""
    buffer, digest = memoryview(bytearray(1 << 20)), xxhash.xxh3_64()
    fd = os.open(path, os.O_RDONLY)
    while size := os.readv(fd, [buffer]):
        digest.update(buffer[:size])
    os.close(fd)


def measure(count: int, size: int, repeats: int, folder: Path, with_mindspore: bool) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    weights = {f"layer{i}.weight": torch.from_numpy(rng.standard_normal(size // 4, np.float32)) for i in range(count)}
    ours, safe, pt = folder / "a.ckpt", folder / "a.safetensors", folder / "a.pt"

    def save_safetensors() -> None:
        safetensors.torch.save_file(weights, safe)
        sync(safe)

    def save_torch() -> None:
        torch.save(weights, pt)
        sync(pt)

    def load_ours(verify: bool) -> list[torch.Tensor]:
        return [torch.as_tensor(t) for t in ckpt.read(ours, verify=verify).values()]

    work: dict[str, Callable[[], Any]] = {
        "save raw write+fsync": lambda: raw_write(folder / "raw", weights),
        "save mindport": lambda: commit(ours, ckpt.write(weights)),
        "save mindport, no checksums": lambda: commit(folder / "plain.ckpt", ckpt.write(weights, checksums=False)),
        "save safetensors+fsync": save_safetensors,
        "save torch+fsync": save_torch,
        "load mindport, mapped": lambda: load_ours(False),
        "load mindport, verified": lambda: load_ours(True),
        "load read+hash limit": lambda: read_and_hash(ours),
        "load safetensors, mapped": lambda: safetensors.torch.load_file(safe),
        "load torch, mapped": lambda: torch.load(pt, mmap=True, weights_only=True),
        "load torch": lambda: torch.load(pt, weights_only=True),
    }
    times = timed(work, repeats)
    if with_mindspore:
        del weights
        command = [sys.executable, "-c", MINDSPORE, str(count), str(size), str(repeats), str(folder / "ms.ckpt")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times["save MindSpore (no fsync)"], times["load MindSpore"] = json.loads(done.stdout.splitlines()[-1])
    return times


def report(name: str, times: dict[str, list[float]], nbytes: int) -> None:
    base = {
        "save": statistics.median(times["save mindport"]),
        "load": statistics.median(times["load mindport, mapped"]),
    }
    print(f"\n{name}: {nbytes / (1 << 20):,.0f} MiB")
    for what in sorted(times, key=lambda w: (w[:4] != "save", statistics.median(times[w]))):
        median = statistics.median(times[what])
        rate = (
            f"{nbytes / median / 1e9:8.2f} GB/s" if what[:4] == "save" or "verified" in what or "limit" in what else ""
        )
        print(f"  {what:30} {median * 1e3:10.1f} ms  {median / base[what[:4]]:8.2f} x  {rate}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", type=case, help="COUNTxSIZE, may be given several times")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; the disk that is measured")
    parser.add_argument("--no-mindspore", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(
        f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, torch {torch.__version__}"
    )
    results = {}
    for count, size in options.case or [case("64x16MiB"), case("20000x52KiB"), case("100000x1KiB")]:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            times = measure(count, size, options.repeats, Path(folder), not options.no_mindspore)
        results[f"{count} x {size}"] = times
        report(f"{count} tensors of {size} bytes", times, count * size)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
