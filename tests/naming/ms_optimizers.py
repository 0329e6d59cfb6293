"""Runs in a process of its own with real MindSpore: continues training from converted optimizer states.

usage: ms_optimizers.py FOLDER   (holds CASE.ckpt, CASE.json with the optimizer's arguments, CASE.npz with gradients
named STEP/PARAMETER; gets CASE.after.ckpt holding network and optimizer parameters)
"""

import json
import pathlib
import sys
import traceback

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.experimental import optim


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(5, 3)
        self.conv = nn.Conv1d(2, 4, 3, has_bias=True)
        self.bn = nn.BatchNorm1d(3)


CLASSES = {
    "nn.Momentum": nn.Momentum,
    "nn.SGD": nn.SGD,
    "nn.Adam": nn.Adam,
    "nn.Adagrad": nn.Adagrad,
    "nn.Adadelta": nn.Adadelta,
    "nn.AdaMax": nn.AdaMax,
    "nn.Rprop": nn.Rprop,
    "experimental.optim.AdamW": optim.AdamW,
}


def run(folder, case):
    spec = json.loads((folder / f"{case}.json").read_text())
    net = Net()
    # one explicit group: given a plain list, classic MindSpore optimizers leave gamma and beta out of weight decay
    groups = [{"params": net.trainable_params()} | spec.get("group", {})]
    optimizer = CLASSES[spec["class"]](groups, **spec["arguments"])
    values = ms.load_checkpoint(str(folder / f"{case}.ckpt"))
    net_missing, _ = ms.load_param_into_net(net, values, strict_load=True)
    known = {p.name for p in optimizer.get_parameters()}
    missing, _ = ms.load_param_into_net(optimizer, values, strict_load=True)
    unused = sorted(set(values) - known - {p.name for p in net.get_parameters()})
    grads = np.load(folder / f"{case}.npz")
    for step in range(spec["steps"]):
        optimizer(tuple(ms.Tensor(grads[f"{step}/{p.name}"]) for p in net.trainable_params()))
    everything = {p.name: p for p in (*net.get_parameters(), *optimizer.get_parameters())}
    ms.save_checkpoint([{"name": n, "data": p} for n, p in everything.items()], str(folder / f"{case}.after.ckpt"))
    return {"net_missing": net_missing, "missing": missing, "unused": unused}


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[1])
    report = {}
    for path in sorted(where.glob("*.json")):
        try:
            report[path.stem] = run(where, path.stem)
        except Exception:
            report[path.stem] = {"error": traceback.format_exc()}
    (where / "report").write_text(json.dumps(report))
