"""When to save and what to keep: one row per sentence of the tutorial, and a model that tries everything else."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.checkpoint import policy
from mindport.checkpoint.entries import Entry
from mindport.checkpoint.names import Key
from mindport.checkpoint.policy import (
    All,
    AnyOf,
    EverySeconds,
    EverySteps,
    Final,
    Keep,
    Latest,
    Never,
    OnePerMinutes,
    Tick,
    Union,
    When,
    tutorial_policies,
)
from mindport.errors import UsageError, WrongTypeError


def run(when: When, epochs: int, batches: int, *, seconds_per_step: float = 1.0, start: int = 0) -> list[str]:
    """Names `epoch_step` of the saves of a training run that ends normally."""
    last = Tick(0, 0, start, 0.0)
    saved = []
    for total in range(start + 1, epochs * batches + 1):
        epoch, step = divmod(total - 1, batches)
        tick = Tick(epoch + 1, step + 1, total, (total - start) * seconds_per_step, batches)
        if when.due(tick, last):
            saved.append(f"{epoch + 1}_{step + 1}")
            last = tick
    if epochs * batches > start:
        final = Tick(epochs, batches, epochs * batches, (epochs * batches - start) * seconds_per_step, final=True)
        if when.due(final, last):
            saved.append(f"{epochs}_{batches}")
    return saved


def entry(total: int, at_s: float = 0.0) -> Entry:
    return Entry(Key("net", 1, total), f"net-1_{total}.ckpt", 10, at_s, total, checksummed=True)


def left(keep: Keep, times_s: list[float]) -> list[float]:
    """What is there after saves at these times, each followed by pruning."""
    there: list[Entry] = []
    for total, at_s in enumerate(times_s, 1):
        there.append(entry(total, at_s))
        victims = keep.victims(there)
        there = [e for e in there if e not in victims]
    return [e.saved_at_s for e in there]


def test_steps_are_counted_across_epochs_as_mindspore_counts_them() -> None:
    """Seen in real MindSpore: steps=3, 8 batches, 2 epochs."""
    assert run(tutorial_policies(steps=3)[0], 2, 8) == ["1_3", "1_6", "2_1", "2_4", "2_7", "2_8"]
    assert run(tutorial_policies(steps=16)[0], 2, 32) == ["1_16", "1_32", "2_16", "2_32"]


def test_by_default_each_step_is_saved_once() -> None:
    assert run(tutorial_policies()[0], 2, 3) == ["1_1", "1_2", "1_3", "2_1", "2_2", "2_3"]


def test_the_last_step_is_always_saved_at_a_normal_end() -> None:
    assert run(tutorial_policies(steps=100)[0], 2, 4) == ["2_4"]
    assert run(tutorial_policies(steps=None, seconds=1000)[0], 2, 4) == ["2_4"]
    assert run(tutorial_policies(steps=8)[0], 2, 4) == ["2_4"], "not twice"
    assert run(tutorial_policies(steps=100)[0], 2, 4, start=8) == [], "nothing was done, so nothing is due"


def test_a_resumed_run_counts_on() -> None:
    assert run(tutorial_policies(steps=3)[0], 3, 4, start=4) == ["2_3", "3_2", "3_4"]


def test_seconds_pass_since_the_last_save() -> None:
    when = tutorial_policies(steps=None, seconds=10)[0]
    assert run(when, 1, 30, seconds_per_step=3.0) == ["1_4", "1_8", "1_12", "1_16", "1_20", "1_24", "1_28", "1_30"]
    assert not EverySeconds(10).due(Tick(1, 1, 1, 10.0), Tick(0, 0, 0, 0.0)), "more than, as in MindSpore"
    assert not EverySeconds(10).due(Tick(1, 1, 1, 99.0), Tick(1, 1, 1, 0.0)), "no step was made"


def test_steps_beat_seconds() -> None:
    assert tutorial_policies(steps=5, seconds=1)[0] == tutorial_policies(steps=5, seconds=0)[0]
    assert tutorial_policies(steps=0, seconds=7)[0] == AnyOf(EverySeconds(7), Final())


def test_both_save_policies_cancelled_saves_only_the_end() -> None:
    assert run(tutorial_policies(steps=None, seconds=None)[0], 3, 5) == ["3_5"]


def test_the_maximum_beats_the_minutes() -> None:
    assert tutorial_policies(keep_max=3, per_n_minutes=2)[1] == Latest(3)
    assert tutorial_policies(keep_max=None, per_n_minutes=2)[1] == OnePerMinutes(2)
    assert tutorial_policies(keep_max=0, per_n_minutes=2)[1] == OnePerMinutes(2)


def test_none_cancels_and_then_all_files_are_kept() -> None:
    assert tutorial_policies(keep_max=None, per_n_minutes=0)[1] == All()
    assert left(All(), [float(n) for n in range(50)]) == [float(n) for n in range(50)]


@pytest.mark.parametrize("values", [(0, 0, 0, 0), (0, None, 0, 0), (None, None, None, None)])
def test_all_four_cancelled_is_an_error(values: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError, match="all four"):
        tutorial_policies(*values)


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(
    ("value", "kind"),
    [(-1, UsageError), (1.0, WrongTypeError), (0.0, WrongTypeError), ("1", WrongTypeError), (True, WrongTypeError),
     (False, WrongTypeError), ([], WrongTypeError)],
)  # fmt: skip
def test_each_number_is_checked(position: int, value: Any, kind: type[Exception]) -> None:
    values: list[Any] = [1, 1, 1, 1]
    values[position] = value
    names = ["save_checkpoint_steps", "save_checkpoint_seconds", "keep_checkpoint_max", "keep_checkpoint_per_n_minutes"]
    with pytest.raises(kind, match=names[position]):
        tutorial_policies(*values)


@pytest.mark.parametrize(
    ("rule", "arguments", "kind"),
    [(EverySteps, [0], UsageError), (EverySteps, [1.5], WrongTypeError), (EverySeconds, [0], UsageError),
     (EverySeconds, [math.nan], UsageError), (EverySeconds, [math.inf], UsageError), (Latest, [0], UsageError),
     (Latest, [True], WrongTypeError), (OnePerMinutes, [-1], UsageError), (Union, [], UsageError)],
)  # fmt: skip
def test_rules_refuse_numbers_that_make_no_sense(rule: Any, arguments: list[Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        rule(*arguments)


def test_never_and_any_of() -> None:
    assert run(Never(), 2, 3) == []
    assert run(AnyOf(Never(), EverySteps(4)), 2, 4) == ["1_4", "2_4"]
    assert run(AnyOf(), 2, 3) == []


def test_keep_max_keeps_the_newest() -> None:
    assert left(Latest(3), [1.0, 2.0, 3.0, 4.0, 5.0]) == [3.0, 4.0, 5.0]
    assert left(Latest(1), [1.0, 2.0]) == [2.0]
    assert Latest(2).victims([entry(n) for n in range(1, 8)]) == [entry(n) for n in range(1, 6)], "all at once"


def test_one_per_n_minutes_keeps_the_oldest_of_each_window_and_the_newest() -> None:
    """Seen in real MindSpore: after a run shorter than the window, the first and the last file remain."""
    assert left(OnePerMinutes(1), [0.0, 10.0, 20.0, 30.0]) == [0.0, 30.0]
    assert left(OnePerMinutes(1), [float(t) for t in range(0, 200, 10)]) == [0.0, 60.0, 120.0, 180.0, 190.0]
    assert left(OnePerMinutes(1), [0.0, 60.0, 120.0]) == [0.0, 60.0, 120.0]
    assert left(OnePerMinutes(2), [0.0, 130.0, 131.0, 260.0]) == [0.0, 130.0, 260.0]


def test_a_clock_that_was_set_back_deletes_nothing_by_mistake() -> None:
    kept = left(OnePerMinutes(1), [1000.0, 1010.0, 5.0, 15.0, 25.0])
    assert kept == [1000.0, 5.0, 25.0]


def test_a_union_keeps_what_one_rule_keeps() -> None:
    keep = Union(Latest(2), OnePerMinutes(1))
    assert left(keep, [float(t) for t in range(0, 130, 10)]) == [0.0, 60.0, 110.0, 120.0]
    assert Union(All(), Latest(1)).victims([entry(1), entry(2)]) == []


keeps = st.recursive(
    st.one_of(st.builds(Latest, st.integers(1, 6)), st.builds(OnePerMinutes, st.integers(1, 5)), st.just(All())),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda rules: Union(*rules)),
    max_leaves=4,
)


@settings(deadline=None)
@given(keep=keeps, gaps_s=st.lists(st.floats(-50, 400), max_size=40))
def test_never_fewer_than_promised_and_never_the_newest(keep: Keep, gaps_s: list[float]) -> None:
    there: list[Entry] = []
    now_s = 1e6
    for total, gap_s in enumerate(gaps_s, 1):
        now_s += gap_s
        there.append(entry(total, now_s))
        before = list(there)
        victims = keep.victims(there)
        assert there == before, "rules change nothing"
        assert all(victim in there for victim in victims)
        assert there[-1] not in victims
        there = [e for e in there if e not in victims]
        assert len(there) >= _promised(keep, len(before))
        assert keep.victims(there) == [] or not isinstance(keep, (Latest, OnePerMinutes)), "pruning once is enough"


def _promised(keep: Keep, count: int) -> int:
    if isinstance(keep, Latest):
        return min(keep.count, count)
    if isinstance(keep, Union):
        return max(_promised(rule, count) for rule in keep.rules)
    return count if isinstance(keep, All) else min(1, count)


@given(st.lists(st.floats(0.1, 200), min_size=2, max_size=60), st.integers(1, 3))
def test_no_window_of_training_stays_without_a_checkpoint(gaps_s: list[float], minutes: int) -> None:
    """Between two kept neighbours lie at most n minutes and one save interval."""
    times_s = [sum(gaps_s[: n + 1]) for n in range(len(gaps_s))]
    kept = left(OnePerMinutes(minutes), times_s)
    assert kept[0] == times_s[0]
    assert kept[-1] == times_s[-1]
    widest = max(gaps_s)
    assert all(b - a <= 60 * minutes + widest + 1e-6 for a, b in itertools.pairwise(kept))
    assert all(b - a >= 60 * minutes for a, b in itertools.pairwise(kept[:-1]))


@given(steps=st.integers(1, 9), epochs=st.integers(1, 4), batches=st.integers(1, 9), start=st.integers(0, 12))
def test_saves_are_at_most_n_steps_apart_and_the_last_step_is_among_them(
    steps: int, epochs: int, batches: int, start: int
) -> None:
    saved = run(tutorial_policies(steps=steps)[0], epochs, batches, start=start)
    totals = [(int(e) - 1) * batches + int(s) for e, s in (name.split("_") for name in saved)]
    assert len(set(totals)) == len(totals)
    done = epochs * batches
    assert (totals[-1] == done) if done > start else (totals == [])
    assert all(b - a <= steps for a, b in zip([start, *totals], totals, strict=False))


def test_rules_are_values() -> None:
    assert AnyOf(EverySteps(3), Final()) == AnyOf(EverySteps(3), Final())
    assert hash(Union(Latest(2), All())) == hash(Union(Latest(2), All()))
    assert policy.Latest(3) != policy.Latest(4)
    assert repr(Latest(3)) == "Latest(count=3)"
