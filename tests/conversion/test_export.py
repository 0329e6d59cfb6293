"""export(): three formats, suffixes, reports, problems listed at once, whole networks proved in real runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import networks
from mindport import Tensor
from mindport.adapters.torch_trace import evaluate, trace
from mindport.conversion.export import FORMATS, export, target_path, write_model
from mindport.conversion.parity import compare
from mindport.conversion.pipeline import for_onnx, to_onnx, to_target
from mindport.conversion.run import run_model
from mindport.errors import MissingFile, UnsupportedOps, UsageError, WrongTypeError
from mindport.formats import mindir
from oracles import mindspore, ort


def randomised(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Gives running statistics and scales values that are not 0 and 1."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
    return network


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.fc(x) + y, torch.tanh(x)


class TwoProblems(torch.nn.Module):
    """Grid sampling of kinds that MindSpore has not, in two places."""

    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        a = torch.nn.functional.grid_sample(x, grid, mode="nearest", align_corners=True)
        b = torch.nn.functional.grid_sample(x, grid, mode="bicubic", align_corners=True)
        return a + b


@pytest.mark.parametrize("file_format", FORMATS)
def test_several_inputs_and_outputs_in_every_format(file_format: str, tmp_path: Path) -> None:
    network = Small().train()
    x, y = data(2, 3), data(2, 4)
    report = export(network, Tensor(x), y, file_name=tmp_path / "small", file_format=file_format.lower(), check=True)
    path = tmp_path / f"small.{file_format.lower()}"
    assert report.path == str(path)
    assert report.paths == (str(path),)
    assert report.nbytes == path.stat().st_size
    assert len(report.inputs) == len(report.outputs) == 2
    assert report.parity is not None
    assert report.parity.ok, report.parity
    assert sum(report.ops.values()) >= 3
    assert network.training
    assert report.to_dict()["parity"]["runner"] == report.parity.runner
    assert all(d.ok for d in compare(evaluate(network, [x, y]), run_model(path, [x, y])))


def test_an_onnx_file_is_valid_and_tells_nothing_of_its_makers_machine(tmp_path: Path) -> None:
    report = export(Small(), data(2, 3), data(2, 4), file_name=str(tmp_path / "s.onnx"), file_format="ONNX", opset=18)
    onnx.checker.check_model(report.path, full_check=True)
    content = Path(report.path).read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content
    assert onnx.load(report.path).opset_import[0].version == 18


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    network = Small()
    x, y = data(2, 3), data(2, 4)
    first, second = (
        Path(export(network, x, y, file_name=tmp_path / name, file_format="MINDIR").path).read_bytes()
        for name in ("a", "b")
    )
    assert first == second


def test_all_unsupported_operators_are_listed_with_their_places(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOps) as caught:
        export(TwoProblems(), data(1, 2, 5, 4), data(1, 3, 2, 2), file_name=tmp_path / "bad", file_format="MINDIR")
    assert len(caught.value.ops) == 2
    assert all("test_export.py" in node for op in caught.value.ops for node in op.nodes)
    assert list(tmp_path.iterdir()) == []


class Inverse(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x)


class Eigenvalues(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvalsh(x).sum() + torch.fft.rfft(x).real.sum()


class WithoutForm(torch.nn.Module):
    """Two operators that PyTorch cannot express in ONNX, in two parts, and one (DFT) that ONNX alone has."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Inverse(), Eigenvalues()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) + self.two(x) + torch.linalg.inv(x + 1)


@pytest.mark.parametrize("file_format", FORMATS)
def test_operators_without_an_onnx_form_are_all_listed(file_format: str, tmp_path: Path) -> None:
    network = WithoutForm().train()
    network.two.eval()
    with pytest.raises(UnsupportedOps) as caught:
        export(network, data(3, 3), file_name=tmp_path / "bad", file_format=file_format)
    found = {op.op: op.nodes for op in caught.value.ops}
    assert list(found) == ["aten.linalg_inv.default", "aten.linalg_eigvalsh.default"] + ["DFT"] * (
        file_format != "ONNX"
    )
    assert [len(nodes) for nodes in found.values()][:2] == [2, 1]
    assert found["aten.linalg_inv.default"][0].startswith("one/linalg_inv (test_export.py:")
    assert found["aten.linalg_eigvalsh.default"][0].startswith("two/linalg_eigvalsh (test_export.py:")
    assert caught.value.target == file_format
    assert list(tmp_path.iterdir()) == []
    assert (network.training, network.one.training, network.two.training) == (True, True, False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"file_format": "TORCH"}, UsageError),
        ({"file_format": 3}, WrongTypeError),
        ({"file_name": ""}, UsageError),
        ({"file_name": 3}, WrongTypeError),
        ({"file_name": "folder/"}, UsageError),
        ({"opset": 9, "file_format": "ONNX"}, UsageError),
        ({"opset": 20, "file_format": "AIR"}, UsageError),
        ({"file_name": "no/such/folder/net"}, MissingFile),
    ],
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    arguments = {"file_name": str(tmp_path / "net"), "file_format": "MINDIR", **change}
    with pytest.raises(error):
        export(Small(), data(2, 3), data(2, 4), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_example_inputs_are_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="example input"):
        export(Small(), file_name=tmp_path / "net", file_format="ONNX")


def test_suffixes() -> None:
    assert target_path("net", "MINDIR") == Path("net.mindir")
    assert target_path("net.MindIR", "MINDIR") == Path("net.MindIR")
    assert target_path("net.onnx", "AIR") == Path("net.onnx.air")


@pytest.mark.mindspore
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (networks.LeNet, (2, 1, 32, 32)),
        (networks.MLP, (2, 1, 32, 32)),
        (lambda: networks.resnet18(10), (1, 3, 32, 48)),
        pytest.param(networks.VGG11, (1, 3, 32, 32), marks=pytest.mark.slow),
        (lambda: networks.resnet50(10), (1, 3, 32, 48)),
    ],
    ids=["lenet", "mlp", "resnet18", "vgg11", "resnet50"],
)
def test_networks_compute_the_same_everywhere(make: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    network, x = randomised(make()), data(*shape)
    want = evaluate(network, [x])
    source = trace(network, [x])  # once for both formats: it takes longest
    (onnx_path,), _ = write_model(for_onnx(source), tmp_path / "net.onnx", "ONNX")
    ort.agree(None, want, ort.run(Path(onnx_path), [x]), "ONNX Runtime")

    (path,), _ = write_model(to_target(source, "mindspore"), tmp_path / "net.mindir", "MINDIR")
    ort.agree(None, want, mindspore.run(Path(path), [x]), "MindSpore")
    model = mindir.read(path)
    lifted = to_onnx(model)
    ort.agree(None, want, ort.run(lifted, [x]), "lifted")
    named = {n for n in network.state_dict() if "num_batches" not in n}
    assert named <= set(model.graph.initializers)
    assert named <= set(lifted.graph.initializers)
