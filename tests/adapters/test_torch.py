"""PyTorch networks as named tensors: order, ties, views, and values put back in place."""

from __future__ import annotations

import gc
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

from mindport.adapters.torch import TorchAdapter, TorchRef, extra_state, set_extra_state, to_torch, unwrapped
from mindport.dtypes import named
from mindport.errors import MatchError, Unsupported, UnsupportedDType, UsageError

ADAPTER = TorchAdapter()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scratch", torch.zeros(2), persistent=False)


def test_names_and_order_are_those_of_state_dict() -> None:
    net = Tied()
    names = [n for n in net.state_dict() if n != "head.weight"]
    assert list(ADAPTER.weights(net)) == names
    assert "norm.num_batches_tracked" in names
    assert ADAPTER.aliases(net) == {"head.weight": "embed.weight"}


def test_weights_are_views() -> None:
    net = nn.Linear(2, 3)
    view = ADAPTER.weights(net)["weight"].numpy()
    with torch.no_grad():
        net.weight.fill_(7)
    assert view.tolist() == [[7, 7]] * 3


def test_a_view_of_another_parameter_is_not_tied() -> None:
    net = nn.Module()
    base = torch.arange(6.0)
    net.register_buffer("whole", base)
    net.register_buffer("part", base[:3])
    net.register_buffer("empty_a", torch.zeros(0))
    net.register_buffer("empty_b", torch.zeros(0))
    assert ADAPTER.aliases(net) == {}
    assert list(ADAPTER.weights(net)) == ["whole", "part", "empty_a", "empty_b"]


def test_values_are_assigned_in_place() -> None:
    net = Tied()
    before = {name: t.data_ptr() for name, t in net.state_dict().items()}
    ADAPTER.assign(
        net,
        {"embed.weight": np.arange(15, dtype=np.float32).reshape(5, 3), "norm.running_var": np.full(3, 2, np.float32)},
    )
    assert {name: t.data_ptr() for name, t in net.state_dict().items()} == before
    assert net.head.weight[4].tolist() == [12, 13, 14]
    assert net.norm.running_var.tolist() == [2, 2, 2]
    assert net.embed.weight.requires_grad
    assert net.head.weight is net.embed.weight


@pytest.mark.parametrize(
    "kind", ["bfloat16", "float16", "float64", "int64", "uint8", "bool", "complex64", "float8_e5m2"]
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_every_element_type_goes_both_ways(kind: str, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape).abs().add(1).to(getattr(torch, kind))
    ref = TorchRef("w", tensor)
    assert (ref.dtype.name, ref.shape, ref.nbytes) == (kind, shape, tensor.numel() * tensor.element_size())
    content = b"".join(ref.chunks())
    assert len(content) == ref.nbytes
    back = to_torch(np.frombuffer(bytearray(content), named(kind).numpy).reshape(shape), named(kind))
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert back.tolist() == tensor.tolist()


def test_a_transposed_parameter_is_written_in_logical_order() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).t()
    assert np.frombuffer(b"".join(TorchRef("w", tensor).chunks()), "<f4").tolist() == [0, 3, 1, 4, 2, 5]


def test_conjugate_and_negative_views_are_resolved() -> None:
    tensor = torch.tensor([1 + 2j, 3 - 1j])
    assert TorchRef("w", tensor.conj()).numpy().tolist() == [1 - 2j, 3 + 1j]
    assert TorchRef("w", tensor.conj().imag).numpy().tolist() == [-2, 1]


def test_a_read_only_array_is_copied() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    made = to_torch(array, named("float64"))
    made[0] = 9
    assert array[0] == 0


