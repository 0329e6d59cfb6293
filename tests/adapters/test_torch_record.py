"""The recorded graph: operators in order, with their inputs, shapes and places in the module tree."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mindport.adapters.torch_record import GraphRecorder
from mindport.adapters.torch_step import TorchStep
from mindport.formats.graph_meta import GraphOutline
from train.worlds import Net


def recorded(net: nn.Module, *inputs: Any, **named: Any) -> GraphOutline:
    recorder = GraphRecorder(net)
    recorder.run(*inputs, **named)
    assert recorder.outline is not None
    return recorder.outline


def test_a_network_of_layers() -> None:
    outline = recorded(Net(), torch.randn(2, 2, 6, 7))
    nodes = [n for n in outline.nodes if n.op != "Add"]  # batch norm counts its batches
    assert [n.op for n in nodes] == ["Conv2D", "BatchNorm", "ReLU", "Dropout", "Flatten", "Dense"]
    assert [n.output.name for n in outline.nodes] == [str(i + 1) for i in range(len(outline.nodes))]
    assert nodes[0].inputs == ("x", "conv.weight", "conv.bias")
    assert nodes[0].output.shape == (2, 3, 4, 6)
    assert nodes[0].scope == "Default/network-Net/conv-Conv2d"
    assert nodes[0].full_name == "Default/network-Net/conv-Conv2d/Conv2D-op0"
    assert nodes[2].scope == "Default/network-Net"
    assert nodes[2].inputs == (nodes[1].output.name,)
    assert [(p.name, p.dtype, p.shape) for p in outline.inputs] == [("x", "float32", (2, 2, 6, 7))]
    assert [p.name for p in outline.outputs] == [nodes[-1].output.name]
    assert [p.name for p in outline.weights][:2] == ["conv.weight", "conv.bias"]


def test_recording_changes_neither_results_nor_gradients_nor_random_numbers() -> None:
    def run(record: bool) -> tuple[Any, ...]:
        torch.manual_seed(3)
        net = Net()
        step = TorchStep(net, nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=0.1))
        batch = torch.randn(3, 2, 6, 7), torch.tensor([0, 1, 3])
        loss = step.train_recorded(batch)[0] if record else step.train(batch)
        return float(loss), net.head.weight.tolist(), net.norm.running_mean.tolist(), torch.rand(2).tolist()

    assert run(True) == run(False)


def test_several_inputs_outputs_and_constants() -> None:
    table = torch.arange(4.0)

    class Many(nn.Module):
        def forward(self, a: Any, pair: Any, *, scale: Any = None) -> Any:
            values, places = torch.max(a @ pair[0], dim=1)
            left, right = torch.split(values * scale + table, 2)
            return {"sum": left + right, "places": places, "shape": a.shape}

    outline = recorded(Many(), torch.randn(4, 3), (torch.randn(3, 5), torch.ones(1)), scale=torch.tensor(2.0))
    assert [p.name for p in outline.inputs] == ["a", "pair0", "pair1", "scale"]
    ops = [n.op for n in outline.nodes]
    assert ops == [
        "MatMul",
        "Max",
        "TupleGetItem",
        "TupleGetItem",
        "Mul",
        "Add",
        "Split",
        "TupleGetItem",
        "TupleGetItem",
        "Add",
    ]
    assert len(outline.outputs) == 2
    assert outline.nodes[2].inputs[1] in outline.constants
    assert any(str(v).startswith("Tensor(4,)") for v in outline.constants.values())
    known = (
        {p.name for p in (*outline.inputs, *outline.weights)}
        | {n.output.name for n in outline.nodes}
        | set(outline.constants)
    )
    assert all(name in known for n in outline.nodes for name in n.inputs)


def test_attributes_are_kept_by_name() -> None:
    class Pool(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.avg_pool2d(F.softmax(x, dim=1), kernel_size=(2, 1), ceil_mode=True)

    outline = recorded(Pool(), torch.randn(1, 2, 4, 4))
    assert outline.nodes[0].attributes["dim"] == 1
    assert dict(outline.nodes[1].attributes) == {"kernel_size": (2, 1), "ceil_mode": True}


def test_tensors_do_not_live_longer_because_of_it() -> None:
    alive: list[Any] = []

    class Drop(nn.Module):
        def forward(self, x: Any) -> Any:
            middle = torch.exp(x)
            alive.append(weakref.ref(middle))
            result = middle.sum()
            del middle
            gc.collect()
            alive.append(alive[0]() is None)
            return result.detach() * 2

    with torch.no_grad():
        recorded(Drop(), torch.ones(3))
    assert alive[1] is True


def test_an_error_in_the_network_passes_and_leaves_no_hooks() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    net = Fails()
    recorder = GraphRecorder(net)
    with pytest.raises(RuntimeError, match="shape"):
        recorder.run(torch.ones(1, 5))
    assert recorder.outline is None
    assert not net.inner._forward_hooks
    assert not net.inner._forward_pre_hooks
    with pytest.raises(TypeError):
        recorder.run()


def test_a_wrapped_network_is_recorded_under_its_own_names() -> None:
    outline = recorded(nn.DataParallel(Net()), torch.randn(2, 2, 6, 7))
    assert outline.name == "Net"
    assert outline.nodes[0].inputs == ("x", "conv.weight", "conv.bias")


def test_a_compiled_network_gives_its_parameters_alone() -> None:
    outline = recorded(torch.compile(Net(), backend="eager"), torch.randn(2, 2, 6, 7))
    assert outline.nodes == ()
    assert [p.name for p in outline.weights][:2] == ["conv.weight", "conv.bias"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit is deprecated and still in use
def test_a_scripted_network_gives_its_parameters_alone() -> None:
    scripted = torch.jit.trace(nn.Linear(2, 3), torch.ones(1, 2))
    outline = recorded(scripted, torch.ones(1, 2))
    assert outline.nodes == ()
    assert [p.name for p in outline.weights] == ["weight", "bias"]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")  # torch's, at first use
@pytest.mark.parametrize("layout", [torch.jagged, torch.strided], ids=str)
def test_a_network_that_cannot_be_recorded_runs_and_gives_its_parameters(layout: Any) -> None:
    class Ragged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nested = torch.nested.as_nested_tensor([x[:1], x[1:]], layout=layout)
            return torch.cat([part.sum().reshape(1) for part in self.line(nested).unbind()])

    net, x = Ragged(), torch.randn(4, 3)
    recorder = GraphRecorder(net)
    assert torch.equal(recorder.run(x), net(x))
    assert recorder.outline is not None
    assert [w.name for w in recorder.outline.weights] == ["line.weight", "line.bias"]
    assert recorder.outline.nodes == ()
