"""Importing the package registers every family."""

from __future__ import annotations

from pathlib import Path

from mindport import ops

HELPERS = {"__init__", "card", "samples", "view", "foreign", "geometry", "interpolate", "air_common"}


def test_every_family_file_is_imported() -> None:
    folder = Path(str(ops.__file__)).parent
    families = {p.stem for p in folder.glob("*.py")} - HELPERS
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    assert [f for f in sorted(families) if f"import mindport.ops.{f}" not in text] == []


def test_cards_are_sorted_and_know_their_family() -> None:
    names = [c.op for c in ops.cards()]
    assert names == sorted(names)
    assert len(names) > 90
    assert {c.op: c.family for c in ops.cards()}["Conv"] == "conv"
