"""Callbacks of `Model.train`: checkpoints, loss, time, progress, and the base class of your own."""

from __future__ import annotations

from mindport.train.callback.base import Callback, RunContext
from mindport.train.callback.checkpoint import ModelCheckpoint
from mindport.train.callback.config import CheckpointConfig
from mindport.train.callback.monitor import LossMonitor, TimeMonitor
from mindport.train.callback.progress import ProgressBar

__all__ = [
    "Callback",
    "CheckpointConfig",
    "LossMonitor",
    "ModelCheckpoint",
    "ProgressBar",
    "RunContext",
    "TimeMonitor",
]
