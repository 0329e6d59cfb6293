"""The field table of `ge.proto` against a description written independently of it, field by field."""

from __future__ import annotations

import pytest

from mindport.dialects.ge_types import GE_PROTO_TYPES
from mindport.wire import schema_ge
from mindport.wire.spec import Spec
from oracles.ge_proto import CLASSES, ENUMS

SPECS = {
    "ModelDef": schema_ge.MODEL_DEF,
    "GraphDef": schema_ge.GRAPH_DEF,
    "OpDef": schema_ge.OP_DEF,
    "TensorDescriptor": schema_ge.TENSOR_DESCRIPTOR,
    "ShapeDef": schema_ge.SHAPE_DEF,
    "TensorDef": schema_ge.TENSOR_DEF,
    "NamedAttrs": schema_ge.NAMED_ATTRS,
    "AttrDef": schema_ge.ATTR_DEF,
    "ListValue": schema_ge.LIST_VALUE,
    "ListListInt": schema_ge.LIST_LIST_INT,
    "ListListFloat": schema_ge.LIST_LIST_FLOAT,
}
KINDS = {
    1: "double",
    2: "float",
    3: "int64",
    8: "bool",
    9: "string",
    11: "message",
    12: "bytes",
    13: "uint32",
    14: "enum",
}


@pytest.mark.parametrize("name", SPECS)
def test_numbers_kinds_and_labels_agree(name: str) -> None:
    spec: Spec = SPECS[name]
    theirs = {f.number: f for f in CLASSES[name].DESCRIPTOR.fields}
    assert set(spec.fields) == set(theirs)
    for number, ours in spec.fields.items():
        other = theirs[number]
        assert ours.name == other.name
        assert ours.kind == KINDS[other.type]
        assert ours.many == other.is_repeated
        if ours.many and ours.kind in {"int64", "float", "bool"}:
            assert ours.packed == other.is_packed


def test_every_member_of_an_attribute_is_in_the_oneof() -> None:
    assert set(schema_ge.ATTR_KINDS) == {f.name for f in CLASSES["AttrDef"].DESCRIPTOR.oneofs[0].fields}


def test_list_kinds_are_numbered_as_the_enum_says() -> None:
    names = ENUMS["ListValueType"].split()
    words = {"s": "STRING", "i": "INT", "f": "FLOAT", "b": "BOOL", "bt": "BYTES", "td": "TENSOR_DESC", "t": "TENSOR"}
    words |= {"g": "GRAPH", "na": "NAMED_ATTRS", "dt": "DATA_TYPE"}
    assert {k: names.index(w) for k, w in words.items()} == schema_ge.VAL_TYPES


def test_names_of_element_types_are_in_the_order_of_their_numbers() -> None:
    assert list(GE_PROTO_TYPES[:28]) == ENUMS["DataType"].split()
