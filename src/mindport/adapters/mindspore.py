"""Real MindSpore as a judge: runs MindIR files in a worker process, so that a crash there is an answer here."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from mindport.adapters.mindspore_worker import receive, send
from mindport.dtypes import by_numpy
from mindport.errors import CheckFailed, MissingExtra
from mindport.extras import available

__all__ = ["MindSporeWorker", "installed"]


def installed() -> bool:
    """True if MindSpore can be imported here."""
    return available("mindspore")


class MindSporeWorker:
    """A process that has MindSpore loaded (about 3 s, once) and runs one file after another.

        with MindSporeWorker() as worker:
            outputs = worker.run("net.mindir", [x])

    After a crash or a timeout the next `run` starts a new process.
    """

    def __init__(self, *, timeout_s: float = 300.0) -> None:
        if not installed():
            raise MissingExtra(
                "mindspore is needed to run a MindIR file in MindSpore; run: pip install 'mindport[mindspore]'"
            )
        self.timeout_s = timeout_s
        self.version = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MindSporeWorker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        env = {**os.environ, "GLOG_v": "4"}
        command = [sys.executable, "-W", "ignore", "-m", "mindport.adapters.mindspore_worker"]
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
        )
        head, _ = self._answer(self._process)
        self.version = str(head.get("version", ""))
        return self._process

    def run(self, path: str | os.PathLike[str], inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Returns what the model in `path` gives for `inputs` (in the order of the graph's inputs), flattened.

        Raises:
            UnsupportedDType: an input is no array of numbers.
            CheckFailed: MindSpore refused the file, failed while running it, crashed, or took longer than `timeout_s`.
        """
        for array in inputs:
            by_numpy(array.dtype)  # text and objects cannot travel
        process = self._start()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died; `_answer` says so
            send(process.stdin, {"path": str(Path(path).resolve())}, inputs)
        head, outputs = self._answer(process)
        if not head["ok"]:
            raise CheckFailed(f"MindSpore: {head['error']}")
        return outputs

    def _answer(self, process: subprocess.Popen[bytes]) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
        stream: IO[bytes] | None = process.stdout
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], self.timeout_s)
        message = receive(stream) if ready else None
        if message is not None:
            return message
        if not ready:
            process.kill()
        code = process.wait()
        self.close()
        raise CheckFailed(
            f"MindSpore did not answer within {self.timeout_s:g} s"
            if not ready
            else f"MindSpore crashed (exit code {code})"
        )
