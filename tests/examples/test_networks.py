"""The example networks: torchvision's names and shapes, and outputs that depend on every part of the image."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

import networks

# name -> (parameters, parameter tensors, tensors in the state dict, SHA-256 of "name shape" lines) in torchvision 0.29
TORCHVISION = {
    "vgg11": (132_863_336, 22, 22, "cb3dc23f2a13e18244ef17cbfe99866ac20a6c8937fd40a3601dd59ae7a8a062"),
    "resnet18": (11_689_512, 62, 122, "84fb10d9c6905a1cbb020b284537dc97c4f4ec55fb2a780a41152a23a2dd0e9d"),
    "resnet34": (21_797_672, 110, 218, "28f9096d5130749948981c6900083e57b19456b8b835829b8bdfe415bddc3f32"),
    "resnet50": (25_557_032, 161, 320, "d7e4f8bb0a5363446a59c81c3887ccf66900a11651a0ae2dec96d1bb1eb6ea81"),
}


def on_meta(name: str, **options: object) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return networks.NETWORKS[name](**options)


@pytest.mark.parametrize("name", TORCHVISION)
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    network = on_meta(name)
    state = network.state_dict()
    lines = "\n".join(f"{key} {tuple(tensor.shape)}" for key, tensor in state.items())
    digest = hashlib.sha256(lines.encode()).hexdigest()
    parameters = list(network.parameters())
    assert (sum(p.numel() for p in parameters), len(parameters), len(state), digest) == TORCHVISION[name]


def test_resnet50_has_the_tensors_that_published_files_have() -> None:
    state = {key: tuple(tensor.shape) for key, tensor in on_meta("resnet50").state_dict().items()}
    assert list(state)[:7] == [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "bn1.num_batches_tracked",
        "layer1.0.conv1.weight",
    ]
    assert state["conv1.weight"] == (64, 3, 7, 7)
    assert state["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert state["layer2.0.conv2.weight"] == (128, 128, 3, 3)
    assert state["layer3.5.bn3.running_var"] == (1024,)
    assert state["layer4.0.downsample.1.bias"] == (2048,)
    assert state["fc.weight"] == (1000, 2048)


def test_lenet_has_the_sizes_of_the_paper() -> None:
    shapes = {key: tuple(p.shape) for key, p in on_meta("lenet").named_parameters() if key.endswith("weight")}
    assert shapes == {
        "conv1.weight": (6, 1, 5, 5),
        "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (120, 400),
        "fc2.weight": (84, 120),
        "fc3.weight": (10, 84),
    }


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_stride_stands_where_torchvision_has_it(name: str) -> None:
    network = on_meta(name)
    strided = [key for key, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    conv = "conv1" if name == "resnet18" else "conv2"
    stages = [f"layer{n}.0.{part}" for n in (2, 3, 4) for part in (conv, "downsample.0")]
    assert strided == ["conv1", *stages]


@pytest.mark.parametrize(
    ("name", "channels", "size", "options"),
    [
        ("lenet", 1, (32, 32), {}),
        ("mlp", 2, (8, 8), {"image_size": 8, "hidden": (12, 7)}),
        ("vgg11", 3, (32, 47), {"pooled": 1, "hidden": 24}),
        ("resnet18", 3, (40, 72), {}),
        ("resnet50", 2, (33, 50), {}),
    ],
)
def test_outputs_depend_on_rows_columns_and_channels(
    name: str, channels: int, size: tuple[int, int], options: dict[str, object]
) -> None:
    torch.manual_seed(3)
    network = networks.NETWORKS[name](num_classes=5, in_channels=channels, **options).eval()
    images = torch.rand(2, channels, *size) * torch.linspace(0.1, 2.0, size[1])
    with torch.no_grad():
        out = network(images)
        assert out.shape == (2, 5)
        assert torch.isfinite(out).all()
        assert not torch.equal(out, network(images.flip(2)))
        assert not torch.equal(out, network(images.flip(3)))
        if channels > 1:
            assert not torch.equal(out, network(images.flip(1)))
        # each image by itself gives what it gives in the batch
        torch.testing.assert_close(network(images[1:]), out[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_zero_init_residual_makes_blocks_begin_as_their_shortcut(name: str) -> None:
    torch.manual_seed(4)
    network = networks.NETWORKS[name](num_classes=5, zero_init_residual=True)
    x = torch.rand(2, network.layer1[1].conv1.in_channels, 5, 9)
    assert torch.equal(network.layer1[1](x), x)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(5)
    network = networks.resnet50(num_classes=5, in_channels=1)
    nn.functional.cross_entropy(network(torch.rand(4, 1, 33, 47)), torch.tensor([0, 1, 2, 4])).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
