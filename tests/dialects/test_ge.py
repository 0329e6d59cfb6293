"""Slots of GE operators by name, and which literals fit a prototype's attribute."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import pytest

from mindport.dialects.ge_attrs_check import kind_of
from mindport.dialects.ge_names import match_slots
from mindport.dialects.ge_slots import arranged, fits
from mindport.dialects.literals import GE
from mindport.dialects.table import OpTable
from mindport.dtypes import named
from mindport.formats.air_attrs import attr_message, list_of
from mindport.wire.schema_ge import ATTR_DEF, LIST_VALUE, TENSOR_DESCRIPTOR


def node(op: str, names: list[str]) -> ir.Node:
    made = ir.Node(GE, op, [ir.Value(name=n) for n in names])
    made.meta["ge.inputs"] = tuple(names)
    return made


def order(op: str, names: list[str]) -> list[str | None]:
    return [None if v is None else v.name for v in arranged(node(op, names), OpTable.load(GE).find(op))]


def test_inputs_left_out_leave_a_gap() -> None:
    assert order("StridedSliceV2", ["x", "begin", "end", "strides"]) == ["x", "begin", "end", None, "strides"]
    assert order("Conv2D", ["x", "filter"]) == ["x", "filter"]


def test_inputs_are_put_into_the_order_of_the_prototype() -> None:
    assert order("Sub", ["x2", "x1"]) == ["x1", "x2"]


def test_dynamic_inputs_are_ordered_by_number() -> None:
    names = [f"x{i}" for i in (10, 2, 1, 0, 3, 4, 5, 6, 7, 8, 9)]
    assert order("ConcatV2", [*names, "concat_dim"]) == [*(f"x{i}" for i in range(11)), "concat_dim"]


def test_unknown_names_leave_the_order_alone() -> None:
    assert order("Sub", ["a", "b"]) == ["a", "b"]
    assert [v.name for v in arranged(node("NoSuchOp", ["a"]), None) if v is not None] == ["a"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("Int", 3, True),
        ("Int", 3, 3.0),
        ("Bool", True, 1),
        ("Float", 1.0, 1),
        ("String", "a", b"a"),
        ("Type", named("int64"), 9),
        ("ListInt", (1, 2), (1, 2.0)),
        ("ListFloat", (), 1.0),
        ("ListListInt", ((1,), ()), ((1,), 2)),
    ],
)
def test_literals_fit_their_kind_only(kind: str, good: Any, bad: Any) -> None:
    assert fits(kind, good)
    assert not fits(kind, bad)


def test_slots_are_matched_by_the_list_of_names() -> None:
    descs = [TENSOR_DESCRIPTOR.new(name="x0"), TENSOR_DESCRIPTOR.new(name="")]
    attrs = {"_input_name_key": list_of("s", ["x0", "x1"]), "_input_name_value": list_of("i", [0, 1])}
    assert match_slots("input", descs, [("x", "dynamic")], attrs) == (["x0", "x1"], [])


def test_a_dynamic_slot_does_not_take_the_name_of_another() -> None:
    descs = [TENSOR_DESCRIPTOR.new(name="x")]
    attrs = {"_input_name_key": list_of("s", ["x"]), "_input_name_value": list_of("i", [0])}
    names, problems = match_slots("input", descs, [("x", "dynamic")], attrs)
    assert names == ["x"]
    assert "no input 'x'" in problems[0][1]


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1, "i"), (True, "b"), (1.5, "f"), ("a", "s"), ((1,), "list.i"), ((1.0,), "list.f"), (((1,),), "list_list_int")],
)
def test_kinds_of_written_attributes(value: Any, kind: str) -> None:
    assert kind_of(attr_message(value)) == kind


def test_a_list_that_does_not_say_its_kind() -> None:
    assert kind_of(ATTR_DEF.new(list=LIST_VALUE.new(i=[1]))) == "list"
    assert kind_of(ATTR_DEF.new()) == ""
