"""Every rule of the AIR table check is broken once and has to be reported, with the operator's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mindport.conversion import air_check
from mindport.conversion.pipeline import to_target
from mindport.dialects.ge_check import Violation, check_air
from mindport.dialects.literals import GE
from mindport.dialects.table import OpTable
from mindport.errors import UnsupportedOps
from mindport.formats import air
from mindport.ops.samples import Sample, build, const, f32, f64, i32, sample, weight
from mindport.wire.schema_ge import MODEL_DEF
from mindport.wire.spec import decode
from oracles.ge_proto import ModelDef


def message(op: str, case: Sample) -> Any:
    return ModelDef.FromString(b"".join(air.write(to_target(build(op, case), GE))))


CONV = message(
    "Conv", sample(f32(1, 2, 5, 6), weight(3, 2, 2, 3), weight(3), strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2])
)
NORM = message(
    "BatchNormalization", sample(f32(2, 3, 4, 5), weight(3), weight(3), weight(3), weight(3, low=0.5), epsilon=1e-3)
)
CONCAT = message("Concat", sample(f32(2, 3), f32(2, 1), axis=1))
CAST = message("Cast", sample(f32(2, 3), to=6))
MEAN = message("ReduceMean", sample(f32(2, 3), const([1])))
SPLIT = message("Split", sample(f32(2, 5), const([2, 3]), axis=1, outputs=2))


def violations(base: Any, change: Callable[[Any, Any], None], kind: str) -> list[Violation]:
    copy = ModelDef()
    copy.CopyFrom(base)
    change(copy, next(op for op in copy.graph[0].op if op.type == kind))
    return check_air(decode(MODEL_DEF, memoryview(copy.SerializeToString())))


def test_what_we_write_is_clean() -> None:
    for base in (CONV, NORM, CONCAT, CAST, MEAN, SPLIT):
        assert check_air(decode(MODEL_DEF, memoryview(base.SerializeToString()))) == []


def drop(name: str) -> Callable[[Any, Any], None]:
    def change(m: Any, op: Any) -> None:
        del op.attr[name]

    return change


def rename_type(m: Any, op: Any) -> None:
    op.type = "Convolution"


def rename_input(m: Any, op: Any) -> None:
    op.attr["_input_name_key"].list.s[1] = b"weight"
    op.input_desc[1].name = "weight"


def names_disagree(m: Any, op: Any) -> None:
    op.input_desc[1].name = "weight"


def swap_inputs(m: Any, op: Any) -> None:
    for name in ("input", "input_desc"):
        items = list(getattr(op, name))
        items[0], items[1] = items[1], items[0]
        del getattr(op, name)[:]
        getattr(op, name).extend(items)
    keys = op.attr["_input_name_key"].list.s
    keys[0], keys[1] = keys[1], keys[0]


def unfeed(m: Any, op: Any) -> None:
    op.input[1] = ""


def drop_optional_names(m: Any, op: Any) -> None:
    del op.attr["_output_name_key"]


def drop_output(m: Any, op: Any) -> None:
    del op.output_desc[-1]
    del op.attr["_output_name_key"].list.s[-1]
    del op.attr["_output_name_value"].list.i[-1]


def dangle(m: Any, op: Any) -> None:
    op.input[0] = "nobody:0"


def beyond(m: Any, op: Any) -> None:
    op.input[0] = "x0:3"


def wrong_kind(m: Any, op: Any) -> None:
    op.attr["groups"].f = 1.0


def no_val_type(m: Any, op: Any) -> None:
    op.attr["pads"].list.val_type = 0


def wrong_val_type(m: Any, op: Any) -> None:
    op.attr["pads"].list.val_type = 3


def channels_last(m: Any, op: Any) -> None:
    op.attr["data_format"].s = b"NHWC"


def windowed_channels(m: Any, op: Any) -> None:
    op.attr["strides"].list.i[:] = [2, 1, 1, 1]


def edge_types(m: Any, op: Any) -> None:
    op.input_desc[0].dtype = 2


def edge_shapes(m: Any, op: Any) -> None:
    op.input_desc[0].shape.dim[:] = [1, 2, 6, 5]
    op.input_desc[0].attr["origin_shape"].list.i[:] = [1, 2, 6, 5]


def not_allowed(m: Any, op: Any) -> None:
    for desc in (op.output_desc[0],):
        desc.dtype = 13


def no_type(m: Any, op: Any) -> None:
    op.output_desc[0].dtype = 0


def no_shape(m: Any, op: Any) -> None:
    op.output_desc[0].shape.dim[:] = [-2]


def origin_differs(m: Any, op: Any) -> None:
    op.output_desc[0].attr["origin_shape"].list.i[:] = [9, 9, 9, 9]


def twice(m: Any, op: Any) -> None:
    m.graph[0].op.add().CopyFrom(op)


def nameless(m: Any, op: Any) -> None:
    op.name = ""


def other_index(m: Any, op: Any) -> None:
    op.attr["index"].i = 5


def data_changes(m: Any, op: Any) -> None:
    op.input_desc[0].dtype = 2


def short(m: Any, op: Any) -> None:
    op.attr["value"].t.data = op.attr["value"].t.data[:-1]


def lying(m: Any, op: Any) -> None:
    op.attr["value"].t.desc.dtype = 7


def empty_value(m: Any, op: Any) -> None:
    del op.attr["value"]


def proto_number(m: Any, op: Any) -> None:
    op.attr["dst_type"].i = 7  # INT32 in descriptor numbering; C++ numbering has UINT16 there


def descriptor_number(m: Any, op: Any) -> None:
    op.output_desc[0].dtype = 3  # INT32 in C++ numbering; descriptors have INT8 there


def gap(m: Any, op: Any) -> None:
    op.input_desc[1].name = "x2"
    op.attr["_input_name_key"].list.s[1] = b"x2"


def doubled(m: Any, op: Any) -> None:
    op.input_desc[1].name = "x0"
    op.attr["_input_name_key"].list.s[1] = b"x0"


def no_outputs(m: Any, op: Any) -> None:
    del m.graph[0].output[:]


def wrong_outputs(m: Any, op: Any) -> None:
    m.graph[0].output[0] = "nobody:0"


def statistics(m: Any, op: Any) -> None:
    op.output_desc[1].dtype = 2


@pytest.mark.parametrize(
    ("base", "kind", "change", "rule", "text"),
    [
        (CONV, "Conv2D", rename_type, "operator", "no such operator"),
        (CONV, "Conv2D", rename_input, "input", "no input 'weight'"),
        (CONV, "Conv2D", names_disagree, "input", "called weight in its descriptor and filter in the list"),
        (CONV, "Conv2D", drop("_input_name_key"), "input", "does not list the names"),
        (CONV, "Conv2D", drop_optional_names, "output", "does not list the names"),
        (CONV, "Conv2D", swap_inputs, "input", "not in the order"),
        (CONV, "Conv2D", unfeed, "input", "required input filter is not fed"),
        (CONV, "Conv2D", dangle, "edge", "nobody:0, which does not exist"),
        (CONV, "Conv2D", beyond, "edge", "no such output"),
        (CONV, "Conv2D", drop("strides"), "attribute", "required attribute strides is missing"),
        (CONV, "Conv2D", drop("data_format"), "attribute", "data_format is not written; its default is 'NHWC'"),
        (CONV, "Conv2D", channels_last, "attribute", "data_format is NHWC, but input x is marked NCHW"),
        (CONV, "Conv2D", windowed_channels, "attribute", "batch and channel"),
        (CONV, "Conv2D", wrong_kind, "attribute", "groups is stored as f"),
        (CONV, "Conv2D", no_val_type, "attribute", "does not say what it is a list of"),
        (CONV, "Conv2D", wrong_val_type, "attribute", "announces list.f and holds list.i"),
        (CONV, "Conv2D", edge_types, "edge", "input x is FLOAT16, but x0 makes FLOAT"),
        (CONV, "Conv2D", edge_shapes, "edge", "but x0 makes [1, 2, 5, 6]"),
        (CONV, "Conv2D", not_allowed, "dtype", "output y is STRING; allowed"),
        (CONV, "Conv2D", no_type, "dtype", "output y has no element type"),
        (CONV, "Conv2D", no_shape, "shape", "output y has no shape"),
        (CONV, "Conv2D", origin_differs, "shape", "origin shape"),
        (CONV, "Conv2D", twice, "name", "belongs to another operator"),
        (CONV, "Conv2D", nameless, "name", "no name"),
        (CONV, "Conv2D", no_outputs, "graph", "no outputs"),
        (CONV, "Conv2D", wrong_outputs, "graph", "nobody:0 of the graph"),
        (CONV, "Data", other_index, "data", "[5], not 0 to 0"),
        (CONV, "Data", data_changes, "data", "takes FLOAT16"),
        (CONV, "Const", short, "constant", "bytes where"),
        (CONV, "Const", lying, "constant", "its value is INT32"),
        (CONV, "Const", empty_value, "constant", "no value"),
        (NORM, "BatchNorm", drop("is_training"), "attribute", "is_training is not written; its default is True"),
        (NORM, "BatchNorm", drop_output, "output", "output reserve_space_3 is missing"),
        (NORM, "BatchNorm", statistics, "dtype", "stand where one element type is needed"),
        (MEAN, "ReduceMean", drop("noop_with_empty_axes"), "attribute", "its default is True"),
        (CAST, "Cast", proto_number, "dtype", "asks for uint16 (C++ numbering), the output is int32"),
        (CAST, "Cast", descriptor_number, "dtype", "asks for int32 (C++ numbering), the output is int8"),
        (CONCAT, "ConcatD", gap, "input", "not numbered from 0"),
        (CONCAT, "ConcatD", doubled, "input", "two inputs have one name"),
        (SPLIT, "SplitV", drop("num_split"), "attribute", "required attribute num_split"),
    ],
    ids=lambda v: getattr(v, "__name__", None) if callable(v) else None,
)
def test_each_rule_is_enforced(base: Any, kind: str, change: Any, rule: str, text: str) -> None:
    found = violations(base, change, kind)
    assert [v for v in found if v.rule == rule and text in v.message], [str(v) for v in found]


def test_all_violations_are_listed_at_once_with_names() -> None:
    def several(m: Any, op: Any) -> None:
        del op.attr["data_format"]
        del op.attr["pads"]
        op.input_desc[0].dtype = 2

    found = violations(CONV, several, "Conv2D")
    assert {v.node for v in found} == {"y0"}
    assert len(found) >= 3
    assert all(str(v).startswith("y0 (Conv2D): ") for v in found)


def test_operands_of_two_types_are_found() -> None:
    add = message("Add", sample(f32(2, 3), f32(3)))

    def mixed(m: Any, op: Any) -> None:
        data = next(o for o in m.graph[0].op if o.name == "x1")
        for desc in (data.input_desc[0], data.output_desc[0], op.input_desc[1]):
            desc.dtype = 7

    assert any("they have to be equal" in v.message for v in violations(add, mixed, "Add"))


def test_declared_shapes_are_compared_with_inferred_ones() -> None:
    copy = ModelDef()
    copy.CopyFrom(CONV)
    conv = next(op for op in copy.graph[0].op if op.type == "Conv2D")
    conv.attr["pads"].list.i[:] = [1, 0, 2, 1]  # ONNX's order: begins, ends
    found = air_check.check(air.parse(copy.SerializeToString()))
    assert [(v.node, v.rule) for v in found] == [("y0", "shape")]
    assert "the operator gives" in found[0].message


def test_export_refuses_what_the_table_does_not_allow() -> None:
    with pytest.raises(UnsupportedOps) as caught:
        to_target(build("Conv", sample(f64(1, 2, 5, 6), weight(3, 2, 2, 3, dtype=np.float64))), GE)
    assert caught.value.target == "AIR"
    assert any("DOUBLE" in op.reason for op in caught.value.ops)


def test_an_empty_file_has_no_graph() -> None:
    assert [v.rule for v in check_air(MODEL_DEF.new())] == ["graph"]


def test_the_table_is_complete_enough() -> None:
    table = OpTable.load(GE)
    assert len(table) == 1950
    conv = table.row("Conv2D")
    assert [(a.name, a.mode) for a in conv.inputs] == [
        ("x", "required"),
        ("filter", "required"),
        ("bias", "optional"),
        ("offset_w", "optional"),
    ]
    assert conv.attrs["data_format"].default == "NHWC"
    assert table.row("BatchNorm").attrs["is_training"].default is True
    assert table.row("ConcatD").inputs[0].mode == "dynamic"
    assert table.row("SplitV").outputs == (("y", "dynamic"),)


def test_integers_are_judged_by_their_own_rows() -> None:
    assert air.check(to_target(build("Add", sample(i32(2), i32(2))), GE)) == []
