"""Slot names of a GE operator in a file: which input or output of the prototype each descriptor stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mindport.wire.spec import Message

__all__ = ["match_slots"]


def match_slots(
    side: str, descs: Sequence[Message], slots: Sequence[tuple[str, str]], attrs: Mapping[str, Message]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Returns the name of each descriptor's slot, and what is wrong with the names.

    Args:
        side: ``input`` or ``output``.
        descs: descriptors in file order.
        slots: `(name, mode)` of the prototype, in order; a dynamic slot `x` stands for `x0`, `x1`, …
        attrs: the operator's attributes, among them the name lists that a loader reads.
    """
    problems: list[tuple[str, str]] = []
    listed = _listed(side, attrs)
    names = [d.get("name", "") for d in descs]
    if descs and listed is None:
        problems.append((side, f"does not list the names of its {side}s (_{side}_name_key, _{side}_name_value)"))
    for i, name in enumerate(names):
        told = (listed or {}).get(i)
        if listed is not None and told is None:
            problems.append((side, f"{side} {i} has no name in the list"))
        elif told is not None and name and name != told:
            problems.append((side, f"{side} {i} is called {name} in its descriptor and {told} in the list"))
        names[i] = told or name
    problems += _order(side, names, slots)
    return names, problems


def _listed(side: str, attrs: Mapping[str, Message]) -> dict[int, str] | None:
    keys, values = attrs.get(f"_{side}_name_key"), attrs.get(f"_{side}_name_value")
    if keys is None or values is None or not keys.has("list") or not values.has("list"):
        return None
    return {v: bytes(k).decode("utf-8", "replace") for k, v in zip(keys.list.s, values.list.i, strict=False)}


def _order(side: str, names: Sequence[str], slots: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    positions = []
    counted: dict[str, list[int]] = {}
    for name in names:
        found = _position(name, slots)
        if found is None:
            problems.append(
                (side, f"the operator has no {side} {name!r}; it has {', '.join(n for n, _ in slots) or 'none'}")
            )
            continue
        positions.append(found)
        slot, mode = slots[found[0]]
        if mode == "dynamic":
            counted.setdefault(slot, []).append(found[1])
    if len(set(names)) < len(names):
        problems.append((side, f"two {side}s have one name"))
    elif positions != sorted(positions):
        problems.append((side, f"{side}s {', '.join(names)} are not in the order of the prototype"))
    problems += [
        (side, f"dynamic {side} {slot} is not numbered from 0")
        for slot, n in counted.items()
        if n != list(range(len(n)))
    ]
    return problems


def _position(name: str, slots: Sequence[tuple[str, str]]) -> tuple[int, int] | None:
    """Returns `(slot, number)`; the number is 0 for slots that are not dynamic."""
    for i, (slot, mode) in enumerate(slots):
        if mode != "dynamic" and name == slot:
            return i, 0
        if mode == "dynamic" and (m := re.fullmatch(rf"{re.escape(slot)}(\d+)", name)):
            return i, int(m[1])
    return None
