"""The registry: bindings in any order, each once."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from mindport.ops.samples import f32, sample

registry: Any = importlib.import_module("mindport.ops.card")  # the package shows the function of that name


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_cards", "_lowers", "_lifts"):
        monkeypatch.setattr(registry, table, {})


@pytest.mark.usefixtures("fresh")
def test_a_name_is_a_rename_in_both_directions() -> None:
    registry.card("Relu", mindir="ReLU", air="Relu", samples=[sample(f32(2))])
    assert registry.lower_rule("mindspore", "Relu") is not None
    assert registry.lift_rule("mindspore", "ReLU") is not None
    assert registry.lifted_ops("ge") == ["Relu"]


@pytest.mark.usefixtures("fresh")
def test_bindings_may_stand_before_or_after_their_card() -> None:
    @registry.mindir("A", "B")
    def first(b: object, n: object) -> object:
        return b

    made = registry.card("A", air=lambda b, n: n, samples=[sample(f32(2))], notes="why")
    assert registry.lower_rule("mindspore", "A") is first
    assert registry.lower_rule("mindspore", "B") is first
    assert made.notes == "why"
    assert made.family == "test_card"
    assert registry.lift_rule("ge", "A") is None


@pytest.mark.usefixtures("fresh")
def test_registering_twice_raises() -> None:
    registry.card("A", mindir="X", samples=[])
    with pytest.raises(ValueError, match="card already"):
        registry.card("A", samples=[])
    with pytest.raises(ValueError, match="rule already"):
        registry.mindir("A")(lambda b, n: n)
    with pytest.raises(ValueError, match="rule already"):
        registry.lifts("mindspore", "X")(lambda o, n: n)
    with pytest.raises(ValueError, match="rule already"):
        registry.card("B", mindir="X", samples=[])
