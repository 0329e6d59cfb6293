"""Tests derived from the cards: every card, every sample, both directions, foreign judges."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mindport import ops
from mindport.conversion.pipeline import to_onnx, to_target
from mindport.dialects.literals import MINDSPORE
from mindport.formats import mindir
from mindport.ops.samples import Const, Feed, Sample, build, feeds
from oracles import mindspore, ort

CARDS = list(ops.cards())
CASES = [
    pytest.param(card.op, case, id=f"{card.op} {case.label()}")
    for card in CARDS
    for case in card.samples
    if "MINDIR" in case.targets
]
GEOMETRY = ("kernel_shape", "pads", "strides", "dilations")


FIRST: dict[tuple[str, int], bytes] = {}  # what a sample was written as when it was written first


def lowered(op: str, case: Sample) -> bytes:
    """Returns the sample as a MindIR file; every time the same bytes."""
    data = b"".join(mindir.write(to_target(build(op, case), MINDSPORE)))
    assert FIRST.setdefault((op, id(case)), data) == data, "the same model gives the same bytes"
    return data


@cache
def expected(op: str, case: Sample) -> list[np.ndarray]:
    """Returns what ONNX Runtime gives for the sample."""
    return ort.run(build(op, case), feeds(case))


@pytest.mark.parametrize(("op", "case"), CASES)
def test_onnx_to_mindir_and_back_computes_the_same(op: str, case: Sample) -> None:
    data = lowered(op, case)
    again = mindir.loads(data)
    assert b"".join(mindir.write(again)) == data, "reading and writing changes nothing"
    ort.agree(case, expected(op, case), ort.run(to_onnx(again), list(feeds(case).values())), "lifted")


@pytest.mark.mindspore
@pytest.mark.parametrize(("op", "case"), CASES)
def test_real_mindspore_agrees_with_onnx_runtime(op: str, case: Sample, tmp_path: Path) -> None:
    path = tmp_path / "case.mindir"
    path.write_bytes(lowered(op, case))
    ort.agree(case, expected(op, case), mindspore.run(path, feeds(case).values()), "MindSpore")


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.op)
def test_a_card_is_complete(card: ops.Card) -> None:
    assert card.samples, "a card without samples proves nothing"
    bound = [t for t, domain in ops.TARGETS.items() if ops.lower_rule(domain, card.op)]
    assert bound, "a card without a binding converts nothing"
    for target in bound:
        assert any(target in s.targets for s in card.samples), f"no sample is tried on {target}"


@pytest.mark.parametrize(
    "card", [c for c in CARDS if any(k in s.attrs for s in c.samples for k in GEOMETRY)], ids=lambda c: c.op
)
def test_samples_with_geometry_are_asymmetric(card: ops.Card) -> None:
    """Square kernels and equal pads hide swapped axes: a rule that is wrong both ways would pass."""
    assert any(_uneven(s, "kernel_shape") or _uneven_weight(s) for s in card.samples), "all kernels are square"
    assert any(_uneven(s, "strides") for s in card.samples), "all strides are equal"
    padded = [s for s in card.samples if "pads" in s.attrs]
    assert not padded or any(_uneven(s, "pads") for s in padded), "all pads are equal"
    assert all(_uneven_shape(s) for s in card.samples), "an input is as high as wide"


def _uneven(case: Sample, name: str) -> bool:
    return len(set(case.attrs.get(name, ()))) > 1


def _uneven_weight(case: Sample) -> bool:
    weights = [i.array.shape[2:] for i in case.inputs if isinstance(i, Const) and i.array.ndim > 3]
    return any(len(set(shape)) > 1 for shape in weights)


def _uneven_shape(case: Sample) -> bool:
    first = case.inputs[0]
    assert isinstance(first, Feed)
    spatial = first.shape[2:]
    return len(spatial) < 2 or len(set(spatial)) > 1


def test_every_lift_is_reached_by_a_card_or_a_file() -> None:
    """A rename lifts to the operator whose card names it; nothing lifts an operator the table does not know."""
    from mindport.dialects.table import OpTable

    table = OpTable.load(MINDSPORE)
    unknown = [op for op in ops.lifted_ops(MINDSPORE) if op not in table]
    assert unknown == [], "misspelt, or not in MindSpore 2.10"
