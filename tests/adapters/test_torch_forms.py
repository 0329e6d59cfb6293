"""Operators without an ONNX form: each is found, named as the network calls it, and placed."""

from __future__ import annotations

import warnings

import numpy as np
import onnx_ir as ir
import pytest
import torch

from mindport.adapters import torch_forms
from mindport.adapters.torch_forms import STAND_IN, cause, formless, stand_ins, translating
from mindport.adapters.torch_trace import _quiet, trace, trace_all
from mindport.errors import Unsupported, UnsupportedOps

X = np.random.default_rng(4).normal(size=(3, 3)).astype(np.float32)


class Inverse(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x)


class Parts(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, r = torch.linalg.qr(x)
        return q + torch.linalg.inv(r)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Inverse()
        self.fc = torch.nn.Linear(3, 3)
        self.last = Parts()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.fc(self.first(x)))


def test_all_are_found_with_their_places() -> None:
    network = Net().train()
    with pytest.raises(UnsupportedOps) as caught:
        trace(network, [X])
    inverse, qr = caught.value.ops
    assert (inverse.op, qr.op) == ("aten.linalg_inv.default", "aten.linalg_qr.default")
    assert [n.partition(" (test_torch_forms.py:")[0] for n in inverse.nodes] == [
        "first/linalg_inv",
        "last/linalg_inv_1",
    ]
    assert len(qr.nodes) == 1
    assert qr.nodes[0].startswith("last/linalg_qr (test_torch_forms.py:")
    assert network.training
    assert network.last.training


def test_the_rest_of_the_graph_is_there_with_stand_ins() -> None:
    model, missing = trace_all(Net(), [X])
    assert model is not None
    assert len(missing) == 2
    assert [n.op_type for n in model.graph if n.domain == STAND_IN] == [
        "aten.linalg_inv.default", "aten.linalg_qr.default", "aten.linalg_inv.default",
    ]  # fmt: skip
    assert any(n.domain == "" for n in model.graph)
    assert isinstance(model, ir.Model)


def test_a_network_without_such_operators() -> None:
    model, missing = trace_all(torch.nn.Linear(3, 2), [X])
    assert missing == []
    assert model is not None


@pytest.mark.parametrize("moved", [AttributeError, ImportError])
def test_a_pytorch_that_cannot_be_asked_still_names_operator_and_node(
    moved: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.onnx._internal.exporter import _dispatching

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export uses what torch itself deprecates
        program = torch.export.export(Parts().eval(), (torch.from_numpy(X),))
    failure = RuntimeError(
        "Error when translating node %linalg_qr : [] = call_function[target=torch.ops.aten.linalg_qr.default](args"
    )

    def gone(*_: object) -> object:
        raise moved

    monkeypatch.setattr(_dispatching, "dispatch", gone)
    with _quiet():
        (op,) = formless(program, failure, 21).values()
    assert (op.op, op.nodes) == ("aten.linalg_qr.default", ("linalg_qr",))
    assert stand_ins(["aten.linalg_qr.default"]) == {}


def test_a_graph_that_cannot_be_had_even_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise ValueError("no stand-in")

    monkeypatch.setattr(torch_forms, "_stand_in", lambda _target: broken)
    model, missing = trace_all(Net(), [X])
    assert model is None
    assert len(missing) == 2


def test_a_cause_is_one_line_with_its_place() -> None:
    inner = ValueError("\n\nbad  size\nmore")
    outer = RuntimeError("Error when translating node %mul_3 : [x] = call_function[target=torch.ops.aten.mul.Tensor](a")
    outer.__cause__ = inner
    assert translating(outer) == ("mul_3", "aten.mul.Tensor")
    assert cause(outer) == "aten.mul.Tensor (node mul_3): ValueError: bad  size"
    assert translating(inner) is None
    assert cause(KeyError()) == "KeyError"
    with pytest.raises(Unsupported, match="PyTorch cannot export"):
        trace(Branch(), [X])


class Branch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if bool(x.sum() > 0) else -x
