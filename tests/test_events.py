"""Events reach every subscriber and the log; a failing subscriber harms nobody."""

from __future__ import annotations

import logging

import pytest

from mindport import events
from mindport.events import Event, Saved, SaveFailed


def test_subscribers_hear_until_they_leave(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []
    leave = events.subscribe(heard.append)
    saved = Saved("a.ckpt", nbytes=5, blocking_ms=1.5, total_ms=2.5)
    with caplog.at_level(logging.INFO, "mindport"):
        events.emit(saved)
        leave()
        events.emit(SaveFailed("b.ckpt", "disk full"))
        leave()
    assert heard == [saved]
    assert [r.levelno for r in caplog.records] == [logging.INFO, logging.WARNING]


def test_a_failing_subscriber_is_logged_and_the_next_one_hears(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("listener broke")

    heard: list[Event] = []
    leave = [events.subscribe(fail), events.subscribe(heard.append)]
    try:
        events.emit(Event("a"))
    finally:
        for end in leave:
            end()
    assert heard == [Event("a")]
    assert "listener broke" in caplog.text
