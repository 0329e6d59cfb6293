"""What is tried on the bytes of a file, one function per format: the rule is a value or a FormatError, nothing else.

A target returns True if the bytes are a sound file and False if they were refused. Anything else is a finding: another
exception, a value larger than the file, or content that does not survive being written and read again. Nothing here
needs a fuzzer; `harness.py` hands these functions to one, and the tests hand them the corpus and its mutations.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mindport.errors import FormatError, Unsupported
from mindport.formats import ckpt, npz, safetensors, sniff

__all__ = ["TARGETS"]

KEY = b"0123456789abcdef"
"""The key of the encrypted files in the corpus."""


@contextmanager
def file_of(data: bytes) -> Iterator[str]:
    """Yields the path of a new file; each input has its own, because maps of earlier ones may still be alive."""
    fd, path = tempfile.mkstemp(prefix="fuzz-")
    try:
        os.write(fd, data)
        os.close(fd)
        yield path
    finally:
        Path(path).unlink()


def parts(value: Any) -> tuple[Any, ...]:
    """Returns what can be compared of a value: type, shape and bytes of each array, or the text itself."""
    if isinstance(value, str):
        return ("str", value)
    if isinstance(value, ckpt.MapTensor):
        return tuple(part for array in value for part in (array.dtype.str, array.shape, array.tobytes()))
    return (value.dtype.name, value.shape, value.numpy().tobytes())


def touched(file: Mapping[str, Any], nbytes: int) -> dict[str, tuple[Any, ...]]:
    """Returns all content; asserts that there is no more of it than the file has bytes."""
    found = {name: parts(value) for name, value in file.items()}
    total = sum(len(part) for value in found.values() for part in value if isinstance(part, bytes))
    assert total <= nbytes, f"{total} bytes came out of a file of {nbytes}"
    return found


def ckpt_file(data: bytes) -> bool:
    """A `.ckpt`: opened, read wholly, verified; then written again with checksums and read to equal values."""
    encrypted = sniff.encrypted(data[:4])
    options: dict[str, Any] = {"dec_key": KEY, "dec_mode": encrypted} if encrypted else {}
    with file_of(data) as path:
        try:
            file = ckpt.read(path, **options)
            before = touched(file, len(data))
            file.verify()
        except FormatError:
            return False
        again = b"".join(ckpt.write(dict(file)))
    with file_of(again) as path:
        after = touched(ckpt.read(path, verify=True), len(again))
    assert before == after, "the content changed when it was written again"
    assert list(before) == list(after), "the order changed when it was written again"
    return True


def weight_file(read: Callable[..., Any]) -> Callable[[bytes], bool]:
    """The target for another format of weights. A compressed archive may hold more than its own size."""

    def target(data: bytes) -> bool:
        with file_of(data) as path:
            try:
                file = read(path, verify=True)
                for value in file.values():
                    if hasattr(value, "numpy"):
                        np.asarray(value.numpy()).tobytes()
            except FormatError:
                return False
        return True

    return target


def graph_file(load: Callable[[], Callable[[str], Any]]) -> Callable[[bytes], bool]:
    """The target for a format of models; `load` imports the reader, which needs onnx_ir."""
    reader: list[Callable[[str], Any]] = []

    def target(data: bytes) -> bool:
        if not reader:
            reader.append(load())
        with file_of(data) as path:
            try:
                model = reader[0](path)
                for value in model.graph.initializers.values():
                    if value.const_value is not None:
                        value.const_value.tobytes()
            except (FormatError, Unsupported):
                return False
        return True

    return target


def _mindir() -> Callable[[str], Any]:
    from mindport.formats import mindir

    return mindir.read


def _air() -> Callable[[str], Any]:
    from mindport.formats import air

    return air.read


def _graph_meta() -> Callable[[str], Any]:
    from mindport.formats import graph_meta

    return graph_meta.read


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "ckpt": ckpt_file,
    "safetensors": weight_file(safetensors.read),
    "npz": weight_file(npz.read),
    "graph_meta": graph_file(_graph_meta),
    "mindir": graph_file(_mindir),
    "air": graph_file(_air),
}
