"""The registry of op cards: one card per ONNX operator, holding both directions of its mapping and its samples.

    card("Relu", mindir="ReLU", air="Relu", samples=[sample(f32(2, 3))])      # a rename: it lifts itself

    card("Softmax", samples=[sample(f32(2, 5)), sample(f32(2, 3, 4), axis=1)])

    @mindir("Softmax")
    def lower_softmax_mindir(b, n):
        return b.Softmax(n.x[0], axis=(n.attr("axis"),))

    @lifts("mindspore", "Softmax")
    def lift_softmax(o, n):
        return o.Softmax(n.x[0], axis=n.literal(1)[0])

`b` and `o` are builders (`mindport.dialects.emit*`), `n` is a read-only view of the node (`mindport.ops.view`). A rule
is pure: it builds nodes and returns the value(s) that replace the node's outputs. Bindings of the two targets may
stand in the card or in their own decorated functions, in any order and file. Registering one twice raises.
Tests, the coverage table and messages are derived from this registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from mindport.dialects.literals import GE, MINDSPORE
from mindport.ops.samples import Sample

__all__ = [
    "TARGETS",
    "Card",
    "Rule",
    "air",
    "card",
    "cards",
    "lift_rule",
    "lifted_ops",
    "lifts",
    "lower_rule",
    "mindir",
]

Rule: TypeAlias = Callable[[Any, Any], Any]
_F = TypeVar("_F", bound=Rule)

# what users call the target -> the dialect its files are written in
TARGETS = {"MINDIR": MINDSPORE, "AIR": GE}


@dataclass(frozen=True)
class Card:
    """One ONNX operator.

    Attributes:
        samples: small models of this operator alone, run by the derived tests.
        notes: where a target is known to differ, in words; shown in the coverage table.
        family: file the card stands in.
    """

    op: str
    samples: tuple[Sample, ...]
    notes: str = ""
    family: str = field(default="", compare=False)


_cards: dict[str, Card] = {}
_lowers: dict[tuple[str, str], Rule] = {}  # (dialect, ONNX op)
_lifts: dict[tuple[str, str], Rule] = {}  # (dialect, foreign op)


def card(
    op: str,
    *,
    samples: Iterable[Sample],
    mindir: str | Rule | None = None,
    air: str | Rule | None = None,
    notes: str = "",
) -> Card:
    """Registers the card of ONNX operator `op`.

    A string binding says that the foreign operator differs in name only (same inputs, no attributes); it works both
    ways.
    """
    if op in _cards:
        raise ValueError(f"{op} has a card already, in {_cards[op].family}")
    _cards[op] = made = Card(op, tuple(samples), notes, _caller_family())
    for domain, binding in ((MINDSPORE, mindir), (GE, air)):
        if isinstance(binding, str):
            _put(_lowers, (domain, op), _renames(binding))
            _put(_lifts, (domain, binding), _renames(op))
        elif binding is not None:
            _put(_lowers, (domain, op), binding)
    return made


def mindir(*ops: str) -> Callable[[_F], _F]:
    """Registers a function as the way to MindIR of ONNX operators `ops`."""
    return _binder(_lowers, MINDSPORE, ops)


def air(*ops: str) -> Callable[[_F], _F]:
    """Registers a function as the way to AIR of ONNX operators `ops`."""
    return _binder(_lowers, GE, ops)


def lifts(domain: str, *ops: str) -> Callable[[_F], _F]:
    """Registers a function as the way back to ONNX of foreign operators `ops` of dialect `domain`."""
    return _binder(_lifts, domain, ops)


def cards() -> Iterator[Card]:
    """Yields every card, sorted by operator."""
    for op in sorted(_cards):
        yield _cards[op]


def lower_rule(domain: str, op: str) -> Rule | None:
    """Returns the rule from ONNX operator `op` to dialect `domain`, or None."""
    return _lowers.get((domain, op))


def lift_rule(domain: str, op: str) -> Rule | None:
    """Returns the rule from operator `op` of dialect `domain` to ONNX, or None."""
    return _lifts.get((domain, op))


def lifted_ops(domain: str) -> list[str]:
    """Returns the foreign operators of dialect `domain` that have a way to ONNX."""
    return sorted(op for d, op in _lifts if d == domain)


def _binder(table: dict[tuple[str, str], Rule], domain: str, ops: Iterable[str]) -> Callable[[_F], _F]:
    def bind(rule: _F) -> _F:
        for op in ops:
            _put(table, (domain, op), rule)
        return rule

    return bind


def _put(table: dict[tuple[str, str], Rule], key: tuple[str, str], rule: Rule) -> None:
    if key in table:
        raise ValueError(f"{key[1]} ({key[0]}) has a rule already")
    table[key] = rule


def _renames(name: str) -> Rule:
    def rename(b: Any, n: Any) -> Any:
        return b.call(name, *n.x)

    rename.__name__ = f"rename_to_{name}"
    return rename


def _caller_family() -> str:
    import sys

    frame: Any = sys._getframe(2)
    globals_: Mapping[str, Any] = frame.f_globals
    return str(globals_.get("__name__", "")).rpartition(".")[2]
