"""Small, plain PyTorch networks for the tutorial.

The ResNets and `VGG11` carry torchvision's parameter names and shapes, so published torchvision weights load into their
default configuration (3 channels, 1000 classes) with `load_state_dict`. Images are `(N, C, H, W)` float32; outputs are
logits `(N, num_classes)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Fully connected classifier over flattened images."""

    def __init__(
        self, num_classes: int = 10, in_channels: int = 1, *, image_size: int = 32, hidden: Sequence[int] = (128, 64)
    ) -> None:
        super().__init__()
        widths = [in_channels * image_size * image_size, *hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        return self.layers(images)


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max pooling; takes images of 32×32 pixels (asserted by the first dense layer)."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`, shape (N, in_channels, 32, 32)."""
        x = self.pool(self.relu(self.conv1(images)))
        x = self.pool(self.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.fc3(x)


class VGG11(nn.Module):
    """VGG-11 (configuration A) without batch normalisation.

    `pooled` and `hidden` are 7 and 4096 in the published network. For small images take `pooled=1`: images of 32×32
    pixels leave the features as 1×1 maps.
    """

    CHANNELS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        pooled: int = 7,
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_channels
        for item in self.CHANNELS:
            if isinstance(item, int):
                layers += [nn.Conv2d(width, item, kernel_size=3, padding=1), nn.ReLU()]
                width = item
            else:
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((pooled, pooled))
        self.classifier = nn.Sequential(
            nn.Linear(width * pooled * pooled, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        x = self.avgpool(self.features(images))
        return self.classifier(torch.flatten(x, 1))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; the block of ResNet-18 and ResNet-34."""

    expansion = 1

    def __init__(self, width_in: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation that ends the residual branch."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's feature maps."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut; the block of ResNet-50. The 3×3 convolution carries the stride."""

    expansion = 4

    def __init__(self, width_in: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation that ends the residual branch."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's feature maps."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)


class ResNet(nn.Module):
    """Residual network with four stages; see `resnet18`, `resnet34` and `resnet50`.

    `zero_init_residual` lets each block begin as its shortcut alone, which makes short training runs converge.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        width_in = 64
        for stage, depth in enumerate(depths):
            width = 64 << stage
            blocks = _stage(block, width_in, width, depth, stride=1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", blocks)
            width_in = width * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width_in, num_classes)
        _initialise(self)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    nn.init.zeros_(module.last_norm.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], width_in: int, width: int, depth: int, *, stride: int
) -> nn.Sequential:
    """Build `depth` blocks; the first one changes resolution and width, so its shortcut needs a projection."""
    width_out = width * block.expansion
    downsample = None
    if stride != 1 or width_in != width_out:
        downsample = nn.Sequential(
            nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False), nn.BatchNorm2d(width_out)
        )
    blocks = [block(width_in, width, stride, downsample)]
    blocks += [block(width_out, width, 1, None) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def _initialise(network: nn.Module) -> None:
    """Draw the weights as the papers' reference code does: He initialisation for ReLU networks."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def resnet18(num_classes: int = 1000, in_channels: int = 3, *, zero_init_residual: bool = False) -> ResNet:
    """Return ResNet-18 with fresh weights (11,689,512 parameters by default)."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, zero_init_residual=zero_init_residual)


def resnet34(num_classes: int = 1000, in_channels: int = 3, *, zero_init_residual: bool = False) -> ResNet:
    """Return ResNet-34 with fresh weights (21,797,672 parameters by default)."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels, zero_init_residual=zero_init_residual)


def resnet50(num_classes: int = 1000, in_channels: int = 3, *, zero_init_residual: bool = False) -> ResNet:
    """Return ResNet-50 with fresh weights (25,557,032 parameters by default)."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, zero_init_residual=zero_init_residual)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "lenet": LeNet,
    "vgg11": VGG11,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
}