@pytest.mark.parametrize(
    ("tensor", "error", "words"),
    [
        (lambda: torch.zeros(3).to_sparse(), Unsupported, "sparse"),
        (lambda: torch.empty(3, device="meta"), UsageError, "meta device"),
        (lambda: nn.LazyLinear(3).weight, UsageError, "has no shape yet"),
        (lambda: torch.zeros(2, dtype=torch.complex32), UnsupportedDType, "complex32"),
    ],
)
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning")
def test_tensors_without_a_place_in_a_file(tensor: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        TorchRef("layer.weight", tensor())


def test_a_type_torch_lacks() -> None:
    with pytest.raises(Unsupported, match="qint4x2"):
        to_torch(np.zeros(2, np.int8), named("qint4x2"))


def test_wrappers_are_seen_through() -> None:
    net = nn.Linear(2, 2)
    compiled = torch.compile(net, backend="eager")
    assert unwrapped(compiled) is net
    assert unwrapped(nn.DataParallel(compiled)) is net
    assert list(ADAPTER.weights(nn.DataParallel(net))) == ["weight", "bias"]
    gc.collect()


class WithExtra(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.calls = {"n": 1}

    def get_extra_state(self) -> Any:
        return self.calls

    def set_extra_state(self, state: Any) -> None:
        self.calls = state


def test_extra_state_of_modules() -> None:
    net = nn.Sequential(WithExtra(), nn.Linear(1, 1))
    state = extra_state(net)
    assert state == {"0._extra_state": {"n": 1}}
    assert list(ADAPTER.weights(net)) == ["1.weight", "1.bias"]
    set_extra_state(net, {"0._extra_state": {"n": 5}})
    assert net[0].calls == {"n": 5}
    alone = WithExtra()
    set_extra_state(alone, {"_extra_state": {"n": 6}})
    assert alone.calls == {"n": 6}


def test_bfloat16_views_share_memory() -> None:
    net = nn.Linear(2, 1, dtype=torch.bfloat16)
    array = ADAPTER.weights(net)["weight"].numpy()
    assert array.dtype == ml_dtypes.bfloat16
    with torch.no_grad():
        net.weight.fill_(3)
    assert array.astype(np.float32).tolist() == [[3, 3]]


def test_big_endian_arrays_are_converted() -> None:
    assert to_torch(np.array([[1.5, -2.0]], ">f4"), named("float32")).tolist() == [[1.5, -2.0]]
    net = nn.Linear(1, 2)
    ADAPTER.assign(net, {"bias": np.array([1, 2], ">f4"), "weight": np.array([[3], [4]], ">f4")})
    assert (net.bias.tolist(), net.weight.tolist()) == ([1, 2], [[3], [4]])


class Buffered(nn.Module):
    def __init__(self, **buffers: torch.Tensor) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(2))
        for name, value in buffers.items():
            self.register_buffer(name, value)


def test_an_expanded_tensor_takes_one_value_or_nothing_is_assigned() -> None:
    net = Buffered(row=torch.ones(2, 1).expand(2, 3), dot=torch.ones(()).expand(2))
    first = np.ones(2, np.float32)
    row = np.array([[4, 4, 4], [np.nan, np.nan, np.nan]], np.float32)
    ADAPTER.assign(net, {"first": first, "row": row, "dot": np.full(2, 5, np.float32)})
    assert np.array_equal(net.row.numpy(), row, equal_nan=True)
    assert (net.dot.tolist(), net.row.stride(), net.dot.stride()) == ([5, 5], (1, 0), (0,))
    with pytest.raises(MatchError, match=r"2 parameter\(s\) do not fit(?s:.)*row: an expanded(?s:.)*dot: an expanded"):
        ADAPTER.assign(
            net, {"first": 2 * first, "row": np.arange(6, dtype=np.float32).reshape(2, 3), "dot": np.arange(2.0)}
        )
    assert net.first.tolist() == [1, 1]


def test_tensors_made_in_inference_mode_are_assigned_too() -> None:
    with torch.inference_mode():
        made = torch.zeros(2)
    net = Buffered(made=made)
    ADAPTER.assign(net, {"first": np.ones(2, np.float32), "made": np.full(2, 3, np.float32)})
    assert (net.first.tolist(), net.made.tolist(), net.made is made) == ([1, 1], [3, 3], True)
    net.first.sum().backward()  # the parameter itself is still one to train


def test_nothing_is_assigned_when_one_value_cannot_be_converted() -> None:
    net = Buffered(scale=torch.zeros(1))
    with pytest.raises(TypeError):
        ADAPTER.assign(net, {"first": np.ones(2, np.float32), "scale": np.array(["x"])})
    assert net.first.tolist() == [0, 0]
