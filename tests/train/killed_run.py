"""A training process that kills itself: after a step, or in the middle of writing the checkpoint of one."""

from __future__ import annotations

import argparse
import os
import signal

from worlds import World, digest_of

from mindport.events import Event, Restored, subscribe
from mindport.storage import system as storage_system
from mindport.train.callback import Callback, CheckpointConfig, ModelCheckpoint, RunContext


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class KillAfter(Callback):
    def __init__(self, total: int) -> None:
        self.total = total

    def step_end(self, run_context: RunContext) -> None:
        if run_context.original_args().cur_step_num == self.total:
            die()


class KillWhileWriting(Callback):
    """Placed before ModelCheckpoint: from this step on, the first write of a file is cut and the process dies."""

    def __init__(self, total: int) -> None:
        self.total = total

    def step_end(self, run_context: RunContext) -> None:
        if run_context.original_args().cur_step_num == self.total:
            real = os.write  # what the real thing calls

            def write(fd: int, data: object) -> int:
                real(fd, memoryview(data)[:100])  # type: ignore[arg-type]
                die()
                return 0

            storage_system.calls.write = write  # type: ignore[method-assign]


def report(event: Event) -> None:
    if isinstance(event, Restored):
        print("resumed at", (event.epoch - 1) * 5 + event.step)


parser = argparse.ArgumentParser()
parser.add_argument("directory")
parser.add_argument("--kill-after", type=int, default=0)
parser.add_argument("--kill-while-writing", type=int, default=0)
options = parser.parse_args()

subscribe(report)
world = World("adamw-cosine", "shuffle", number=5)
config = CheckpointConfig(save_checkpoint_steps=2, keep_checkpoint_max=2)
callbacks = [
    KillWhileWriting(options.kill_while_writing),
    ModelCheckpoint("net", options.directory, config),
    KillAfter(options.kill_after),
]
world.model.train(3, world.loader, callbacks, resume=True)
print(digest_of(world.end()))
