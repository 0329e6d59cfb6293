"""Which stored tensor goes where: by name, then shape and dtype; decided for all before anything is assigned.

Rules, after MindSpore's `load_param_into_net` without its faults:

- Shapes must be equal, except that a stored shape may have more dimensions of size 1 at its end.
- With `strict` dtypes must be equal. Otherwise a float type may become another one, and a signed integer another one,
  if every value still fits; anything else is a mismatch.
- If some names of the network are not found and not `strict`, a wrapper's prefix on all names of one side is taken off
  (``module.``, ``_orig_mod.``, ``_backbone.``, ``network.``), then a prefix before the names still missing is looked
  for (``backbone.fc.weight`` for ``fc.weight``; whole components only). The report says what was done.
- Tied tensors need one of their names; two of them must hold the same values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mindport.dtypes import DType
from mindport.errors import MatchError, printable
from mindport.naming.repair import Suggestion, did_you_mean, mindspore_named, strip_prefixes
from mindport.tensors import TensorRef

__all__ = ["Converted", "Match", "Mismatched", "match"]

_MOST_HINTS = 20  # missing names for which similar ones are looked for, among
_MOST_COMPARED = 2000  # so many: comparing texts is slow
_MINDSPORE_HINT = (
    "the checkpoint has MindSpore's names; mindport.naming.network.map_names(net).to_torch(parameters) gives PyTorch's"
)

_FLOATS = ("float16", "float32", "float64", "bfloat16")
_INTEGERS = ("int8", "int16", "int32", "int64")


@dataclass(frozen=True)
class Converted:
    """A tensor that was stored with another dtype or shape."""

    name: str
    stored: str
    wanted: str


@dataclass(frozen=True)
class Mismatched:
    """A tensor that does not fit the network's of that name."""

    name: str
    reason: str


@dataclass(frozen=True)
class Match:
    """What goes where. Iterating gives `(missing, unexpected)`, as `load_param_into_net` returns them.

    Attributes:
        missing: names of the network that the checkpoint lacks, in the network's order.
        unexpected: names of the checkpoint that the network has no use for, in file order.
        loaded: names of the network that get a value.
        converted: those whose stored dtype or shape differs.
        renamed: name in the checkpoint -> name in the network, for those found under a prefix.
        mismatched: names of the network whose stored tensor does not fit. Never in a report that is returned: then
            `MatchError` is raised, and this report is its `report`.
        repairs: which prefixes were taken off, in words.
        suggestions: missing names, and unexpected ones of the same size that look like them.
        hints: what else may be wrong with the names.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    loaded: tuple[str, ...] = ()
    converted: tuple[Converted, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    mismatched: tuple[Mismatched, ...] = ()
    repairs: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    hints: tuple[str, ...] = ()

    def warnings(self) -> list[str]:
        """Returns, in words, what somebody who expected all names to match should know."""
        lines = list(self.repairs)
        if self.missing:
            lines.append(
                f"{len(self.missing)} parameter(s) of the network are not in the checkpoint: {_few(self.missing)}"
            )
            lines += [f"for {printable(s.missing)}, did you mean {_few(s.candidates)}?" for s in self.suggestions]
        return lines + list(self.hints)

    @property
    def param_not_load(self) -> list[str]:
        """`missing`, by MindSpore's name."""
        return list(self.missing)

    @property
    def ckpt_not_load(self) -> list[str]:
        """`unexpected`, by MindSpore's name."""
        return list(self.unexpected)

    def __iter__(self) -> Iterator[list[str]]:
        return iter((self.param_not_load, self.ckpt_not_load))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> list[str]:
        return (self.param_not_load, self.ckpt_not_load)[index]


def match(
    wanted: Mapping[str, TensorRef],
    given: Mapping[str, TensorRef],
    *,
    aliases: Mapping[str, str] | None = None,
    strict: bool = False,
) -> tuple[Match, dict[str, np.ndarray[Any, Any]]]:
    """Returns the report and, by name of the network, arrays of exactly its shapes and dtypes (views where possible).

    Args:
        wanted: the network's tensors.
        given: the stored tensors.
        aliases: further names of tied tensors of the network -> their name in `wanted`.
        strict: convert nothing and take off no prefix.

    Raises:
        MatchError: shapes, dtypes or tied values do not fit; all problems are listed.
    """
    aliases = aliases or {}
    sources, repairs = _sources(wanted, given, aliases, strict=strict)
    problems: list[Mismatched] = []
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    converted: list[Converted] = []
    for name, source in sources.items():
        target = aliases.get(name, name)
        fitted, problem = _fit(given[source], wanted[target], strict=strict)
        if fitted is None:
            problems.append(Mismatched(name, problem))
            continue
        if problem:
            converted.append(Converted(name, _describe(given[source]), _describe(wanted[target])))
        if target in arrays and not _equal(arrays[target], fitted):
            problems.append(Mismatched(name, f"is tied to {printable(target)}, but the stored values differ"))
        arrays.setdefault(target, fitted)
    used, found = set(sources.values()), {aliases.get(name, name) for name in sources}
    missing = {name: ref.shape for name, ref in wanted.items() if name not in found}
    unexpected = {name: ref.shape for name, ref in given.items() if name not in used}
    report = Match(
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        loaded=() if problems else tuple(arrays),
        converted=tuple(converted),
        renamed={source: name for name, source in sources.items() if source != name},
        mismatched=tuple(problems),
        repairs=tuple(repairs),
        suggestions=tuple(_suggestions(missing, unexpected)),
        hints=(_MINDSPORE_HINT,) if missing and mindspore_named(unexpected) else (),
    )
    if problems:
        raise _mismatch(report)
    return report, arrays


