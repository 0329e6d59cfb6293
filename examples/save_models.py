"""MindSpore's "Saving Models" tutorial from end to end, with a PyTorch network and real data.

    python examples/save_models.py --network lenet

trains a network on handwritten digits, saves checkpoints on the way, loads the last one into a fresh network, and
exports that to ONNX, MINDIR and AIR. Stop it (Ctrl-C, kill -9, a power cut) and start it again with `--resume`: it goes
on after the last checkpoint and ends with exactly the weights it would have had.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import mindport
from digits import CLASSES, batches, load
from mindport import Model, Tensor
from mindport.conversion.export import ExportReport
from mindport.results import Verification
from mindport.train.callback import (
    Callback,
    CheckpointConfig,
    LossMonitor,
    ModelCheckpoint,
    ProgressBar,
    TimeMonitor,
)
from mindport.train.serialization import export, load_checkpoint, load_param_into_net
from networks import NETWORKS
from reproducible import fix_randomness, state_hash

FORMATS = ("ONNX", "MINDIR", "AIR")


@dataclass(frozen=True)
class Settings:
    """How a network is trained on the digits."""

    epochs: int
    learning_rate: float
    channels: int = 3
    threads: int = 2
    zero_init_residual: bool = True  # of ResNets: a short training would not get far without


SETTINGS = {
    "resnet50": Settings(epochs=3, learning_rate=0.02),
    "resnet18": Settings(epochs=3, learning_rate=0.03),
    "lenet": Settings(epochs=6, learning_rate=0.02, channels=1, threads=1),
}


def make_network(name: str) -> nn.Module:
    """Return the network with fresh weights, drawn from torch's global generator."""
    settings = SETTINGS[name]
    options = {"zero_init_residual": settings.zero_init_residual} if name.startswith("resnet") else {}
    return NETWORKS[name](num_classes=CLASSES, in_channels=settings.channels, **options)


def make_model(network: nn.Module, learning_rate: float, steps: int) -> tuple[Model, torch.optim.Optimizer]:
    """Return a `Model` and its optimizer: SGD with momentum, the learning rate falling along a cosine to 0."""
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))
    loss_fn = nn.CrossEntropyLoss()
    return Model(network, loss_fn, optimizer, metrics={"accuracy"}, scheduler=schedule), optimizer


def train(
    name: str,
    directory: Path,
    epochs: int | None = None,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> tuple[nn.Module, str]:
    """Train with a checkpoint every 32 steps; return the network and the hash of its and the optimizer's state."""
    settings = SETTINGS[name]
    fix_randomness(seed=1, threads=settings.threads)
    epochs = epochs or settings.epochs
    dataset = batches(load(settings.channels)[0], batch_size=32, seed=2)
    network = make_network(name)
    model, optimizer = make_model(network, settings.learning_rate, epochs * len(dataset))

    config = CheckpointConfig(save_checkpoint_steps=32, keep_checkpoint_max=10)
    checkpoint = ModelCheckpoint(prefix=name, directory=str(directory), config=config)
    model.train(epochs, dataset, callbacks=[checkpoint, LossMonitor(), TimeMonitor(), *callbacks], resume=resume)
    return network, state_hash(network, optimizer)


def restore(name: str, file: Path) -> nn.Module:
    """Return a fresh network with the weights of a checkpoint."""
    network = make_network(name)
    param_not_load, _ = load_param_into_net(network, load_checkpoint(str(file)))
    assert not param_not_load, f"not in the checkpoint: {param_not_load}"
    return network


def accuracy(name: str, network: nn.Module) -> float:
    """Return the share of the 360 test images that the network gets right."""
    test = load(SETTINGS[name].channels)[1]
    return Model(network, metrics={"accuracy"}).eval(torch.utils.data.DataLoader(test, batch_size=120))["accuracy"]


def newest_checkpoint(directory: Path) -> Path:
    """Return the checkpoint that was written last."""
    return max(directory.glob("*.ckpt"), key=lambda file: file.stat().st_mtime_ns)


def export_and_prove(
    name: str, network: nn.Module, file_format: str, directory: Path
) -> tuple[ExportReport, Verification]:
    """Export the network for 16 images at a time, run the file on 16 test images, and check its structure."""
    images = load(SETTINGS[name].channels)[1].tensors[0][:16]
    file_name = str(directory / name)
    report = export(network, Tensor(images.numpy()), file_name=file_name, file_format=file_format, check=True)
    return report, mindport.verify(report.path)


def main() -> None:
    """Run the tutorial."""
    parser = argparse.ArgumentParser(description="Train, save, load and export a network.")
    parser.add_argument("--network", choices=SETTINGS, default="resnet50")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--directory", type=Path, default=Path("save_models"))
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    options = parser.parse_args()
    name, directory = options.network, options.directory

    trained, digest = train(name, directory, options.epochs, resume=options.resume, callbacks=[ProgressBar()])
    print(f"trained: accuracy {accuracy(name, trained):.1%}, state {digest[:16]}")

    file = newest_checkpoint(directory)
    network = restore(name, file)
    print(f"loaded {file}: accuracy {accuracy(name, network):.1%}")

    for file_format in FORMATS:
        report, verification = export_and_prove(name, network, file_format, directory)
        print(f"exported {report.path} ({report.nbytes:,} bytes)")
        for check in (report.parity.check(), *verification.checks):
            print(f"  {check.status}: {check.name} {check.detail}")


if __name__ == "__main__":
    main()
