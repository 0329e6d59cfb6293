"""Putting the parts of a run back, all or none; and why the state of one part does not fit another, in words."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mindport.errors import MindportError, StateMismatch

__all__ = ["Part", "differences", "other_kinds", "other_shapes", "put_back", "some", "state_of", "stateful_part"]


@dataclass(frozen=True)
class Part:
    """One part of a run.

    Attributes:
        name: what to call it in a message.
        load: gives it the state of the checkpoint.
        undo: gives it the state it has now; must also work when `load` stopped half way.
    """

    name: str
    load: Callable[[], object]
    undo: Callable[[], object]


def stateful_part(
    name: str, part: Any, saved: dict[str, Any], load: Callable[[Any, dict[str, Any]], object] | None = None
) -> Part:
    """Returns the part of an object with `state_dict` and `load_state_dict`.

    Args:
        name: what to call it in a message.
        part: the object.
        saved: its state in the checkpoint.
        load: what to call with the object and a state instead of `load_state_dict`.
    """
    before = copy.deepcopy(part.state_dict())
    if load is None:
        return Part(name, lambda: part.load_state_dict(saved), lambda: part.load_state_dict(before))
    return Part(name, lambda: load(part, saved), lambda: load(part, before))


def put_back(parts: Iterable[Part], path: str) -> None:
    """Loads all parts in order; when one of them fails, undoes those before it and that one itself.

    Raises:
        StateMismatch: a part did not take its state. Everything is as before, except what the message names.
    """
    begun: list[Part] = []
    for part in parts:
        begun.append(part)
        try:
            part.load()
        except Exception as exc:
            lost = _undo(begun)
            rest = (
                f"; these could not be put back and must be made anew: {some(lost)}"
                if lost
                else ", nothing was changed"
            )
            what = str(exc) if isinstance(exc, MindportError) else f"{type(exc).__name__}: {exc}"
            raise StateMismatch(f"{path} does not fit this run{rest}:\n  {part.name}: {what}") from exc


def _undo(begun: list[Part]) -> list[str]:
    """Undoes parts, last first, and returns the names of those that refuse it."""
    lost = []
    for part in reversed(begun):
        try:
            part.undo()
        except Exception:  # noqa: BLE001 - the others must be undone too; the caller names this one
            lost.append(part.name)
    return lost


def state_of(part: Any) -> dict[str, Any] | None:
    """Returns the state of a scheduler or scaler, or of a loss that has some (a module may learn); else None."""
    return dict(part.state_dict()) if hasattr(part, "state_dict") else None


def differences(what: str, now: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """Returns why one state dict cannot take the place of another, in words; also for the schedulers inside one."""
    odd = sorted(str(key) for key in set(now) ^ set(saved))
    if odd:
        return [f"{what}: the checkpoint holds the state of another kind of {what} ({some(odd)})"]
    shapes = [k for k in now if getattr(now[k], "shape", None) != getattr(saved[k], "shape", None)]
    if shapes:
        return [f"{what}: {some(shapes)} has another shape in the checkpoint"]
    inner, old = now.get("_schedulers"), saved.get("_schedulers")
    if not isinstance(inner, list) or not isinstance(old, list):
        return []
    if len(inner) != len(old):
        return [f"{what}: it combines {len(old)} in the checkpoint, {len(inner)} here"]
    pairs = zip(inner, old, strict=True)
    return [p for i, (a, b) in enumerate(pairs) for p in differences(f"{what} {i + 1} of {len(old)}", a, b)]


def other_kinds(now: Mapping[str, str], saved: Mapping[str, str]) -> list[str]:
    """Returns in words which parts are of another class; one that is there only once is told elsewhere."""
    both = [name for name in now if name in saved and now[name] != saved[name]]
    return [f"{name}: {saved[name]} in the checkpoint, {now[name]} here" for name in both]


def other_shapes(now: list[list[int]], saved: list[list[int]]) -> list[str]:
    """Returns in words which of the optimizer's parameters have another shape."""
    return [
        f"optimizer: parameter {i} has shape {tuple(b)} in the checkpoint, {tuple(a)} here"
        for i, (a, b) in enumerate(zip(now, saved, strict=False))
        if list(a) != list(b)
    ]


def some(names: Iterable[str]) -> str:
    """Returns names for a message, the first five and how many more there are."""
    shown = list(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
