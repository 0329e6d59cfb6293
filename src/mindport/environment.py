"""Which optional dependencies are here, whether they import, and what works with them."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from mindport import __version__
from mindport.extras import EXTRA_OF, available
from mindport.results import Record

PROBE_TIMEOUT_S = 120

# Imported in a process of its own: a broken installation may raise, hang or crash. Prints one JSON object.
_PROBE = """
import importlib, json, sys
sys.path[:] = [p for p in sys.path if p]  # never a module of the current folder
module = importlib.import_module(sys.argv[1])
found = []
if sys.argv[1] == "torch":
    try:
        import torch_npu
    except ImportError:
        pass
    accelerator = getattr(module, "accelerator", None)
    if accelerator is not None and accelerator.is_available():
        kind = accelerator.current_accelerator().type
        names = getattr(getattr(module, kind, None), "get_device_name", None)
        for i in range(accelerator.device_count()):
            found.append(f"{kind}:{i}" + (f" {names(i)}" if names else ""))
print(json.dumps({"accelerators": found}))
"""

# distribution names that differ from the import name
_DISTRIBUTION = {"onnx_ir": "onnx-ir", "sklearn": "scikit-learn"}

# what a user wants to do -> the modules it takes
CAPABILITIES: dict[str, tuple[str, ...]] = {
    "inspect, verify and convert weight files": ("numpy", "ml_dtypes", "xxhash"),
    "train, save, load and resume PyTorch networks": ("torch",),
    "inspect, verify and convert ONNX, MINDIR and AIR files": ("onnx", "onnx_ir"),
    "export PyTorch networks to ONNX, MINDIR and AIR": ("torch", "onnx", "onnx_ir", "onnxscript"),
    "prove models by running them in ONNX Runtime": ("onnx", "onnx_ir", "onnxruntime"),
    "prove MINDIR files by running them in MindSpore": ("mindspore",),
    "run the demo": ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "sklearn", "rich"),
}


@dataclass(frozen=True)
class Dependency:
    """One package.

    Attributes:
        name: import name.
        version: installed version, or None when absent.
        works: True if it imports, False if it does not, None when that was not tried.
        problem: why it does not import.
        install: the command that installs it; empty for what is always there.
    """

    name: str
    version: str | None
    works: bool | None
    problem: str = ""
    install: str = ""


@dataclass(frozen=True)
class Capability:
    """Something mindport does, whether it can here, and the modules that are missing for it."""

    what: str
    ready: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Environment(Record):
    """The result of `environment`."""

    mindport: str
    python: str
    platform: str
    dependencies: tuple[Dependency, ...]
    capabilities: tuple[Capability, ...]
    accelerators: tuple[str, ...]


def environment(*, probe: bool = True) -> Environment:
    """Returns versions, optional dependencies, what works with them, and the accelerators PyTorch sees.

    Args:
        probe: import each dependency in a process of its own to see that it works (seconds for the large ones);
            False looks only whether it is installed and leaves `works` and `accelerators` unknown.
    """
    names = ("numpy", "ml_dtypes", "xxhash", "click", *EXTRA_OF)
    accelerators: list[str] = []
    dependencies = tuple(_look_at(name, probe, accelerators) for name in names)
    usable = {d.name for d in dependencies if d.version is not None and d.works is not False}
    capabilities = []
    for what, needed in CAPABILITIES.items():
        missing = tuple(n for n in needed if n not in usable)
        capabilities.append(Capability(what, not missing, missing))
    return Environment(
        mindport=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        dependencies=dependencies,
        capabilities=tuple(capabilities),
        accelerators=tuple(accelerators),
    )


def _look_at(name: str, probe: bool, accelerators: list[str]) -> Dependency:
    extra = EXTRA_OF.get(name)
    install = f"pip install 'mindport[{extra}]'" if extra else ""
    if not available(name):
        return Dependency(name, None, None, install=install)
    try:
        version = importlib.metadata.version(_DISTRIBUTION.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"  # importable without metadata, such as a source checkout on the path
    if not probe:
        return Dependency(name, version, None, install=install)
    answer, problem = _probe(name)
    accelerators.extend(answer.get("accelerators", ()))
    return Dependency(name, version, not problem, problem, install)


def _probe(name: str) -> tuple[dict[str, Any], str]:
    """Imports a module in a fresh interpreter; returns what it printed and, if it failed, why."""
    command = [sys.executable, "-c", _PROBE, name]
    try:
        # our own interpreter, a fixed script, a name from a constant table
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=PROBE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return {}, f"its import did not end within {PROBE_TIMEOUT_S} s"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer, ""
    if done.returncode < 0:
        return {}, f"its import died by signal {-done.returncode}"
    errors = done.stderr.strip().splitlines()
    return {}, errors[-1] if errors else f"its import ended with code {done.returncode}"
