"""Optimizer state between PyTorch and MindSpore, for optimizers whose values are the same on both sides.

Measured on torch 2.13 and MindSpore 2.10: after equal steps the mapped values are equal to rounding, and training
goes on equally from a converted state (the tests repeat that). Where they are not, conversion is refused with the
reason, because a resumed run would silently take other steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mindport.errors import StateMismatch, Unsupported, UsageError
from mindport.naming.network import NameMap
from mindport.tensors import ArrayRef, Tensor, as_ref

__all__ = ["OPTIMIZERS", "OptimizerRule", "optimizer_to_mindspore", "optimizer_to_torch"]


@dataclass(frozen=True)
class OptimizerRule:
    """One PyTorch optimizer and the MindSpore optimizer with the same state.

    Attributes:
        torch: class name in `torch.optim`.
        mindspore: class in MindSpore.
        slots: PyTorch state key -> MindSpore name prefix (`{prefix}.{parameter}`).
        optional_slots: the same, present only with some options (amsgrad).
        glue: what joins prefix and parameter name.
        hyper: names of hyperparameters stored as 0-d Float32.
        betas: names under which beta1**step (and beta2**step) are stored, as Float32; empty when they are not.
        beta_rank: 0 for scalars, 1 for shape (1,).
        step: name of the step counter, Int32.
        step_rank: 0 for a scalar, 1 for shape (1,).
        learning_rate: whether the learning rate is a parameter.
        constants: further slots that PyTorch lacks, with the value a started run has.
    """

    torch: str
    mindspore: str
    slots: Mapping[str, str]
    optional_slots: Mapping[str, str] = field(default_factory=dict)
    glue: str = "."
    hyper: tuple[str, ...] = ()
    betas: tuple[str, ...] = ()
    beta_rank: int = 0
    step: str = "global_step"
    step_rank: int = 1
    learning_rate: bool = True
    constants: Mapping[str, float] = field(default_factory=dict)


OPTIMIZERS: dict[str, OptimizerRule] = {
    "Momentum": OptimizerRule("SGD", "nn.Momentum", {"momentum_buffer": "moments"}, hyper=("momentum",)),
    "SGD": OptimizerRule("SGD", "nn.SGD", {"momentum_buffer": "accum"}, hyper=("momentum",), constants={"stat": 0.0}),
    "Adam": OptimizerRule(
        "Adam",
        "nn.Adam",
        {"exp_avg": "moment1", "exp_avg_sq": "moment2"},
        {"max_exp_avg_sq": "vhat"},
        betas=("beta1_power", "beta2_power"),
    ),
    "AdamW": OptimizerRule(
        "AdamW",
        "experimental.optim.AdamW",
        {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"},
        {"max_exp_avg_sq": "max_exp_avg_sq"},
        step="state_step",
        step_rank=0,
        learning_rate=False,
        constants={"max_exp_avg_sq": 0.0},  # kept by MindSpore without amsgrad too
    ),
    "Adagrad": OptimizerRule("Adagrad", "nn.Adagrad", {"sum": "accum"}),
    "Adadelta": OptimizerRule("Adadelta", "nn.Adadelta", {"square_avg": "accum", "acc_delta": "accum_update"}),
    "Adamax": OptimizerRule(
        "Adamax", "nn.AdaMax", {"exp_avg": "moment1", "exp_inf": "moment2"}, betas=("beta1_power",), beta_rank=1
    ),
    "Rprop": OptimizerRule("Rprop", "nn.Rprop", {"prev": "prev", "step_size": "step_size"}),
}

_REFUSED = {
    "RMSprop": "MindSpore's RMSProp starts its mean square at 1 instead of 0 and adds epsilon elsewhere",
    "NAdam": "its step is computed differently in MindSpore",
    "RAdam": "its step is computed differently in MindSpore",
    "ASGD": "MindSpore's ASGD keeps mu and eta per element, PyTorch one number per parameter",
    "LBFGS": "MindSpore has no such optimizer",
    "SparseAdam": "MindSpore's LazyAdam updates differently",
    "Adafactor": "MindSpore's AdaFactor keeps other factors",
}
_WRONG_TARGET = {
    ("AdamW", "AdamWeightDecay"): "nn.AdamWeightDecay has no bias correction; use experimental.optim.AdamW",
}


def _rule(optimizer: Any, target: str | None) -> OptimizerRule:
    kind = type(optimizer).__name__
    if (kind, target) in _WRONG_TARGET:
        raise Unsupported(f"the state of {kind} does not fit {target}: {_WRONG_TARGET[kind, target or '']}")
    nesterov = kind == "SGD" and any(g["nesterov"] for g in optimizer.param_groups)
    key = target or ("SGD" if nesterov else "Momentum" if kind == "SGD" else kind)
    if kind in _REFUSED:
        raise Unsupported(f"the state of {kind} has no equal in MindSpore: {_REFUSED[kind]}")
    rule = OPTIMIZERS.get(key)
    if rule is None or rule.torch != kind:
        fits = sorted(k for k, r in OPTIMIZERS.items() if r.torch == kind)
        hint = f"; {kind} fits: {', '.join(fits)}" if fits else ""
        raise Unsupported(f"the state of PyTorch's {kind} cannot become that of MindSpore's {key}{hint}")
    if nesterov and key == "Momentum":
        raise Unsupported("Nesterov momentum: MindSpore's nn.Momentum takes another step; use target='SGD' (nn.SGD)")
    return rule


def _groups(optimizer: Any, names: NameMap, network: Any) -> list[tuple[Any, str, Any]]:
    """(parameter, MindSpore name, its group) in optimizer order."""
    by_id: dict[int, str] = {}
    for name, p in network.named_parameters(remove_duplicate=False):
        by_id.setdefault(id(p), name)
    out = []
    for group in optimizer.param_groups:
        for p in group["params"]:
            if id(p) not in by_id:
                raise StateMismatch("the optimizer updates a parameter that the network does not have")
            out.append((p, names.mindspore_name(by_id[id(p)]), group))
    return out


def _shared(groups: list[dict[str, Any]], what: str) -> Any:
    values = {repr(g[what]): g[what] for g in groups}
    if len(values) > 1:
        raise Unsupported(
            f"parameter groups with different {what} ({', '.join(values)}): MindSpore stores one; "
            "convert the network only, or use one group"
        )
    return next(iter(values.values()))


def optimizer_to_mindspore(
    optimizer: Any, names: NameMap, network: Any, *, target: str | None = None
) -> dict[str, Tensor]:
    """Returns the state of a PyTorch optimizer as MindSpore's optimizer parameters, ready for one `.ckpt`.

    Args:
        optimizer: a `torch.optim.Optimizer` of `network`.
        names: the result of `map_names(network)`.
        network: the PyTorch network.
        target: MindSpore optimizer (a key of `OPTIMIZERS`); the default is the one with equal steps
            (SGD → Momentum, with Nesterov → SGD).

    Raises:
        Unsupported: no MindSpore optimizer continues equally; the message says why.
        StateMismatch: the optimizer does not belong to the network.
    """
    rule = _rule(optimizer, target)
    params = _groups(optimizer, names, network)
    steps = {int(s["step"]) for p, _, _ in params if "step" in (s := optimizer.state.get(p, {}))}
    if len(steps) > 1:
        raise Unsupported(f"parameters at different steps ({sorted(steps)}): MindSpore counts one step for all")
    step = steps.pop() if steps else 0
    out: dict[str, Tensor] = {}

    def put(name: str, array: Any, dtype: Any) -> None:
        out[name] = Tensor(ArrayRef(name, np.asarray(array, dtype=dtype)))

    put(rule.step, step if rule.step_rank == 0 else [step], np.int32)
    if rule.learning_rate:
        put("learning_rate", _shared(optimizer.param_groups, "lr"), np.float32)
    for hyper in rule.hyper:
        put(hyper, _shared(optimizer.param_groups, hyper), np.float32)
    if rule.betas:
        betas = _shared(optimizer.param_groups, "betas")
        for name, beta in zip(rule.betas, betas, strict=False):
            power = np.float32(beta) ** np.float32(step)
            put(name, power if rule.beta_rank == 0 else [power], np.float32)
    for torch_slot, prefix in {**rule.slots, **rule.optional_slots}.items():
        for p, ms_name, _ in params:
            state = optimizer.state.get(p, {})
            value = state.get(torch_slot)
            name = f"{prefix}{rule.glue}{ms_name}"
            if value is None:
                if torch_slot in rule.optional_slots:
                    continue
                value = np.zeros(tuple(p.shape), np.float32)  # not stepped yet: both sides start at zero
            ref = as_ref(value, name)
            out[name] = Tensor(ArrayRef(name, _layout(ref.numpy(), names, ms_name), ref.dtype))
    for prefix, constant in rule.constants.items():
        for p, ms_name, _ in params:
            name = f"{prefix}{rule.glue}{ms_name}"
            if name in out:
                continue
            put(name, np.full(_layout(np.empty(tuple(p.shape)), names, ms_name).shape, constant), np.float32)
    return out


def _layout(array: np.ndarray[Any, Any], names: NameMap, ms_name: str) -> np.ndarray[Any, Any]:
    for e in names.entries:
        if e.mindspore == ms_name:
            return array.reshape(e.mindspore_shape)
    raise UsageError(f"the network has no parameter {ms_name!r}")


def optimizer_to_torch(
    optimizer: Any, weights: Mapping[str, Any], names: NameMap, network: Any, *, target: str | None = None
) -> dict[str, Any]:
    """Returns a PyTorch optimizer `state_dict` made of MindSpore optimizer parameters.

    The hyperparameters stay those of `optimizer`, except the learning rate when MindSpore stored it. Tensors in the
    result are NumPy arrays; the caller makes torch tensors of them.

    Raises:
        Unsupported: no MindSpore optimizer continues equally.
        StateMismatch: names are missing in `weights` or have other shapes; all are listed.
    """
    rule = _rule(optimizer, target)
    params = _groups(optimizer, names, network)
    problems: list[str] = []
    step = _scalar(weights, rule.step, problems)
    state: dict[int, dict[str, Any]] = {}
    shape_of = {e.mindspore: e.shape for e in names.entries}
    for index, (_, ms_name, _) in enumerate(params):
        slots: dict[str, Any] = {}
        for torch_slot, prefix in {**rule.slots, **rule.optional_slots}.items():
            name = f"{prefix}{rule.glue}{ms_name}"
            if name not in weights:
                if torch_slot not in rule.optional_slots:
                    problems.append(f"{name} is missing")
                continue
            array = as_ref(weights[name]).numpy()
            if array.size != int(np.prod(shape_of[ms_name])):
                problems.append(f"{name} has shape {array.shape}, the parameter {shape_of[ms_name]}")
                continue
            slots[torch_slot] = array.reshape(shape_of[ms_name])
        if rule.torch != "SGD":
            slots["step"] = np.float32(step)
        state[index] = slots
    if problems:
        raise StateMismatch("the optimizer state does not fit: " + "; ".join(problems))
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    first = 0
    for group, live in zip(groups, optimizer.param_groups, strict=True):
        group["params"] = list(range(first, first + len(live["params"])))
        first += len(live["params"])
        if rule.learning_rate and "learning_rate" in weights and as_ref(weights["learning_rate"]).shape in ((), (1,)):
            group["lr"] = float(as_ref(weights["learning_rate"]).numpy().reshape(()))
    return {"state": state, "param_groups": groups}


def _scalar(weights: Mapping[str, Any], name: str, problems: list[str]) -> int:
    if name not in weights:
        problems.append(f"{name} is missing")
        return 0
    return int(as_ref(weights[name]).numpy().reshape(-1)[0])
