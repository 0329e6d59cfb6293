"""Networks with a dynamic batch: one MindIR file, run in real MindSpore at several batch sizes, and lifted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate, max_pool2d, scaled_dot_product_attention

from mindport.adapters.torch_trace import evaluate, trace
from mindport.conversion.pipeline import to_onnx, to_target
from mindport.formats import mindir
from oracles import mindspore, ort


class UNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = torch.nn.Conv2d(3, 8, (3, 5), padding=(1, 2))
        self.group = torch.nn.GroupNorm(2, 8)
        self.instance = torch.nn.InstanceNorm2d(8, affine=True)
        self.slope = torch.nn.PReLU(8)
        self.up = torch.nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.leave = torch.nn.Conv2d(12, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = max_pool2d(self.slope(self.instance(self.group(self.enter(x)))), 2)
        wide = interpolate(small, scale_factor=2, mode="bilinear")
        return self.leave(torch.cat([self.up(small), wide], 1))


class Gpt(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(17, 16)
        self.norm = torch.nn.LayerNorm(16)
        self.qkv = torch.nn.Linear(16, 48)
        self.out = torch.nn.Linear(16, 17)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        batch, steps = words.shape
        x = self.words(words)
        q, k, v = self.qkv(self.norm(x)).view(batch, steps, 3, 4, 4).permute(2, 0, 3, 1, 4)
        y = scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, steps, 16) + x)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(4).normal(size=shape).astype(np.float32)


@pytest.mark.mindspore
@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), normal(5, 6, 16)),
        (UNet, normal(5, 3, 8, 12)),
        (Gpt, np.random.default_rng(4).integers(0, 17, (5, 6))),
    ],
    ids=["encoder", "unet", "gpt"],
)
def test_one_file_for_every_batch(make: Any, x: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = make()
    path = tmp_path / "net.mindir"
    model = to_target(trace(network, [x[:2]], dynamic={0: {0: "batch"}}), "mindspore")
    path.write_bytes(b"".join(mindir.write(model)))
    lifted = to_onnx(mindir.read(path))
    for batch in (1, 2, 5):
        want = evaluate(network, [x[:batch]])
        ort.agree(None, want, mindspore.run(path, [x[:batch]]), "MindSpore")
        ort.agree(None, want, ort.run(lifted, [x[:batch]]), "lifted")
