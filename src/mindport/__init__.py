"""mindport: save a model once, run it anywhere.

Checkpoints for PyTorch in MindSpore's `.ckpt` format, exact resume, and exports to MindIR, AIR and ONNX that are
proved by running them. Names are imported on first use, so that `import mindport` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Tensor": "mindport.tensors",
    "Model": "mindport.train.model",
    "MindportError": "mindport.errors",
    "open": "mindport.api",
    "inspect": "mindport.api",
    "verify": "mindport.api",
    "convert": "mindport.api",
}

__all__ = ["MindportError", "Model", "Tensor", "__version__", "convert", "inspect", "open", "verify"]

if TYPE_CHECKING:
    from mindport.api import convert, inspect, open, verify  # noqa: A004 - the documented public name
    from mindport.errors import MindportError
    from mindport.tensors import Tensor
    from mindport.train.model import Model


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'mindport' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
