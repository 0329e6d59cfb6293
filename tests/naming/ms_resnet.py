"""Runs in a process of its own with real MindSpore: ResNet-50 built of `mindspore.nn` Cells.

usage: ms_resnet.py FOLDER   (holds in.ckpt and x.npy; gets out.npy and back.ckpt)
"""

import pathlib
import sys

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def conv(i, o, k, stride=1):
    return nn.Conv2d(i, o, k, stride=stride, pad_mode="pad", padding=k // 2, has_bias=False)


class Bottleneck(nn.Cell):
    def __init__(self, i, width, stride):
        super().__init__()
        o = width * 4
        self.conv1, self.bn1 = conv(i, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, o, 1), nn.BatchNorm2d(o)
        self.downsample = None
        if stride != 1 or i != o:
            self.downsample = nn.SequentialCell(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def construct(self, x):
        y = ops.relu(self.bn1(self.conv1(x)))
        y = ops.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return ops.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Cell):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        i = 64
        for n, (blocks, width, stride) in enumerate([(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)], 1):
            layer = []
            for b in range(blocks):
                layer.append(Bottleneck(i, width, stride if b == 0 else 1))
                i = width * 4
            setattr(self, f"layer{n}", nn.SequentialCell(layer))
        self.fc = nn.Dense(2048, num_classes)

    def construct(self, x):
        x = self.maxpool(ops.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    net = ResNet50(10)
    net.set_train(False)
    missing, unused = ms.load_param_into_net(net, ms.load_checkpoint(str(folder / "in.ckpt")), strict_load=True)
    assert not missing, missing
    assert not unused, unused
    np.save(folder / "out.npy", net(ms.Tensor(np.load(folder / "x.npy"))).asnumpy())
    ms.save_checkpoint(net, str(folder / "back.ckpt"))
