"""When to save and what to keep, as small pure objects: no clock, no disk, only the numbers they are given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mindport.checkpoint.entries import Entry
from mindport.errors import UsageError, WrongTypeError

__all__ = [
    "All",
    "AnyOf",
    "EverySeconds",
    "EverySteps",
    "Final",
    "Keep",
    "Latest",
    "Never",
    "OnePerMinutes",
    "Tick",
    "Union",
    "When",
    "tutorial_policies",
]


@dataclass(frozen=True)
class Tick:
    """Where training stands.

    Attributes:
        epoch: number of the epoch, from 1.
        step: number of the step inside the epoch, from 1.
        steps_in_epoch: steps of one epoch, 0 when unknown.
        total: steps since training began; goes on counting after a resume.
        now_s: time of a clock that only moves forward, in seconds.
        final: training ends here, normally.
        metrics: numbers of this moment by name, such as the loss.
    """

    epoch: int
    step: int
    total: int
    now_s: float
    steps_in_epoch: int = 0
    final: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)


class When(Protocol):
    """Decides whether to save now."""

    def due(self, tick: Tick, last: Tick) -> bool:
        """True if a checkpoint should be written at `tick`.

        `last` is the tick of the last save of this run; before the first one it is that of the beginning (with the
        total of the checkpoint resumed from, or 0). Where no step lies between the two, nothing is ever due.
        """
        ...


class Keep(Protocol):
    """Decides which checkpoints may go."""

    def victims(self, entries: Sequence[Entry]) -> list[Entry]:
        """Returns those of `entries` (the oldest first) that need not be kept; never the newest one."""
        ...


def _positive(what: str, value: object, *, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise WrongTypeError(f"{what} must be {'an int' if whole else 'a number'}, not {type(value).__name__}")
    if not value > 0 or math.isinf(value):
        raise UsageError(f"{what} must be above 0, got {value}")


@dataclass(frozen=True)
class EverySteps:
    """Saves when `steps` steps were made since the last save, counted across epochs."""

    steps: int

    def __post_init__(self) -> None:
        _positive("steps", self.steps, whole=True)

    def due(self, tick: Tick, last: Tick) -> bool:
        """True after `steps` steps."""
        return tick.total - last.total >= self.steps


@dataclass(frozen=True)
class EverySeconds:
    """Saves when more than `seconds` seconds passed since the last save."""

    seconds: float

    def __post_init__(self) -> None:
        _positive("seconds", self.seconds, whole=False)

    def due(self, tick: Tick, last: Tick) -> bool:
        """True when the time has passed and at least one step was made."""
        return tick.total > last.total and tick.now_s - last.now_s > self.seconds


@dataclass(frozen=True)
class Final:
    """Saves the last step of a normal end, unless it was saved already."""

    def due(self, tick: Tick, last: Tick) -> bool:
        """True at the end."""
        return tick.final and tick.total > last.total


@dataclass(frozen=True)
class Never:
    """Saves nothing."""

    def due(self, tick: Tick, last: Tick) -> bool:
        """False."""
        return False


@dataclass(frozen=True)
class AnyOf:
    """Saves when one of the rules says so."""

    rules: tuple[When, ...]

    def __init__(self, *rules: When) -> None:
        object.__setattr__(self, "rules", rules)

    def due(self, tick: Tick, last: Tick) -> bool:
        """True if any rule is due."""
        return any(rule.due(tick, last) for rule in self.rules)


@dataclass(frozen=True)
class Latest:
    """Keeps the newest `count`."""

    count: int

    def __post_init__(self) -> None:
        _positive("count", self.count, whole=True)

    def victims(self, entries: Sequence[Entry]) -> list[Entry]:
        """All but the newest `count`."""
        return list(entries[: -self.count])


@dataclass(frozen=True)
class OnePerMinutes:
    """Keeps one for each `minutes` minutes: the oldest of each such window, and always the newest of all.

    A file that does not say when it was saved is kept too.
    """

    minutes: float

    def __post_init__(self) -> None:
        _positive("minutes", self.minutes, whole=False)

    def victims(self, entries: Sequence[Entry]) -> list[Entry]:
        """All within `minutes` after a kept one, except the newest."""
        gone: list[Entry] = []
        kept_at_s = -math.inf
        for entry in entries[:-1]:
            if entry.saved_at_s is None:
                continue
            since_s = entry.saved_at_s - kept_at_s
            if 0 <= since_s < 60 * self.minutes:
                gone.append(entry)
            else:  # a new window, or the clock was set back: then nothing is known, and what is not known is kept
                kept_at_s = entry.saved_at_s
        return gone


@dataclass(frozen=True)
class All:
    """Keeps everything."""

    def victims(self, entries: Sequence[Entry]) -> list[Entry]:
        """None."""
        return []


@dataclass(frozen=True)
class Union:
    """Keeps what one of the rules keeps."""

    rules: tuple[Keep, ...]

    def __init__(self, *rules: Keep) -> None:
        if not rules:
            raise UsageError("a union of keep rules needs at least one rule")
        object.__setattr__(self, "rules", rules)

    def victims(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that every rule lets go."""
        lists = [rule.victims(entries) for rule in self.rules]
        return [entry for entry in lists[0] if all(entry in other for other in lists[1:])]


def tutorial_policies(
    steps: int | None = 1,
    seconds: int | None = 0,
    keep_max: int | None = 5,
    per_n_minutes: int | None = 0,
) -> tuple[When, Keep]:
    """Returns the rules that the tutorial's four numbers stand for; 0 and None cancel a policy.

    - Steps win over seconds; the maximum wins over the minutes.
    - The last step is saved at a normal end, whatever else is set.
    - Both save policies cancelled: only the last step is saved. (MindSpore then never saves.)
    - Both keep policies cancelled: all files are kept, as the tutorial says. (MindSpore then keeps one.)
    - All four cancelled is a `UsageError`, as in MindSpore.

    Raises:
        UsageError: a number is negative, or all four are cancelled.
        WrongTypeError: a value is no int.
    """
    for what, value in (
        ("save_checkpoint_steps", steps),
        ("save_checkpoint_seconds", seconds),
        ("keep_checkpoint_max", keep_max),
        ("keep_checkpoint_per_n_minutes", per_n_minutes),
    ):
        if (value is not None and value != 0) or isinstance(value, (bool, float)):
            _positive(what, value, whole=True)
    if not (steps or seconds or keep_max or per_n_minutes):
        raise UsageError("all four policies are cancelled; set at least one of them")
    when: When = Final()
    if steps:
        when = AnyOf(EverySteps(steps), Final())
    elif seconds:
        when = AnyOf(EverySeconds(seconds), Final())
    keep: Keep = All()
    if keep_max:
        keep = Latest(keep_max)
    elif per_n_minutes:
        keep = OnePerMinutes(per_n_minutes)
    return when, keep
