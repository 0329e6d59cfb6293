"""What the rest of mindport asks of a framework, and how the adapter of an object is found.

A framework is never imported to answer that: an object can only belong to a framework that is already loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from mindport.errors import WrongTypeError
from mindport.tensors import TensorRef

__all__ = ["NetworkAdapter", "adapter_for", "framework_tensor", "is_network"]


class NetworkAdapter(Protocol):
    """One framework's networks."""

    def weights(self, net: Any) -> dict[str, TensorRef]:
        """Returns parameters and buffers as live views, in the framework's order; tied tensors once."""

    def aliases(self, net: Any) -> dict[str, str]:
        """Returns the further names of tied tensors: name -> the name in `weights` of the same tensor."""

    def assign(self, net: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Copies arrays of the right shape and dtype into the network's own memory."""


def is_network(obj: Any) -> bool:
    """True if `obj` is a network of a framework that mindport has an adapter for."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


def adapter_for(net: Any) -> NetworkAdapter:
    """Returns the adapter of a network.

    Raises:
        WrongTypeError: it is no `torch.nn.Module`.
    """
    if not is_network(net):
        raise WrongTypeError(f"the network must be a torch.nn.Module, not {type(net).__module__}.{type(net).__name__}")
    from mindport.adapters.torch import TorchAdapter

    return TorchAdapter()


def framework_tensor(name: str, value: Any) -> TensorRef | None:
    """Returns a framework's tensor as a TensorRef that views it, or None if `value` is none."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return None
    from mindport.adapters.torch import TorchRef

    return TorchRef(name, value)
