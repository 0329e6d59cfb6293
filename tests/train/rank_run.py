"""One of two processes that train at once: into one directory as single runs, then as ranks of one job.

Prints each last file and the sum of a weight that only this process has.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from worlds import World

from mindport.train.callback import CheckpointConfig, ModelCheckpoint


def train(directory: Path) -> None:
    world = World(number=os.getpid())
    checkpoint = ModelCheckpoint("net", directory, CheckpointConfig(keep_checkpoint_max=2))
    world.model.train(1, world.loader, [checkpoint])
    print(checkpoint.latest_ckpt_file_name, float(world.network.head.bias.detach().numpy().sum()))


size = os.environ.pop("WORLD_SIZE")
train(Path(sys.argv[1], "shared"))
os.environ["WORLD_SIZE"] = size
train(Path(sys.argv[1]))
