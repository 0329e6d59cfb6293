"""Recurrent layers of PyTorch through the whole chain; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from mindport.adapters.torch_trace import evaluate, trace
from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.formats import mindir
from mindport.ops.samples import build, const, f32, sample, weight
from oracles import mindspore, ort


class Both(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = torch.nn.GRU(10, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, _ = self.lstm(x)
        return self.gru(y)


@pytest.mark.mindspore
def test_lstm_and_gru_of_pytorch_agree(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network, x = Both(), np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    want = evaluate(network, [x])
    path = tmp_path / "rnn.mindir"
    path.write_bytes(b"".join(mindir.write(to_target(trace(network, [x]), "mindspore"))))
    ort.agree(None, want, mindspore.run(path, [x]), "MindSpore")
    ort.agree(None, want, ort.run(to_onnx(mindir.read(path)), [x]), "lifted")


BASE: list[Any] = [f32(4, 2, 3), weight(1, 20, 3), weight(1, 20, 5)]


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (sample(*BASE, None, const(np.asarray([4, 2], np.int32)), hidden_size=5), "different lengths"),
        (sample(*BASE, None, None, None, None, weight(1, 15), hidden_size=5), "peepholes"),
        (sample(*BASE, hidden_size=5, clip=1.0), "clipped"),
        (sample(*BASE, hidden_size=5, activations=["Sigmoid", "Relu", "Tanh"]), "other activations"),
        (sample(*BASE, hidden_size=5), "known"),
    ],
)
def test_what_mindspore_has_not_is_refused(case: Any, says: str) -> None:
    model = build("LSTM", case)
    if says == "known":
        model.graph.inputs[0].shape = ir.Shape([None, 2, 3])
    with pytest.raises(UnsupportedOps, match=says):
        to_target(model, "mindspore")


def test_other_activations_of_a_gru_are_refused() -> None:
    case = sample(f32(4, 2, 3), weight(1, 15, 3), weight(1, 15, 5), hidden_size=5, activations=["Sigmoid", "Softsign"])
    with pytest.raises(UnsupportedOps, match="Softsign"):
        to_target(build("GRU", case), "mindspore")
