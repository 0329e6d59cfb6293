"""What `bench_ckpt.py` compares: each way of saving and loading the same tensors, and child processes that run one.

Every save writes a new file and ends with fsync of the file and of its directory, so all promise the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
RAW_BYTES = 8 << 20  # of one write


@dataclass(frozen=True)
class Case:
    """`count` float32 tensors of `nbytes` bytes each."""

    count: int
    nbytes: int
    text: str

    @classmethod
    def parse(cls, text: str) -> Case:
        found = re.fullmatch(r"(\d+)x(\d+)(B|KiB|MiB|GiB)", text)
        if not found:
            raise ValueError(f"{text!r} is not like 64x16MiB")
        return cls(int(found[1]), int(found[2]) * UNITS[found[3]], text)

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        rng = np.random.default_rng(0)
        return {f"layer{i}.weight": rng.random(self.nbytes // 4, np.float32) for i in range(self.count)}


def sync(path: Path) -> None:
    for target in (path, path.parent):
        fd = os.open(target, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


# --- saving: (path, weights) ---


class Raw:
    """The same number of bytes in large writes from one buffer: what the disk and the kernel need."""

    def __init__(self, preallocate: bool = False) -> None:
        self.preallocate = preallocate
        self.joined = memoryview(b"")

    def __call__(self, path: Path, weights: dict[str, Any]) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        if self.preallocate:
            os.posix_fallocate(fd, 0, len(self.joined))
        for start in range(0, len(self.joined), RAW_BYTES):
            piece = self.joined[start : start + RAW_BYTES]
            while piece:
                piece = piece[os.write(fd, piece) :]
        os.fsync(fd)
        os.close(fd)
        sync(path)


def save_mindport(path: Path, weights: dict[str, Any], checksums: bool = True) -> None:
    from mindport.formats import ckpt
    from mindport.storage.atomic import commit

    commit(path, ckpt.write(weights, checksums=checksums))


def save_plain(path: Path, weights: dict[str, Any]) -> None:
    save_mindport(path, weights, checksums=False)


def save_safetensors(path: Path, weights: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(weights, path)
    sync(path)


def save_torch(path: Path, weights: dict[str, Any]) -> None:
    import torch

    torch.save(weights, path)
    sync(path)


def save_dcp(path: Path, weights: dict[str, Any]) -> None:
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(weights, storage_writer=FileSystemWriter(path, sync_files=True), no_dist=True)
    sync(path)


def save_mindspore(path: Path, weights: dict[str, Any]) -> None:
    import mindspore

    mindspore.save_checkpoint([{"name": name, "data": data} for name, data in weights.items()], str(path))
    sync(path)


RAW = "raw write"
SAVES: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    RAW: Raw(),
    "raw write, preallocated": Raw(preallocate=True),
    "mindport": save_mindport,
    "mindport, no checksums": save_plain,
    "safetensors": save_safetensors,
    "torch.save": save_torch,
    "torch DCP": save_dcp,
    "MindSpore": save_mindspore,
}

# --- loading: (path, case), returns the tensors ---


def load_mindport(path: Path, case: Case, verify: bool = False) -> Any:
    import torch

    from mindport.formats import ckpt

    return {name: torch.as_tensor(value) for name, value in ckpt.read(path, verify=verify).items()}


def load_verified(path: Path, case: Case) -> Any:
    return load_mindport(path, case, verify=True)


def read_and_hash(path: Path, case: Case) -> Any:
    """The machine's own limit for a verified load."""
    buffer, digest = memoryview(bytearray(1 << 20)), xxhash.xxh3_64()
    fd = os.open(path, os.O_RDONLY)
    while size := os.readv(fd, [buffer]):
        digest.update(buffer[:size])
    os.close(fd)


def load_safetensors(path: Path, case: Case) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def load_torch(path: Path, case: Case) -> Any:
    import torch

    return torch.load(path, weights_only=True)


def load_torch_mapped(path: Path, case: Case) -> Any:
    import torch

    return torch.load(path, weights_only=True, mmap=True)


def load_dcp(path: Path, case: Case) -> Any:
    import torch
    from torch.distributed.checkpoint.state_dict_loader import load

    room = {f"layer{i}.weight": torch.empty(case.nbytes // 4) for i in range(case.count)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load(room, checkpoint_id=path, no_dist=True)
    return room


def load_mindspore(path: Path, case: Case) -> Any:
    import mindspore

    return mindspore.load_checkpoint(str(path))


# name -> (who wrote the file, loader)
LOADS: dict[str, tuple[str, Callable[[Path, Case], Any]]] = {
    "mindport, mapped": ("mindport", load_mindport),
    "mindport, verified": ("mindport", load_verified),
    "read + hash (limit)": ("mindport", read_and_hash),
    "safetensors, mapped": ("safetensors", load_safetensors),
    "torch.load, mapped": ("torch.save", load_torch_mapped),
    "torch.load": ("torch.save", load_torch),
    "torch DCP": ("torch DCP", load_dcp),
    "MindSpore": ("MindSpore", load_mindspore),
}


def file_of(name: str, folder: Path) -> Path:
    """Returns where the way of saving called `name` writes."""
    return folder / (re.sub(r"\W+", "_", name) + ".ckpt")


def weights_of(name: str, case: Case) -> dict[str, Any]:
    """Returns the state in the form this way of saving takes."""
    arrays = case.arrays()
    if name == "MindSpore":
        import mindspore

        return {key: mindspore.Tensor(array) for key, array in arrays.items()}
    import torch

    return {key: torch.from_numpy(array) for key, array in arrays.items()}


# --- child processes ---


def _status(field: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) << 10


def peak(kind: str, name: str, case: Case, folder: Path) -> None:
    """Prints by how many bytes one save or load, in this fresh process, raised the peak of resident memory."""
    tiny = Case.parse("2x8B")
    warm = folder / "warm-up.ckpt"
    if kind == "save":
        save, path = SAVES[name], file_of(name, folder)
        weights = weights_of(name, case)
        save(warm, weights_of(name, tiny))  # imports and first use are not the save's
        run: Callable[[], Any] = lambda: save(path, weights)  # noqa: E731
    else:
        writer, load = LOADS[name]
        SAVES[writer](warm, weights_of(writer, tiny))
        load(warm, tiny)
        run = lambda: load(file_of(writer, folder), case)  # noqa: E731
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _status("VmRSS")
    kept = run()
    print(json.dumps(_status("VmHWM") - before))
    del kept


def serve(case: Case) -> None:
    """MindSpore in a process of its own: a line `save PATH` or `load PATH` is answered with seconds."""
    weights = weights_of("MindSpore", case)
    print("ready", flush=True)
    for line in sys.stdin:
        kind, _, path = line.strip().partition(" ")
        started = time.perf_counter()
        kept = None
        if kind == "save":
            save_mindspore(Path(path), weights)
        else:
            kept = load_mindspore(Path(path), case)
        print(json.dumps(time.perf_counter() - started), flush=True)
        del kept


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Case.parse(sys.argv[2]))
    else:
        peak(sys.argv[1], sys.argv[2], Case.parse(sys.argv[3]), Path(sys.argv[4]))
