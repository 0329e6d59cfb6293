"""A PyTorch ResNet-50 becomes MindSpore's and comes back: bit-identical weights, equal logits."""

import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from mindport.formats import ckpt
from mindport.naming.network import map_names
from mindport.storage.atomic import commit

ROOT = pathlib.Path(__file__).parents[2]


def example_networks():
    spec = importlib.util.spec_from_file_location("example_networks", ROOT / "examples" / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.mindspore
@pytest.mark.xdist_group("naming")
def test_resnet50_to_mindspore_and_back(tmp_path):
    torch.manual_seed(3)
    net = example_networks().resnet50(num_classes=10).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.dim() == 1 and value.is_floating_point():  # scales, shifts and statistics must all differ
                value.copy_(torch.rand_like(value) * 0.3 + (0.7 if "bias" not in name else -0.1))
    x = torch.randn(2, 3, 48, 64)
    names = map_names(net)
    weights, report = names.to_mindspore(net.state_dict())
    assert not report.assumed
    commit(tmp_path / "in.ckpt", ckpt.write(weights))
    np.save(tmp_path / "x.npy", x.numpy())
    script = pathlib.Path(__file__).with_name("ms_resnet.py")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, capture_output=True, timeout=300)

    with torch.no_grad():
        expected = net(x).numpy()
    got = np.load(tmp_path / "out.npy")
    assert got.shape == (2, 10)
    assert np.ptp(expected) > 0.1  # a constant answer would prove nothing
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())

    back, _ = names.to_torch(ckpt.read(tmp_path / "back.ckpt"))
    fresh = example_networks().resnet50(num_classes=10).eval()
    fresh.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in back.items()})
    for (name, a), b in zip(net.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert name.endswith("num_batches_tracked") or torch.equal(a, b), name
    with torch.no_grad():
        assert torch.equal(fresh(x), net(x))
