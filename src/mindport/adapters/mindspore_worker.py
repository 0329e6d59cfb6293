"""Runs MindIR files in real MindSpore; started as a process of its own, because MindSpore may crash.

Speaks on its standard input and output: one line of JSON, then the arrays' bytes. Run by `mindport.adapters.mindspore`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import IO, Any

import numpy as np


def send(stream: IO[bytes], head: dict[str, Any], arrays: list[np.ndarray[Any, Any]]) -> None:
    """Writes one message: `head` with the arrays' types and shapes, then their bytes."""
    arrays = [np.ascontiguousarray(a).reshape(a.shape) for a in arrays]
    head = {**head, "arrays": [[a.dtype.name, list(a.shape)] for a in arrays]}
    stream.write(json.dumps(head).encode() + b"\n")
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]] | None:
    """Reads one message; None at the end of the stream."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head: dict[str, Any] = json.loads(line)
    arrays = []
    for name, shape in head["arrays"]:
        dtype = _dtype(name)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        data = stream.read(size)
        if len(data) < size:
            return None
        arrays.append(np.frombuffer(data, dtype).reshape(shape))
    return head, arrays


def _dtype(name: Any) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def _flat(value: Any, into: list[Any]) -> list[Any]:
    if isinstance(value, (tuple, list)):
        for item in value:
            _flat(item, into)
    else:
        into.append(value)
    return into


def _serve(answers: IO[bytes]) -> None:
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE, device_target="CPU")
    send(answers, {"ok": True, "version": mindspore.__version__}, [])

    def tensor(array: np.ndarray[Any, Any]) -> Any:
        if array.dtype.name == "bfloat16":
            return mindspore.Tensor(array.astype(np.float32)).astype(mindspore.bfloat16)
        return mindspore.Tensor(np.array(array))

    def array(value: Any) -> np.ndarray[Any, Any]:
        if isinstance(value, mindspore.Tensor):
            if value.dtype == mindspore.bfloat16:  # which NumPy and so MindSpore's asnumpy do not have
                found: np.ndarray[Any, Any] = value.astype(mindspore.float32).asnumpy().astype(_dtype("bfloat16"))
            else:
                found = value.asnumpy()
            return found
        return np.asarray(value)

    while (message := receive(sys.stdin.buffer)) is not None:
        head, arrays = message
        try:
            cell = mindspore.nn.GraphCell(mindspore.load(head["path"]))
            result = cell(*[tensor(a) for a in arrays])
            outputs = [array(v) for v in _flat(result, [])]
        except Exception as exc:  # noqa: BLE001 - whatever MindSpore says is the answer
            send(answers, {"ok": False, "error": f"{type(exc).__name__}: {exc}"}, [])
        else:
            send(answers, {"ok": True}, outputs)


def main() -> None:
    """Serves requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what MindSpore prints must not get between the answers
    _serve(answers)


if __name__ == "__main__":
    main()
