"""PyTorch's `.pt`/`.pth` (and Lightning's `.ckpt`): read by torch itself with `weights_only`, written as a stream.

Nothing is ever unpickled outside `torch.load(weights_only=True)`, there is no fallback, and torch must be 2.6 or
later, because that mode ran code before. Archives that torch itself would not have written (compressed members) are
refused before torch sees them.
"""

from __future__ import annotations

import os
import queue
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from typing import Any

from mindport.adapters.torch import to_torch
from mindport.errors import CorruptFile, MissingExtra, Unsupported, UnsupportedDType, UsageError, printable
from mindport.extras import need
from mindport.formats.mapped import is_zip, open_regular
from mindport.tensors import Tensor, TensorRef, as_ref
from mindport.wire.writer import Chunk

__all__ = ["TorchFile", "read", "write"]

# where trainers keep the network inside their checkpoint, in order of preference
_NETWORK_KEYS = ("state_dict", "model_state_dict", "model", "module", "network", "net")
_INFO_KEYS = {"epoch": "epoch", "global_step": "total_step", "pytorch-lightning_version": "lightning"}


class TorchFile(dict[str, Any]):
    """The tensors of a PyTorch file by name, in file order.

    Attributes:
        path: the file.
        info: numbers and versions the file mentions, where in it the tensors were found (``found_in``), and what was
            left out (``left_out``: names of top-level entries).
    """

    def __init__(self, path: str, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        super().__init__(tensors)
        self.path = path
        self.info = dict(info)


def read(path: str | PathLike[str], *, verify: bool = False) -> TorchFile:
    """Returns the tensors of a file written by `torch.save`, mapped where torch can do so.

    A training checkpoint with an entry such as ``state_dict`` or ``model`` gives that entry's tensors; any other
    nesting of dicts and lists is flattened with dots.

    Args:
        path: a regular file.
        verify: compare each member of the archive with its CRC-32 first (torch itself does not).

    Raises:
        MissingFile, NotAFile, NoPermission, StorageError: it cannot be read.
        MissingExtra: torch is not installed or older than 2.6.
        CorruptFile: it is no sound file, or needs code to be run.
        Unsupported: it holds no tensors, or sparse or quantized ones.
    """
    torch = _torch()
    fd, _ = open_regular(path)
    os.close(fd)
    name = fspath(path)
    archive = is_zip(name)
    if archive:
        _check_archive(name, verify)
    try:
        loaded = torch.load(name, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as exc:
        raise CorruptFile(f"torch cannot load it with weights_only: {_first_line(exc)}", path=path) from exc
    found, info = _network_of(loaded)
    tensors = {key: _tensor(key, value, name) for key, value in _flat(found, "")}
    if not tensors:
        raise Unsupported(f"{printable(name)} holds no tensors")
    return TorchFile(name, tensors, info)


def _torch() -> Any:
    torch = need("torch", "PyTorch files")
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 6):
        raise MissingExtra("PyTorch files are read with torch 2.6 or later; run: pip install 'mindport[torch]'")
    return torch


def _first_line(exc: Exception) -> str:
    text = str(exc).strip()
    return printable(text.splitlines()[0] if text else type(exc).__name__)


def _check_archive(path: str, verify: bool) -> None:
    """Refuses archives with compressed members: torch writes none, and one of 1 MB could become gigabytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                    raise CorruptFile(f"member {printable(member.filename)!r} is compressed", path=path)
            damaged = archive.testzip() if verify else None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, struct.error, zlib.error) as exc:
        raise CorruptFile(f"the archive cannot be read: {_first_line(exc)}", path=path) from exc
    if damaged is not None:
        raise CorruptFile(f"member {printable(damaged)!r} does not fit its CRC", path=path)


def _network_of(loaded: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the part that holds the network's tensors, and what the rest says."""
    if not isinstance(loaded, Mapping):
        return loaded, {}
    info = {name: loaded[key] for key, name in _INFO_KEYS.items() if isinstance(loaded.get(key), (int, str))}
    for key in _NETWORK_KEYS:
        part = loaded.get(key)
        if isinstance(part, Mapping) and next(_flat(part, ""), None) is not None:
            left = [str(k) for k in loaded if k != key]
            return part, {**info, "found_in": key, "left_out": left}
    return loaded, info


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yields `(dotted name, torch tensor)`; values that are no tensors are passed over."""
    todo = [(prefix, value)]
    seen: set[int] = set()
    while todo:
        name, item = todo.pop()
        if type(item).__module__.partition(".")[0] == "torch" and hasattr(item, "detach"):
            yield name or "tensor", item
            continue
        pairs: Iterable[tuple[Any, Any]]
        if isinstance(item, Mapping):
            pairs = item.items()
        elif isinstance(item, (list, tuple)):
            pairs = enumerate(item)
        else:
            continue
        if id(item) in seen:  # a container inside itself
            continue
        seen.add(id(item))
        todo += [(f"{name}.{key}" if name else str(key), inner) for key, inner in reversed(list(pairs))]


def _tensor(name: str, value: Any, path: str) -> Tensor:
    torch = need("torch")
    if value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
        raise Unsupported(f"{printable(path)}: tensor {printable(name)!r} is sparse, quantized or without content")
    try:
        return Tensor(as_ref(value.detach().resolve_conj().resolve_neg(), name), name=name)
    except UnsupportedDType as exc:
        raise UnsupportedDType(f"{printable(path)}: tensor {printable(name)!r}: {exc}") from exc


def write(weights: Iterable[TensorRef] | Mapping[str, Any]) -> Iterator[Chunk]:
    """Yields the bytes of a `.pt` file with a state dict, as `torch.save` writes it; contents are not copied.

    A chunk is valid until the next one is asked for, because torch uses its buffers again: `storage.atomic.commit` is
    made for that, `b"".join` over the chunks is not.

    Raises:
        MissingExtra: torch is not installed.
        UsageError: a name comes twice.
        Unsupported: a value that is no tensor, or a type torch lacks.
    """
    torch = _torch()
    pairs = weights.items() if isinstance(weights, Mapping) else [(ref.name, ref) for ref in weights]
    state: dict[str, Any] = {}
    for name, value in pairs:
        if isinstance(value, (str, tuple)):
            raise Unsupported(f"{printable(name)!r} is no tensor; a state dict cannot hold it")
        if name in state:
            raise UsageError(f"two tensors are called {printable(name)!r}")
        tensor = Tensor(value, name=name)
        state[name] = to_torch(tensor.numpy(), tensor.dtype)
    return _streamed(lambda out: torch.save(state, out))


class _Pipe:
    """A file that hands each write to another thread and waits until it was used, so that nothing is copied."""

    def __init__(self) -> None:
        self.full: queue.Queue[Chunk | Exception | None] = queue.Queue(1)
        self.used = threading.Semaphore(0)
        self.stopped = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if not self.stopped:
            self.full.put(view)
            self.used.acquire()
        return len(view)

    def flush(self) -> None:
        """Does nothing: every write was used when it returned."""


def _streamed(save: Any) -> Iterator[Chunk]:
    pipe = _Pipe()

    def work() -> None:
        try:
            save(pipe)
        except Exception as exc:  # noqa: BLE001 - raised again in the thread that asked
            pipe.full.put(exc)
        else:
            pipe.full.put(None)

    thread = threading.Thread(target=work, name="mindport-torch-save", daemon=True)
    thread.start()
    try:
        while (piece := pipe.full.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
            pipe.used.release()
    finally:
        pipe.stopped = True  # if the stream is given up half way, torch writes the rest into nothing
        pipe.used.release()
        thread.join()
