"""What a PyTorch training run consists of beside its weights: random numbers, optimizer, scheduler, scaler."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

from mindport.adapters.torch import to_torch, unwrapped
from mindport.errors import StateMismatch, Unsupported, WrongTypeError
from mindport.extras import need
from mindport.tensors import TensorRef

__all__ = [
    "check_optimizer",
    "check_optimizer_state",
    "check_scaler",
    "check_scheduler",
    "compact",
    "kind_of",
    "load_optimizer",
    "make_tensor",
    "parameter_names",
    "parameter_shapes",
    "random_problems",
    "random_state",
    "set_random_state",
]


def make_tensor(ref: TensorRef) -> Any:
    """Returns a stored tensor as a CPU torch tensor with memory of its own."""
    return to_torch(np.array(ref.numpy()), ref.dtype).reshape(ref.shape)


def _accelerator() -> tuple[str, Any]:
    """Returns the accelerator's name and torch's module for it, or ("", None) on a machine without one."""
    torch = need("torch")
    if not torch.accelerator.is_available():
        return "", None
    name = torch.accelerator.current_accelerator().type
    return name, torch.get_device_module(name)


def random_state(generators: dict[str, Any]) -> dict[str, Any]:
    """Returns the state of every random number generator in use: Python, NumPy if loaded, torch, accelerators.

    Args:
        generators: the data loader's own torch generators, by a name for messages.
    """
    torch = need("torch")
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy.random" in sys.modules:
        state["numpy"] = np.random.get_state(legacy=False)
    name, device = _accelerator()
    if device is not None:
        if hasattr(device, "get_rng_state_all"):
            state[name] = list(device.get_rng_state_all())
        else:
            state[name] = [device.get_rng_state()]
    if generators:
        state["generators"] = {label: g.get_state() for label, g in generators.items()}
    return state


def compact(state: dict[str, Any]) -> dict[str, Any]:
    """Returns a random state in a form that takes little room in a file (`random_state` itself has to be fast)."""
    if not state:
        return state
    version, words, gauss = state["python"]
    return state | {"python": (version, np.asarray(words, np.uint32), gauss)}


def random_problems(state: dict[str, Any], generators: dict[str, Any]) -> list[str]:
    """Returns why a random state cannot be put back in this process, in words; an empty list when it can."""
    now = random_state({})
    sound = len(state["python"]) == 3 and len(state["python"][1]) == len(now["python"][1])
    problems = [] if sound else ["random state: Python's generator is of another version"]
    if getattr(state["torch"], "shape", None) != now["torch"].shape:
        problems.append("random state: torch's generator is of another version")
    here, there = now.get("numpy", {}).get("bit_generator"), state.get("numpy", {}).get("bit_generator")
    if here is not None and there is not None and here != there:
        problems.append(f"random state: NumPy's generator was {there}, here it is {here}")
    name, device = _accelerator()
    saved_devices = {k: len(v) for k, v in state.items() if k not in ("python", "numpy", "torch", "generators")}
    devices: dict[str, int] = {}
    if device is not None:
        devices[name] = device.device_count() if hasattr(device, "get_rng_state_all") else 1
    if saved_devices != devices:
        problems.append(
            f"random state: the checkpoint was saved with accelerators {saved_devices or 'none'}, here are "
            f"{devices or 'none'}; their random numbers cannot be restored exactly"
        )
    saved = state.get("generators", {})
    if set(saved) != set(generators):
        problems.append(
            f"random state: the checkpoint has the data generators {sorted(saved) or 'none'}, the data loader has "
            f"{sorted(generators) or 'none'}"
        )
    return problems


def set_random_state(state: dict[str, Any], generators: dict[str, Any]) -> None:
    """Puts back what `random_state` returned, in a process for which `random_problems` finds none."""
    torch = need("torch")
    version, words, gauss = state["python"]
    random.setstate((version, tuple(int(word) for word in words), gauss))
    torch.set_rng_state(state["torch"])
    if "numpy" in state:
        np.random.set_state(state["numpy"])
    name, device = _accelerator()
    if device is not None:
        if hasattr(device, "set_rng_state_all"):
            device.set_rng_state_all(state[name])
        else:
            device.set_rng_state(state[name][0])
    for label, generator in generators.items():
        generator.set_state(state["generators"][label])


def check_optimizer(optimizer: Any) -> None:
    """Refuses what the training loop cannot drive.

    Raises:
        WrongTypeError: no torch optimizer.
        Unsupported: L-BFGS, which wants to run the network itself.
    """
    torch = need("torch")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise WrongTypeError(f"optimizer must be a torch.optim.Optimizer, not {type(optimizer).__name__}")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise Unsupported("LBFGS evaluates the network several times a step; Model.train drives one-step optimizers")


def parameter_names(optimizer: Any, network: Any) -> list[str | None]:
    """Returns the name in the network of each parameter, in the optimizer's order; None for one of elsewhere."""
    names = {id(parameter): name for name, parameter in unwrapped(network).named_parameters(remove_duplicate=False)}
    return [names.get(id(p)) for group in optimizer.param_groups for p in group["params"]]


