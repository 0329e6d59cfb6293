"""The adapter of an object is found without importing a framework."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from mindport.adapters.base import adapter_for, framework_tensor, is_network
from mindport.adapters.torch import TorchAdapter
from mindport.errors import WrongTypeError


def test_torch_networks_have_an_adapter() -> None:
    assert isinstance(adapter_for(torch.nn.Linear(1, 1)), TorchAdapter)
    assert is_network(torch.nn.Module())


@pytest.mark.parametrize("other", ["", None, 1, {}, torch.ones(1), torch.nn.Linear, object()])
def test_anything_else_is_no_network(other: Any) -> None:
    assert not is_network(other)
    with pytest.raises(WrongTypeError, match=r"torch\.nn\.Module"):
        adapter_for(other)


def test_only_torch_tensors_are_framework_tensors() -> None:
    found = framework_tensor("w", torch.ones(2, 3))
    assert found is not None
    assert (found.name, found.shape, found.dtype.name) == ("w", (2, 3), "float32")
    assert framework_tensor("w", np.ones(2)) is None
    assert framework_tensor("w", 1.0) is None


def test_asking_does_not_import_torch() -> None:
    code = (
        "import sys; from mindport.adapters.base import framework_tensor, is_network;"
        "print(is_network(1), framework_tensor('w', 1), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None", "False"]
