"""For each layer kind: PyTorch weights, converted, give real MindSpore's Cell the same outputs, and come back equal."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mindport.formats import ckpt
from mindport.naming.layers import LAYERS
from mindport.naming.network import map_names
from mindport.storage.atomic import commit
from mindport.tensors import Tensor

pytestmark = [pytest.mark.mindspore, pytest.mark.xdist_group("naming")]


class Net(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, *inputs):
        return self.body(*inputs)


class Attention(Net):
    def forward(self, q, k):
        return self.body(q, k, k)[0]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.body = nn.Linear(4, 7, bias=False)
        self.body.weight = self.embed.weight

    def forward(self, x):
        return self.body(self.embed(x))


def f(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


IDS = np.array([[1, 5, 2], [6, 0, 3]], np.int32)
STATE = (f(2, 4), f(2, 4) * 0.5)
CASES = {
    "linear": (lambda: Net(nn.Linear(5, 3)), [f(2, 5)]),
    "bilinear": (lambda: Net(nn.Bilinear(3, 4, 2)), [f(5, 3), f(5, 4)]),
    "conv1d": (lambda: Net(nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2)), [f(2, 4, 9)]),
    "conv2d": (lambda: Net(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2)), [f(2, 4, 7, 6)]),
    "conv3d": (lambda: Net(nn.Conv3d(2, 3, (2, 3, 2))), [f(1, 2, 4, 5, 3)]),
    "convtranspose1d": (lambda: Net(nn.ConvTranspose1d(4, 3, 3, stride=2)), [f(2, 4, 5)]),
    "convtranspose2d": (lambda: Net(nn.ConvTranspose2d(4, 3, (3, 2), stride=2)), [f(2, 4, 5, 3)]),
    "convtranspose3d": (lambda: Net(nn.ConvTranspose3d(2, 3, (2, 3, 2))), [f(1, 2, 3, 4, 2)]),
    "batchnorm1d": (lambda: Net(nn.BatchNorm1d(5)), [f(4, 5)]),
    "batchnorm2d": (lambda: Net(nn.BatchNorm2d(3)), [f(2, 3, 4, 5)]),
    "batchnorm2d_plain": (lambda: Net(nn.BatchNorm2d(3, affine=False)), [f(2, 3, 4, 5)]),
    "batchnorm3d": (lambda: Net(nn.BatchNorm3d(3)), [f(2, 3, 2, 4, 5)]),
    "layernorm": (lambda: Net(nn.LayerNorm(6)), [f(2, 4, 6)]),
    "groupnorm": (lambda: Net(nn.GroupNorm(2, 6)), [f(2, 6, 4, 5)]),
    "embedding": (lambda: Net(nn.Embedding(7, 4)), [IDS]),
    "prelu": (lambda: Net(nn.PReLU(3)), [f(2, 3, 4)]),
    "rnn": (lambda: Net(nn.RNN(5, 4, num_layers=2, bidirectional=True)), [f(6, 2, 5), f(4, 2, 4)]),
    "lstm": (lambda: Net(nn.LSTM(5, 4, num_layers=2, bidirectional=True)), [f(6, 2, 5)]),
    "gru": (lambda: Net(nn.GRU(5, 4, num_layers=2, bidirectional=True)), [f(6, 2, 5), f(4, 2, 4)]),
    "rnncell": (lambda: Net(nn.RNNCell(5, 4)), [f(2, 5), STATE[0]]),
    "lstmcell": (lambda: LstmCell(nn.LSTMCell(5, 4)), [f(2, 5)]),
    "grucell": (lambda: Net(nn.GRUCell(5, 4)), [f(2, 5), STATE[0]]),
    "attention": (lambda: Attention(nn.MultiheadAttention(8, 2)), [f(3, 2, 8), f(4, 2, 8)]),
    "encoderlayer": (
        lambda: Net(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)),
        [f(2, 3, 8)],
    ),
    "decoderlayer": (
        lambda: Net(nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True)),
        [f(2, 3, 8), f(2, 4, 8)],
    ),
    "tied": (Tied, [IDS]),
}


class LstmCell(Net):
    def forward(self, x):
        zero = torch.zeros(len(x), 4)
        return self.body(x, (zero, zero))


def build(name):
    torch.manual_seed(sorted(CASES).index(name))
    net = CASES[name][0]().eval()
    with torch.no_grad():
        for value in net.state_dict().values():  # nothing may stay zero or one: that hides a wrong mapping
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.25)
    return net


def outputs(net, name):
    inputs = [torch.from_numpy(x.astype(np.int64) if x.dtype == np.int32 else x) for x in CASES[name][1]]
    with torch.no_grad():
        out = net(*inputs)

    def flat(v):
        return [y for w in v for y in flat(w)] if isinstance(v, (tuple, list)) else [v.numpy()]

    return flat(out)


@pytest.fixture(scope="module")
def mindspore_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    for name, (_, inputs) in CASES.items():
        net = build(name)
        weights, _ = map_names(net).to_mindspore(net.state_dict())
        commit(folder / f"{name}.ckpt", ckpt.write(weights))
        given = list(inputs)
        np.savez(folder / f"{name}.npz", **{f"x{i}": x for i, x in enumerate(given)})
    script = pathlib.Path(__file__).with_name("ms_layers.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=300)
    return folder, json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_cell_with_converted_weights_gives_the_same_outputs(name, mindspore_run):
    folder, report = mindspore_run
    assert report[name] == {"missing": [], "unused": []}
    expected = outputs(build(name), name)
    with np.load(folder / f"{name}.out.npz") as data:
        got = [data[k] for k in data.files]
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        # MindSpore's recurrent CPU kernels approximate tanh to about 1e-4
        np.testing.assert_allclose(g, e, rtol=2e-5, atol=2e-4 if name.startswith(("rnn", "gru")) else 5e-6)


@pytest.mark.parametrize("name", CASES)
def test_weights_saved_by_mindspore_come_back_equal(name, mindspore_run):
    folder, _ = mindspore_run
    net = build(name)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    weights, report = map_names(net).to_torch(ckpt.read(folder / f"{name}.back.ckpt"))
    assert set(weights) == set(before)
    for key, value in before.items():
        if key.endswith("num_batches_tracked"):
            continue
        assert isinstance(weights[key], Tensor)
        np.testing.assert_array_equal(weights[key].numpy(), value.numpy())
    assert not report.assumed


def test_every_layer_of_the_table_has_a_case_or_cannot_run_here():
    tested = {type(m).__name__ for make, _ in CASES.values() for m in make().modules()}
    # MindSpore has no CPU kernel for InstanceNorm; SyncBatchNorm needs several devices
    assert set(LAYERS) - tested == {"InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "SyncBatchNorm"}