def parameter_shapes(optimizer: Any) -> list[list[int]]:
    """Returns the shape of each parameter, in the optimizer's order."""
    return [[int(size) for size in p.shape] for group in optimizer.param_groups for p in group["params"]]


def kind_of(part: Any) -> str:
    """Returns the class of an optimizer, scheduler, scaler or loss, with those of the schedulers that it combines.

    The name alone, without its module: a class that moved to another file is still the same.
    """
    name = type(part).__name__
    inner = getattr(part, "_schedulers", None)  # of SequentialLR and ChainedScheduler
    return f"{name}({', '.join(kind_of(i) for i in inner)})" if isinstance(inner, (list, tuple)) else name


def check_optimizer_state(optimizer: Any, state: dict[str, Any]) -> list[str]:
    """Returns why `state` does not fit `optimizer`, in words; an empty list when it does.

    What an optimizer keeps for a parameter may have any shape (Adafactor keeps a row and a column of it), so shapes
    are compared between the parameters themselves; see `parameter_shapes`.
    """
    problems: list[str] = []
    saved, groups = state["param_groups"], optimizer.param_groups
    if len(saved) != len(groups):
        return [f"optimizer: {len(saved)} parameter groups in the checkpoint, {len(groups)} here"]
    for i, (old, new) in enumerate(zip(saved, groups, strict=True)):
        if len(old["params"]) != len(new["params"]):
            count = f"{len(old['params'])} parameters in the checkpoint, {len(new['params'])} here"
            problems.append(f"optimizer: group {i} has {count}")
            continue
        other = sorted((set(old) ^ set(new)) - {"params", "initial_lr", "param_names"})
        if other:
            problems.append(f"optimizer: group {i} has other options ({', '.join(other)}); is it another optimizer?")
    return problems


def load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """Gives the optimizer its state back, with the dtypes it was saved with.

    Raises:
        StateMismatch: it is the state of another optimizer; `optimizer` is unchanged.
    """
    torch = need("torch")
    problems = check_optimizer_state(optimizer, state)
    if problems:
        raise StateMismatch("\n".join(problems))
    optimizer.load_state_dict(state)
    # load_state_dict casts state to the parameter's dtype; what was saved in another one must come back in it
    order = [p for group in optimizer.param_groups for p in group["params"]]
    saved = [i for group in state["param_groups"] for i in group["params"]]
    for index, parameter in zip(saved, order, strict=True):
        for key, value in state["state"].get(index, {}).items():
            now = optimizer.state[parameter].get(key)
            if torch.is_tensor(value) and torch.is_tensor(now) and now.dtype != value.dtype:
                optimizer.state[parameter][key] = value.to(now.device)


def check_scheduler(scheduler: Any) -> None:
    """Refuses what the training loop cannot drive.

    Raises:
        WrongTypeError: no scheduler.
        Unsupported: a scheduler that waits for a metric.
    """
    torch = need("torch")
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise Unsupported("ReduceLROnPlateau needs a metric at each step; step it in a Callback of your own")
    if not all(callable(getattr(scheduler, name, None)) for name in ("step", "state_dict", "load_state_dict")):
        raise WrongTypeError(f"scheduler must be a torch.optim.lr_scheduler, not {type(scheduler).__name__}")


def check_scaler(scaler: Any) -> None:
    """Refuses what the training loop cannot drive.

    Raises:
        WrongTypeError: it is not like `torch.amp.GradScaler`.
    """
    methods = ("scale", "step", "update", "get_scale", "state_dict", "load_state_dict")
    if not all(callable(getattr(scaler, name, None)) for name in methods):
        raise WrongTypeError(f"scaler must be a torch.amp.GradScaler, not {type(scaler).__name__}")
