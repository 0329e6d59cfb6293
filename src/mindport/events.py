"""What the checkpoint half tells listeners: saves, prunes, skips, failures and restores as plain records."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("mindport")
log.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Event:
    """Base of all events. `path` is the file concerned."""

    path: str


@dataclass(frozen=True)
class Saved(Event):
    """A checkpoint is durable. Times in milliseconds, sizes in bytes."""

    nbytes: int
    blocking_ms: float
    total_ms: float


@dataclass(frozen=True)
class SaveFailed(Event):
    """A checkpoint could not be written; older ones are untouched."""

    reason: str


@dataclass(frozen=True)
class Pruned(Event):
    """A checkpoint was deleted by the keep policy, after a newer one became durable."""

    reason: str


@dataclass(frozen=True)
class PruneFailed(Event):
    """A checkpoint that the keep policy gave up could not be deleted, or was left alone; training goes on."""

    reason: str


@dataclass(frozen=True)
class Skipped(Event):
    """Resume passed over a file that does not verify."""

    reason: str


@dataclass(frozen=True)
class Inexact(Event):
    """Training that goes on from this file does not go on exactly as it would without the interruption."""

    reason: str


@dataclass(frozen=True)
class Restored(Event):
    """Training state was restored from this file."""

    epoch: int
    step: int


Listener = Callable[[Event], None]
_listeners: list[Listener] = []


def subscribe(listener: Listener) -> Callable[[], None]:
    """Calls `listener` with every later event; returns a function that ends the subscription."""
    _listeners.append(listener)

    def unsubscribe() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return unsubscribe


def emit(event: Event) -> None:
    """Logs the event and hands it to every subscriber; a subscriber's error is logged, never raised into a save."""
    level = logging.WARNING if isinstance(event, (SaveFailed, PruneFailed, Skipped, Inexact)) else logging.INFO
    log.log(level, "%s", event)
    for listener in tuple(_listeners):
        try:
            listener(event)
        except Exception:  # a listener must not break a save; the traceback is logged
            log.exception("event listener %r failed", listener)
