"""Optional dependencies: one place that imports them and one message when they are missing."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from mindport.errors import MissingExtra

# import name -> extra that brings it
EXTRA_OF = {
    "torch": "torch",
    "onnx": "onnx",
    "onnx_ir": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "export",
    "mindspore": "mindspore",
    "rich": "cli",
    "sklearn": "demo",
    "cryptography": "crypto",
}


def available(module: str) -> bool:
    """True if `module` can be imported; does not import it."""
    return importlib.util.find_spec(module) is not None


def load(module: str, what_for: str) -> ModuleType:
    """Imports and returns a module of mindport whose own imports need optional dependencies.

    Raises:
        MissingExtra: one of them is not installed; the message holds the install line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing in EXTRA_OF:
            need(missing, what_for)
        raise


def need(module: str, what_for: str = "") -> ModuleType:
    """Imports and returns `module`.

    Raises:
        MissingExtra: it is not installed; the message holds the install line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        root = module.partition(".")[0]
        if exc.name is None or exc.name.partition(".")[0] != root:
            raise
        extra = EXTRA_OF.get(root, root)
        purpose = f" for {what_for}" if what_for else ""
        raise MissingExtra(
            f"{root} is needed{purpose} and is not installed; run: pip install 'mindport[{extra}]'", name=root
        ) from exc
