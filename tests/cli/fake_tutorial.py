"""Stands in for `examples/save_models.py` in tests of `mindport demo`: the same functions, no network, no framework.

What is to go wrong is in the environment variable FAKE_FAULT.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

from mindport.errors import NoSpace
from mindport.events import Restored, Saved, Skipped, emit
from mindport.results import Check, Verification
from mindport.train.callback import RunContext
from mindport.train.callback.base import RunParameters

FAULT = os.environ.get("FAKE_FAULT", "")
BATCHES = 45
EVERY = 32


def train(name, directory, epochs, *, resume=False, callbacks=()):
    directory.mkdir(parents=True, exist_ok=True)
    total = (epochs or 3) * BATCHES
    saved = sorted(int(p.stem.rpartition("-")[2]) for p in directory.glob("*.ckpt"))
    first = saved[-1] if resume and saved and FAULT != "afresh" else 0
    args = RunParameters(batch_num=BATCHES, epoch_num=total // BATCHES, cur_step_num=first)
    for callback in callbacks:
        callback.begin(RunContext(args))
    if first:
        emit(Skipped(str(directory / "newer.ckpt"), "cut short"))
        emit(Restored(str(directory / f"{name}-{first}.ckpt"), (first - 1) // BATCHES + 1, (first - 1) % BATCHES + 1))
    for step in range(first + 1, total + 1):
        args.cur_step_num, args.net_outputs = step, 1.0 / step
        args.cur_epoch_num, args.cur_step_in_epoch = (step - 1) // BATCHES + 1, (step - 1) % BATCHES + 1
        if step % EVERY == 0 or step == total:
            path = directory / f"{name}-{step}.ckpt"
            path.write_bytes(b"x" * step)
            emit(Saved(str(path), step, 1.0, 2.0))
        if FAULT == "full" and step == 50:
            raise NoSpace("cannot write the checkpoint: no space left")
        if FAULT == "crash" and step == 50:
            print("about to crash")
            os._exit(9)
        if FAULT == "stop" and step == 50:
            return None, "half"
        print(f"epoch: 1 step: {step}, loss is 1")
        for callback in callbacks:
            callback.step_end(RunContext(args))
    return None, "other" * 10 if FAULT == "hash" and first else "f" * 64


def accuracy(name, network):
    if network == "loaded":
        return 0.9
    return 0.3 if FAULT == "poor" else 0.95


def newest_checkpoint(directory):
    return max(directory.glob("*.ckpt"), key=lambda p: int(p.stem.rpartition("-")[2]))


def restore(name, file):
    return "loaded" if FAULT == "lost" else None


def export_and_prove(name, network, file_format, directory):
    path = directory / f"{name}.{file_format.lower()}"
    path.write_bytes(b"model")
    problem = "3 of 160 elements differ" if FAULT == "parity" and file_format == "MINDIR" else ""
    output = {"max_abs": 2e-6, "max_rel": 1e-7, "cosine": 1.0, "problem": problem}
    report = {
        "format": file_format,
        "path": str(path),
        "nbytes": 5,
        "seconds": 0.25,
        "parity": {"runner": "Fake Runtime 1", "seconds": 0.5, "outputs": [output]},
    }
    status = "failed" if FAULT == "operators" and file_format == "AIR" else "passed"
    checks = (Check("structure", "passed"), Check("operators", status)) if file_format != "ONNX" else ()
    verification = Verification(str(path), file_format.lower(), file_format, "graph", 5, checks)
    return SimpleNamespace(to_dict=lambda: report), verification


assert Path(__file__).name == "save_models.py"  # it is copied under that name