def _mismatch(report: Match) -> MatchError:
    lines = [f"  {printable(p.name)}: {p.reason}" for p in report.mismatched]
    lines += [f"  hint: {hint}" for hint in report.hints]
    error = MatchError(
        f"{len(report.mismatched)} parameter(s) do not fit the network; nothing was loaded:\n" + "\n".join(lines)
    )
    error.report = report
    return error


def _suggestions(missing: dict[str, tuple[int, ...]], unexpected: dict[str, tuple[int, ...]]) -> list[Suggestion]:
    return did_you_mean(
        dict(itertools.islice(missing.items(), _MOST_HINTS)), dict(itertools.islice(unexpected.items(), _MOST_COMPARED))
    )


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(printable(name) for name in names[:5]) + more


def _sources(
    wanted: Mapping[str, TensorRef], given: Mapping[str, TensorRef], aliases: Mapping[str, str], *, strict: bool
) -> tuple[dict[str, str], list[str]]:
    """Returns name in the network (aliases too) -> name in the checkpoint, and what was repaired to find them."""
    names = [*wanted, *aliases]
    sources = {name: name for name in names if name in given}
    have = {aliases.get(name, name) for name in sources}
    open_ = [name for name in names if aliases.get(name, name) not in have]
    if strict or not open_:
        return sources, []
    repairs, used = [], set(sources.values())
    for side, repaired, prefix in _repairs(names, given, open_, used):
        found = {name: source for name, source in repaired.items() if name not in sources and source not in used}
        if found:
            sources |= found
            repairs.append(
                f"took the prefix {printable(prefix)!r} off {len(found)} name(s) of the {side} to match them"
            )
    return sources, repairs


def _repairs(
    names: list[str], given: Mapping[str, TensorRef], open_: list[str], used: set[str]
) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yields `(whose names, name in the network -> name in the checkpoint, prefix)`, the surest repair first."""
    missing = set(open_)
    repair = strip_prefixes(given, names)
    if repair is not None:
        yield "checkpoint", {new: old for old, new in repair.names.items() if new in missing}, repair.removed
    repair = strip_prefixes(names, given)
    if repair is not None:
        yield "network", {n: new for n, new in repair.names.items() if n in missing and new in given}, repair.removed
    for prefix in _prefixes(open_, [name for name in given if name not in used]):
        yield "checkpoint", {name: prefix + name for name in open_ if prefix + name in given}, prefix


def _prefixes(names: list[str], free: list[str]) -> list[str]:
    """Returns the prefixes that stand before a missing name in the checkpoint, in file order, each once."""
    missing = set(names)
    found: dict[str, None] = {}
    for stored in free:
        parts = stored.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in missing:
                found.setdefault(".".join(parts[:cut]) + ".")
    return list(found)


def _fit(stored: TensorRef, wanted: TensorRef, *, strict: bool) -> tuple[np.ndarray[Any, Any] | None, str]:
    """Returns `(array, "")`, `(array, what was converted)`, or `(None, why it does not fit)`."""
    both = f"stored as {_describe(stored)}, the network has {_describe(wanted)}"
    more = stored.shape[len(wanted.shape) :]
    reshaped = stored.shape != wanted.shape
    if reshaped and not (stored.shape[: len(wanted.shape)] == wanted.shape and more and set(more) == {1}):
        return None, both
    if stored.dtype is wanted.dtype:
        return stored.numpy().reshape(wanted.shape), both if reshaped else ""
    family = next((f for f in (_FLOATS, _INTEGERS) if stored.dtype.name in f and wanted.dtype.name in f), None)
    if strict or family is None:
        return None, both
    array = stored.numpy().reshape(wanted.shape)
    if not _values_fit(array, wanted.dtype, integers=family is _INTEGERS):
        return None, f"{both}, which cannot hold all of its values"
    return array.astype(wanted.dtype.numpy), both


def _values_fit(array: np.ndarray[Any, Any], dtype: DType, *, integers: bool) -> bool:
    if not array.size:
        return True
    if integers:
        limits = np.iinfo(dtype.numpy)
        return int(array.min()) >= limits.min and int(array.max()) <= limits.max
    with np.errstate(over="ignore", invalid="ignore"):
        return bool((np.isfinite(array) == np.isfinite(array.astype(dtype.numpy))).all())


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def _describe(ref: TensorRef) -> str:
    return f"{ref.dtype.name} {tuple(ref.shape)}"
