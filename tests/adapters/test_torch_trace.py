"""Tracing: names, views, modes, quiet, nested inputs, and one clear error."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from mindport.adapters.torch_trace import evaluate, evaluating, leaves, torch_inputs, trace
from mindport.conversion.pipeline import for_onnx
from mindport.errors import Unsupported, UsageError, WrongTypeError
from mindport.tensors import Tensor
from oracles import ort


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, (3, 2), padding=(1, 0), stride=(2, 1))
        self.norm = torch.nn.BatchNorm2d(4)
        self.drop = torch.nn.Dropout(0.5)
        self.fc = torch.nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        return self.fc(self.drop(y.mean((2, 3))))


class Nested(torch.nn.Module):
    def forward(self, pair: Any, options: Any) -> Any:
        return {"sum": pair[0] + pair[1], "rest": (options["scale"] * pair[0],)}


class Impossible(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if bool(x.sum() > 0) else -x


def net() -> Net:
    torch.manual_seed(1)
    made = Net()
    made.norm.running_mean.uniform_(-0.5, 0.5)
    return made


X = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)


def test_the_graph_computes_what_the_network_computes() -> None:
    network = net()
    model = for_onnx(trace(network, [Tensor(X)]))
    np.testing.assert_allclose(ort.run(model, [X])[0], evaluate(network, [X])[0], rtol=1e-4, atol=1e-5)


def test_weights_have_their_names_and_are_the_networks_memory() -> None:
    network = net()
    model = trace(network, [X])
    weights = model.graph.initializers
    assert {n for n in network.state_dict() if "num_batches" not in n} <= set(weights)
    content = weights["fc.weight"].const_value
    assert content is not None
    assert np.shares_memory(content.numpy(), network.fc.weight.detach().numpy())


def test_training_modes_are_each_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    network = net().train()
    network.norm.eval()
    trace(network, [X])
    assert (network.training, network.norm.training, network.drop.training) == (True, False, True)
    with pytest.raises(Unsupported):
        trace(Impossible().train(), [X])
    with evaluating(network):
        assert not network.drop.training
    assert network.drop.training


def test_nothing_is_printed_logged_or_warned(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trace(net(), [X])
    assert caught == []
    assert capfd.readouterr() == ("", "")
    assert [r for r in caplog.records if r.levelno > logging.DEBUG] == []
    assert logging.getLogger("torch.onnx").level == before


def test_nested_inputs_and_outputs_are_flattened_in_order() -> None:
    a, b, s = (np.full((2, 3), v, np.float32) for v in (1, 2, 3))
    inputs = ([a, Tensor(b)], {"scale": torch.from_numpy(s)})
    model = for_onnx(trace(Nested(), inputs))
    flat = leaves(inputs)
    assert [v.mean() for v in flat] == [1, 2, 3]
    got, want = ort.run(model, flat), evaluate(Nested(), inputs)
    assert len(got) == len(want) == 2
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("key", [0, "x"])
def test_dynamic_axes_get_their_name(key: int | str) -> None:
    model = for_onnx(trace(net(), [X], dynamic={key: {0: "batch"}}))
    shape = model.graph.inputs[0].shape
    assert shape is not None
    assert str(shape[0]) == "batch"
    other = np.concatenate([X, X, X])
    np.testing.assert_allclose(ort.run(model, [other])[0], evaluate(net(), [other])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("dynamic", "says"),
    [({"y": [0]}, "inputs are x"), ({1: [0]}, "inputs are x"), ({0: [9]}, "from 0 to 3"), ({0: ["n"]}, "0 to 3")],
)
def test_dynamic_axes_that_are_not_there(dynamic: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        trace(net(), [X], dynamic=dynamic)


def test_dynamic_axes_of_a_nested_input() -> None:
    a = np.ones((2, 3), np.float32)
    with pytest.raises(UsageError, match="single tensor"):
        trace(Nested(), ([a, a], {"scale": a}), dynamic={0: [0]})


def test_what_cannot_be_traced_is_one_clear_error() -> None:
    with pytest.raises(Unsupported, match="PyTorch cannot export Impossible") as caught:
        trace(Impossible(), [X])
    assert "\n" not in str(caught.value)


def test_wrong_arguments() -> None:
    with pytest.raises(WrongTypeError, match=r"torch\.nn\.Module"):
        trace(object(), [X])
    with pytest.raises(WrongTypeError):
        trace(net(), ["image"])


def test_inputs_become_torch_tensors_of_the_same_type() -> None:
    import ml_dtypes

    frozen = np.ones(2, np.float16)
    frozen.flags.writeable = False
    a, b, c = torch_inputs(net(), [frozen, np.ones(2, ml_dtypes.bfloat16), [1, 2]])
    assert (a.dtype, b.dtype, c.tolist()) == (torch.float16, torch.bfloat16, [1, 2])
    (big,) = torch_inputs(net(), [np.array([1, 2], ">f4")])
    assert (big.dtype, big.tolist()) == (torch.float32, [1, 2])
    assert leaves([np.array([1, 2], ">f4")])[0].dtype == np.dtype("=f4")


def test_the_opset_is_as_asked() -> None:
    model = trace(net(), [X], opset=18)
    assert isinstance(model, ir.Model)
    assert model.graph.opset_imports[""] == 18
