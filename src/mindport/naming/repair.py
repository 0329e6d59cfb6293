"""Two lists of parameter names without a network: prefixes that wrappers add, and what was probably meant.

Nothing is renamed silently: every function returns what it would do, and the caller reports it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["PREFIXES", "PrefixRepair", "Suggestion", "did_you_mean", "mindspore_named", "strip_prefixes"]

# who adds them: DataParallel/DDP, torch.compile, MindSpore's WithLossCell/TrainOneStepCell
PREFIXES = ("module.", "_orig_mod.", "_backbone.", "network.")


@dataclass(frozen=True)
class PrefixRepair:
    """A prefix on all names of one side that the other side does not have.

    Attributes:
        removed: prefix to take off the given names (all of it, e.g. ``"module._orig_mod."``).
        names: given name -> name after repair.
    """

    removed: str
    names: Mapping[str, str]


def strip_prefixes(given: Iterable[str], wanted: Iterable[str]) -> PrefixRepair | None:
    """Returns the repair that makes more `given` names match `wanted` ones, or None when none helps.

    Only the known wrapper prefixes are tried, in any nesting, and only if every given name carries them.
    """
    given = list(given)
    target = set(wanted)
    best = len(target.intersection(given))
    removed = ""
    names = list(given)
    found: PrefixRepair | None = None
    while names:
        prefix = next((p for p in PREFIXES if all(n.startswith(p) for n in names)), None)
        if prefix is None:
            break
        removed += prefix
        names = [n[len(prefix) :] for n in names]
        hits = len(target.intersection(names))
        if hits > best:
            best, found = hits, PrefixRepair(removed, dict(zip(given, names, strict=True)))
    return found


@dataclass(frozen=True)
class Suggestion:
    """A missing name and the unexpected names that may stand for it, likeliest first."""

    missing: str
    candidates: tuple[str, ...]


_SYNONYMS = (
    ("gamma", "weight"),
    ("beta", "bias"),
    ("moving_mean", "running_mean"),
    ("moving_variance", "running_var"),
    ("embedding_table", "weight"),
)


_MINDSPORE_ONLY = {"gamma", "beta", "moving_mean", "moving_variance", "embedding_table"}


def mindspore_named(names: Iterable[str]) -> bool:
    """True if a name ends as only MindSpore's layers call a parameter (``bn1.gamma``, ``embed.embedding_table``)."""
    return any(name.rpartition(".")[2] in _MINDSPORE_ONLY for name in names)


def _normal(name: str) -> str:
    head, _, tail = name.rpartition(".")
    tail = dict(_SYNONYMS).get(tail, tail)
    return f"{head}.{tail}" if head else tail


def did_you_mean(
    missing: Mapping[str, tuple[int, ...]], unexpected: Mapping[str, tuple[int, ...]], *, most: int = 3
) -> list[Suggestion]:
    """Returns, for each missing name, unexpected names of the same number of elements that look like it.

    Args:
        missing: wanted name -> shape.
        unexpected: given name -> shape.
        most: candidates per name.
    """
    by_size: dict[int, list[str]] = {}
    for name, shape in unexpected.items():
        by_size.setdefault(_elements(shape), []).append(name)
    out = []
    for name, shape in missing.items():
        pool = {_normal(n): n for n in by_size.get(_elements(shape), [])}
        close = difflib.get_close_matches(_normal(name), list(pool), n=most, cutoff=0.6)
        if close:
            out.append(Suggestion(name, tuple(pool[c] for c in close)))
    return out


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for d in shape:
        count *= d
    return count
