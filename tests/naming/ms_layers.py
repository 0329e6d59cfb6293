"""Runs in a process of its own with real MindSpore: loads `.ckpt` files into Cells, runs them, saves them again.

usage: ms_layers.py FOLDER   (holds NAME.ckpt and NAME.npz with inputs x0, x1, ...; gets NAME.out.npz, NAME.back.ckpt)
"""

import json
import pathlib
import sys
import traceback

import mindspore as ms
import numpy as np
from mindspore import nn


class Net(nn.Cell):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def construct(self, *inputs):
        return self.body(*inputs)


class Attention(nn.Cell):
    def __init__(self):
        super().__init__()
        self.body = nn.MultiheadAttention(8, 2)

    def construct(self, q, k):
        return self.body(q, k, k, need_weights=False)[0]


class LstmCell(nn.Cell):
    def __init__(self):
        super().__init__()
        self.body = nn.LSTMCell(5, 4)

    def construct(self, x):
        zero = ms.ops.zeros((x.shape[0], 4), ms.float32)
        return self.body(x, (zero, zero))


class Tied(nn.Cell):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.body = nn.Dense(4, 7, has_bias=False)
        self.body.weight = self.embed.embedding_table

    def construct(self, x):
        return self.body(self.embed(x))


def pad(*padding):
    return {"pad_mode": "pad", "padding": padding if len(padding) > 1 else padding[0], "has_bias": True}


CELLS = {
    "linear": lambda: Net(nn.Dense(5, 3)),
    "bilinear": lambda: Net(nn.BiDense(3, 4, 2)),
    "conv1d": lambda: Net(nn.Conv1d(4, 6, 3, stride=2, group=2, **pad(1))),
    "conv2d": lambda: Net(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), group=2, **pad(1, 1, 0, 0))),
    "conv3d": lambda: Net(nn.Conv3d(2, 3, (2, 3, 2), pad_mode="valid", has_bias=True)),
    "convtranspose1d": lambda: Net(nn.Conv1dTranspose(4, 3, 3, stride=2, **pad(0))),
    "convtranspose2d": lambda: Net(nn.Conv2dTranspose(4, 3, (3, 2), stride=2, **pad(0))),
    "convtranspose3d": lambda: Net(nn.Conv3dTranspose(2, 3, (2, 3, 2), pad_mode="valid", has_bias=True)),
    "batchnorm1d": lambda: Net(nn.BatchNorm1d(5)),
    "batchnorm2d": lambda: Net(nn.BatchNorm2d(3)),
    "batchnorm2d_plain": lambda: Net(nn.BatchNorm2d(3, affine=False)),
    "batchnorm3d": lambda: Net(nn.BatchNorm3d(3)),
    "layernorm": lambda: Net(nn.LayerNorm([6], epsilon=1e-5)),
    "groupnorm": lambda: Net(nn.GroupNorm(2, 6)),
    "embedding": lambda: Net(nn.Embedding(7, 4)),
    "prelu": lambda: Net(nn.PReLU(3)),
    "rnn": lambda: Net(nn.RNN(5, 4, num_layers=2, bidirectional=True)),
    "lstm": lambda: Net(nn.LSTM(5, 4, num_layers=2, bidirectional=True)),
    "gru": lambda: Net(nn.GRU(5, 4, num_layers=2, bidirectional=True)),
    "rnncell": lambda: Net(nn.RNNCell(5, 4)),
    "lstmcell": LstmCell,
    "grucell": lambda: Net(nn.GRUCell(5, 4)),
    "attention": Attention,
    "encoderlayer": lambda: Net(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)),
    "decoderlayer": lambda: Net(nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True)),
    "tied": Tied,
}


def flat(value):
    if isinstance(value, (tuple, list)):
        return [y for v in value for y in flat(v)]
    return [value.asnumpy()]


def run(folder, name):
    net = CELLS[name]()
    net.set_train(False)
    loaded = ms.load_checkpoint(str(folder / f"{name}.ckpt"))
    missing, unused = ms.load_param_into_net(net, loaded, strict_load=True)
    data = np.load(folder / f"{name}.npz")
    inputs = [ms.Tensor(data[k]) for k in sorted(data.files)]
    out = flat(net(*inputs))
    np.savez(folder / f"{name}.out.npz", *out)
    ms.save_checkpoint(net, str(folder / f"{name}.back.ckpt"))
    return {"missing": missing, "unused": unused}


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[1])
    report = {}
    for path in sorted(where.glob("*.ckpt")):
        try:
            report[path.stem] = run(where, path.stem)
        except Exception:
            report[path.stem] = {"error": traceback.format_exc()}
    (where / "report.json").write_text(json.dumps(report))
