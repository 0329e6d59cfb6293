"""Names and layouts for a live PyTorch network: what each parameter is called in the equivalent MindSpore Cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mindport.errors import MatchError, UsageError, WrongTypeError
from mindport.naming.layers import LAYERS, SAME_NAMES, Layer, P
from mindport.tensors import ArrayRef, Tensor, as_ref

__all__ = ["Entry", "MapReport", "NameMap", "map_names"]

Target = Literal["nn", "mint"]


@dataclass(frozen=True)
class Entry:
    """One parameter on both sides.

    Attributes:
        torch: name in the PyTorch state dict; empty when only the Cell has it.
        mindspore: name in the MindSpore network; empty when only PyTorch has it.
        layer: PyTorch class of the layer that owns it.
        shape: shape on the PyTorch side (of the Cell's parameter when only the Cell has it).
        insert_axis: axis of length 1 that MindSpore's shape has in addition.
        fill: constant for a parameter that only the Cell has.
        assumed: True when no rule covers the layer's class and the name was kept.
    """

    torch: str
    mindspore: str
    layer: str
    shape: tuple[int, ...]
    insert_axis: int | None = None
    fill: float | None = None
    assumed: bool = False

    @property
    def mindspore_shape(self) -> tuple[int, ...]:
        """Shape on the MindSpore side."""
        if self.insert_axis is None:
            return self.shape
        return (*self.shape[: self.insert_axis], 1, *self.shape[self.insert_axis :])


@dataclass
class MapReport:
    """What a conversion did, name by name. Nothing happens that is not listed here.

    Attributes:
        renamed: (from, to) of parameters whose name changed.
        reshaped: (name, from shape, to shape).
        dropped: source names without a counterpart, with the reason.
        created: (name, value) of parameters the target needs and the source lacks.
        assumed: names kept unchanged because no rule covers the layer's class.
        aliases: (name, name it shares its values with): tied weights, stored once by MindSpore.
    """

    renamed: list[tuple[str, str]] = field(default_factory=list)
    reshaped: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    created: list[tuple[str, float]] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    aliases: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class NameMap:
    """All parameters of one network on both sides, in state dict order.

    Attributes:
        entries: one per parameter.
        aliases: PyTorch name -> the earlier name of the same (tied) parameter.
        target: ``"nn"`` or ``"mint"``.
    """

    entries: tuple[Entry, ...]
    aliases: Mapping[str, str]
    target: Target

    def mindspore_name(self, torch_name: str) -> str:
        """Returns the MindSpore name of a PyTorch parameter (of its first name when it is tied)."""
        name = self.aliases.get(torch_name, torch_name)
        for entry in self.entries:
            if entry.torch == name:
                return entry.mindspore
        raise UsageError(f"the network has no parameter {torch_name!r}")

    def to_mindspore(self, weights: Mapping[str, Any]) -> tuple[dict[str, Tensor], MapReport]:
        """Returns PyTorch `weights` (name → array or tensor) under MindSpore's names and layouts, and a report.

        Values are views of the given ones.

        Raises:
            MatchError: a parameter of the network is missing in `weights`, or its shape differs; all are listed.
        """
        report = MapReport(aliases=sorted(self.aliases.items()))
        problems: list[str] = []
        out: dict[str, Tensor] = {}
        for e in self.entries:
            if not e.torch:
                assert e.fill is not None
                out[e.mindspore] = Tensor(np.full(e.shape, e.fill, np.float32), name=e.mindspore)
                report.created.append((e.mindspore, e.fill))
                continue
            if e.torch not in weights:
                problems.append(f"{e.torch} is missing")
                continue
            if not e.mindspore:
                report.dropped.append((e.torch, f"{LAYERS[e.layer].cell} has no counterpart"))
                continue
            self._put(out, report, problems, e, weights[e.torch], to_mindspore=True)
        known = {e.torch for e in self.entries} | set(self.aliases)
        report.dropped += [(n, "the network has no such parameter") for n in weights if n not in known]
        if problems:
            raise MatchError("the weights do not fit the network: " + "; ".join(problems))
        return out, report

    def to_torch(self, weights: Mapping[str, Any]) -> tuple[dict[str, Tensor], MapReport]:
        """Returns MindSpore `weights` under PyTorch's names and layouts, tied names included, and a report.

        Raises:
            MatchError: a parameter of the network is missing in `weights`, or its shape differs; all are listed.
        """
        report = MapReport(aliases=sorted(self.aliases.items()))
        problems: list[str] = []
        out: dict[str, Tensor] = {}
        for e in self.entries:
            if not e.torch:
                if e.mindspore in weights:
                    report.dropped.append((e.mindspore, f"the PyTorch {e.layer} was built without it"))
                continue
            if (
                not e.mindspore
            ):  # num_batches_tracked: MindSpore does not count, PyTorch needs it only for momentum=None
                out[e.torch] = Tensor(np.zeros(e.shape, np.int64), name=e.torch)
                report.created.append((e.torch, 0.0))
                continue
            if e.mindspore not in weights:
                problems.append(f"{e.mindspore} (for {e.torch}) is missing")
                continue
            self._put(out, report, problems, e, weights[e.mindspore], to_mindspore=False)
        if problems:
            raise MatchError("the weights do not fit the network: " + "; ".join(problems))
        for alias, name in self.aliases.items():
            out[alias] = Tensor(out[name].numpy(), dtype=out[name].dtype, name=alias)
        known = {e.mindspore for e in self.entries}
        report.dropped += [(n, "the network has no such parameter") for n in weights if n not in known]
        return out, report

    def _put(
        self,
        out: dict[str, Tensor],
        report: MapReport,
        problems: list[str],
        e: Entry,
        value: Any,
        *,
        to_mindspore: bool,
    ) -> None:
        ref = as_ref(value)
        have, want = (e.shape, e.mindspore_shape) if to_mindspore else (e.mindspore_shape, e.shape)
        source, name = (e.torch, e.mindspore) if to_mindspore else (e.mindspore, e.torch)
        if ref.shape != have:
            problems.append(f"{source} has shape {ref.shape}, expected {have}")
            return
        array = ref.numpy() if have == want else ref.numpy().reshape(want)
        out[name] = Tensor(ArrayRef(name, array, ref.dtype))
        if source != name:
            report.renamed.append((source, name))
        if have != want:
            report.reshaped.append((name, have, want))
        if e.assumed:
            report.assumed.append(source)


def map_names(network: Any, *, target: Target = "nn") -> NameMap:
    """Returns the parameters of a PyTorch network with their MindSpore names, decided by module structure.

    Args:
        network: a `torch.nn.Module`.
        target: ``"nn"`` for networks of `mindspore.nn` Cells, ``"mint"`` for `mindspore.mint.nn` (PyTorch's names).

    Raises:
        WrongTypeError: `network` is no PyTorch module.
        UsageError: unknown target.
    """
    if not hasattr(network, "named_modules") or not hasattr(network, "state_dict"):
        raise WrongTypeError(f"a PyTorch network is needed, not {type(network).__name__}")
    if target not in ("nn", "mint"):
        raise UsageError(f"target must be 'nn' or 'mint', not {target!r}")
    first_name: dict[int, str] = {}
    aliases: dict[str, str] = {}
    entries: list[Entry] = []
    modules = dict(network.named_modules(remove_duplicate=False))
    kinds = {path: _kind(m) for path, m in modules.items()}
    for path, module in modules.items():
        ms_path = path if target == "mint" else _mindspore_path(path, kinds)
        for entry, value in _own(module, kinds[path], path, ms_path, target):
            key = id(value)
            if entry.torch and value is not None and key in first_name:
                aliases[entry.torch] = first_name[key]
                continue
            if entry.torch and value is not None:
                first_name[key] = entry.torch
            entries.append(entry)
    order = {name: i for i, name in enumerate(network.state_dict())}
    entries.sort(key=lambda e: order.get(e.torch, -1) if e.torch else _anchor(e, entries, order))
    _check_unique(entries)
    return NameMap(tuple(entries), aliases, target)


def _kind(module: Any) -> str:
    """Name of the most derived class that the table knows (a subclass of Conv2d is a Conv2d), else its own."""
    for cls in type(module).__mro__:
        if cls.__module__.startswith("torch.") and (cls.__name__ in LAYERS or cls.__name__ in SAME_NAMES):
            return str(cls.__name__)
    return type(module).__name__


def _mindspore_path(path: str, kinds: Mapping[str, str]) -> str:
    parts = path.split(".") if path else []
    out = []
    for i, part in enumerate(parts):
        owner = LAYERS.get(kinds[".".join(parts[:i])])
        out.append(owner.children.get(part, part) if owner else part)
    return ".".join(out)


def _own(module: Any, kind: str, path: str, ms_path: str, target: Target) -> Iterator[tuple[Entry, Any]]:
    layer = LAYERS.get(kind)
    rules = {p.torch: p for p in layer.params} if layer else {}
    skipped = getattr(module, "_non_persistent_buffers_set", ())
    present = {n: v for n, v in module._parameters.items() if v is not None}
    present |= {n: v for n, v in module._buffers.items() if v is not None and n not in skipped}
    for name, value in present.items():
        full, shape = _join(path, name), tuple(value.shape)
        if target == "mint":
            yield Entry(full, full, kind, shape), value
        elif layer and name in layer.drop:
            yield Entry(full, "", kind, shape), value
        else:
            rule = rules.get(name, P(name, name))
            assumed = layer is None
            yield Entry(full, _join(ms_path, rule.mindspore), kind, shape, rule.insert_axis, None, assumed), value
    if layer and target == "nn":
        for rule in layer.params:
            if rule.fill is not None and rule.torch not in present:
                yield (
                    Entry("", _join(ms_path, rule.mindspore), kind, _filled_shape(module, layer), None, rule.fill),
                    None,
                )


def _filled_shape(module: Any, layer: Layer) -> tuple[int, ...]:
    value = getattr(module, layer.filled_shape)
    return tuple(value) if isinstance(value, (tuple, list)) else (int(value),)


def _anchor(e: Entry, entries: list[Entry], order: Mapping[str, int]) -> int:
    """Places a parameter that only the Cell has behind the last one of the same layer."""
    owner = e.mindspore.rpartition(".")[0]
    same = [order.get(x.torch, -1) for x in entries if x.torch and x.mindspore.rpartition(".")[0] == owner]
    return max(same, default=len(order))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _check_unique(entries: list[Entry]) -> None:
    seen: dict[str, str] = {}
    for e in entries:
        if not e.mindspore:
            continue
        if e.mindspore in seen:
            raise MatchError(f"{e.torch} and {seen[e.mindspore]} would both be called {e.mindspore} in MindSpore")
        seen[e.mindspore] = e.torch
