"""Real MindSpore's checkpoint loader and writer as a foreign judge, in a process of its own.

`MindSporeCheckpoints` is used by tests; run as a script this file is the worker: one JSON request per line on its
standard input, one JSON answer per line on its standard output.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class MindSporeRefused(Exception):
    """MindSpore raised; the text is the class name and message of its exception."""


class MindSporeCheckpoints:
    """A worker process that has MindSpore loaded (a few seconds, once)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "GLOG_v": "4"},
        )

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(30)

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"MindSpore crashed (exit code {self._process.wait(30)})")
        answer = json.loads(line)
        if not answer["ok"]:
            raise MindSporeRefused(answer["error"])
        return answer["value"]

    def load(self, path: Path, *, digests: bool = False, **options: Any) -> dict[str, dict[str, Any]]:
        """What `mindspore.load_checkpoint(path, **options)` gives, in its order.

        A parameter is {"kind": "parameter", "dtype", "shape", "content"}, with the SHA-256 of the content instead of
        the content if `digests`; a text {"kind": "str", "text"}; a map parameter {"kind": "map", "lists"}.
        """
        found = self._ask(op="load", path=str(path), digests=digests, options=_hexed(options))
        for value in found.values():
            if "base64" in value:
                value["content"] = base64.b64decode(value.pop("base64"))
        return found

    def save(self, path: Path, weights: dict[str, tuple[str, tuple[int, ...], bytes]], **options: Any) -> None:
        """Calls `mindspore.save_checkpoint` with parameters given as name -> (dtype, shape, content)."""
        parameters = [[n, d, list(s), base64.b64encode(c).decode()] for n, (d, s, c) in weights.items()]
        self._ask(op="save", path=str(path), parameters=parameters, options=_hexed(options))

    def save_large(self, path: Path, shape: tuple[int, ...], **options: Any) -> str:
        """Saves one float32 parameter ``big`` of patterned data; returns the SHA-256 of its content."""
        return str(self._ask(op="save_large", path=str(path), shape=list(shape), options=options))


def _hexed(options: dict[str, Any]) -> dict[str, Any]:
    return {k: {"hex": v.hex()} if isinstance(v, bytes) else v for k, v in options.items()}


def _unhexed(options: dict[str, Any]) -> dict[str, Any]:
    return {k: bytes.fromhex(v["hex"]) if isinstance(v, dict) and set(v) == {"hex"} else v for k, v in options.items()}


def _described(value: Any, digests: bool) -> dict[str, Any]:
    if isinstance(value, str):
        return {"kind": "str", "text": value}
    if isinstance(value, list):
        return {"kind": "map", "lists": [[a.dtype.name, a.tolist()] for a in value]}
    content = value.get_bytes()
    described: dict[str, Any] = {"kind": "parameter", "dtype": str(value.dtype), "shape": list(value.shape)}
    if digests:
        return {**described, "sha256": hashlib.sha256(content).hexdigest()}
    return {**described, "base64": base64.b64encode(content).decode()}


def _load(request: dict[str, Any]) -> Any:
    import mindspore

    loaded = mindspore.load_checkpoint(request["path"], **_unhexed(request["options"]))
    return {name: _described(value, request["digests"]) for name, value in loaded.items()}


def _save(request: dict[str, Any]) -> None:
    import mindspore
    import numpy as np

    parameters = []
    for name, dtype, shape, content in request["parameters"]:
        data = base64.b64decode(content)
        if dtype == "bfloat16":  # NumPy lacks it; widening to float32 and back is exact
            wide = np.frombuffer(data, "<u2").astype("<u4") << 16
            tensor = mindspore.Tensor(wide.view("<f4").reshape(shape)).astype(mindspore.bfloat16)
        else:
            tensor = mindspore.Tensor(np.frombuffer(data, dtype).reshape(shape).copy())
        parameters.append({"name": name, "data": tensor})
    mindspore.save_checkpoint(parameters, request["path"], **_unhexed(request["options"]))


def _save_large(request: dict[str, Any]) -> str:
    import mindspore
    import numpy as np

    size = int(np.prod(request["shape"]))
    array = (np.arange(size, dtype=np.uint32) % 8191).astype(np.float32).reshape(request["shape"])
    mindspore.save_checkpoint([{"name": "big", "data": mindspore.Tensor(array)}], request["path"], **request["options"])
    return hashlib.sha256(array).hexdigest()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what MindSpore prints must not get between the answers
    for line in sys.stdin:
        request = json.loads(line)
        try:
            value = {"load": _load, "save": _save, "save_large": _save_large}[request["op"]](request)
            answer = {"ok": True, "value": value}
        except Exception as exc:
            answer = {"ok": False, "error": f"{type(exc).__name__}: {exc}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).resolve().parent))  # modules beside this file may be called like MindSpore's
    _serve()
