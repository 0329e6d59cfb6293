"""Whole networks: what the written AIR file computes, by the independent evaluator, is what PyTorch computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from examples import networks
from mindport.conversion import air_check
from mindport.conversion.export import export
from mindport.formats import air
from oracles.ge_eval import evaluate
from oracles.ge_proto import ModelDef


def lively(network: nn.Module) -> nn.Module:
    """Gives normalisation layers statistics that matter: fresh ones are the identity."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                assert tensor is not None
                with torch.no_grad():
                    tensor.uniform_(low, high, generator=generator)
    return network


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: networks.MLP(10, 3, image_size=12), (2, 3, 12, 12)),
    "lenet": (lambda: networks.LeNet(10, 1), (2, 1, 32, 32)),
    "vgg11": (lambda: networks.VGG11(10, 3, pooled=2, hidden=64), (1, 3, 64, 96)),
    "resnet18": (lambda: networks.resnet18(10, 3), (1, 3, 40, 33)),
    "resnet50": (lambda: networks.resnet50(10, 3), (1, 3, 33, 40)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_computes_what_pytorch_computes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    make, shape = NETWORKS[name]
    network = lively(make()).eval()
    images = torch.randn(shape)
    report = export(network, images, file_name=tmp_path / name, file_format="AIR")
    data = Path(report.path).read_bytes()
    with torch.no_grad():
        wanted = network(images).numpy()
    (got,) = evaluate(data, [images.numpy()])
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    assert air_check.check(air.read(report.path)) == []
    message = ModelDef.FromString(data)
    assert len(message.graph) == 1
    constants = {op.name for op in message.graph[0].op if op.type == "Const"}
    assert {n for n, _ in network.named_parameters() if n.endswith("conv1.weight")} <= constants


def test_every_operator_and_edge_is_named_in_the_file(tmp_path: Path) -> None:
    report = export(networks.LeNet(10, 1), torch.zeros(1, 1, 32, 32), file_name=tmp_path / "n", file_format="AIR")
    graph = ModelDef.FromString(Path(report.path).read_bytes()).graph[0]
    names = [op.name for op in graph.op]
    assert len(set(names)) == len(names)
    assert [text.rpartition(":")[0] for text in graph.output] == list(report.outputs)
    for op in graph.op:
        assert all(d.dtype and d.layout for d in (*op.input_desc, *op.output_desc))


class Several(nn.Module):
    """Several inputs and outputs, an unused one among them, and a result that is an input."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mean = a.mean(dim=(1,), keepdim=True)
        return torch.cat([a, b], dim=1), (a - mean).softmax(-1), b


def test_several_inputs_and_outputs_keep_their_order(tmp_path: Path) -> None:
    a, b = torch.randn(2, 3), torch.randn(2, 4)
    report = export(Several(), a, b, file_name=tmp_path / "s.air", file_format="AIR")
    got = evaluate(Path(report.path).read_bytes(), [a.numpy(), b.numpy()])
    for g, w in zip(got, Several()(a, b), strict=True):
        np.testing.assert_allclose(g, w.numpy(), rtol=1e-5, atol=1e-6)


class Mixed(nn.Module):
    """Operators of many families, with weights in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, padding=1)
        self.norm = nn.LayerNorm(10)
        self.embed = nn.Embedding(7, 10)
        self.deconv = nn.ConvTranspose2d(4, 2, (3, 2), stride=(2, 1), padding=(1, 0), output_padding=(1, 0))

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> Any:
        h = torch.nn.functional.gelu(self.norm(self.conv(x)) + self.embed(tokens).unsqueeze(1))
        h = torch.nn.functional.pad(h, (1, 2)).unsqueeze(2)
        y = self.deconv(h)
        return y.flatten(1).cumsum(1), torch.nn.functional.silu(y).amax(dim=3)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-4), (torch.float16, 2e-2)], ids=["fp32", "fp16"])
def test_operators_of_many_families(kind: torch.dtype, tolerance: float, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Mixed().eval()
    x, tokens = torch.randn(2, 3, 10), torch.tensor([3, 6])
    with torch.no_grad():
        wanted = network(x, tokens)
    report = export(network.to(kind), x.to(kind), tokens, file_name=tmp_path / "m.air", file_format="AIR")
    got = evaluate(Path(report.path).read_bytes(), [x.to(kind).numpy(), tokens.numpy()])
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g.astype(np.float32), w.numpy(), rtol=tolerance, atol=tolerance)


class Attention(nn.Module):
    """One block of a language model: embeddings, causal attention over split heads, a residual MLP."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.tokens, self.places = nn.Embedding(30, width), nn.Embedding(8, width)
        self.norm, self.out_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        parts = self.qkv(self.norm(x)).chunk(3, -1)
        query, key, value = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        seen = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.out_norm(x))


class Recurrent(nn.Module):
    """Two layers of a bidirectional LSTM and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(8, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, _ = self.lstm(x)
        z, last = self.gru(y)
        return z, last


@pytest.mark.parametrize(
    ("make", "given"),
    [(Attention, torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])), (Recurrent, torch.randn(2, 6, 5))],
    ids=["attention", "recurrent"],
)
def test_sequence_models(make: Callable[[], nn.Module], given: torch.Tensor, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = make().eval()
    report = export(network, given, file_name=tmp_path / "s.air", file_format="AIR")
    assert air_check.check(air.read(report.path)) == []
    got = evaluate(Path(report.path).read_bytes(), [given.numpy()])
    with torch.no_grad():
        wanted = network(given)
    for g, w in zip(got, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_allclose(g, w.numpy(), rtol=1e-4, atol=1e-5)
