"""Field numbers of `ge.proto` (ge_ir.proto, proto3): the messages inside an `.air` file.

An `.air` file is one `ModelDef`. The numbers below have not changed from the first public release (graphengine
r1.0, December 2020) to the present one; fields added later (attr_groups, list_list_float, expression) are read and
kept, and never written by mindport. `docs/formats/air.md` explains their meaning.

proto3 scalars that equal their default are left out by every protobuf writer, except members of a `oneof`
(`AttrDef.value`), whose presence means something: `spec.encode` writes every field that was set, so a builder sets
a plain field only when it differs from the default, and a oneof member always.
"""

from __future__ import annotations

from mindport.wire.spec import F, Spec

__all__ = [
    "ATTR_DEF",
    "ATTR_ENTRY",
    "ATTR_KINDS",
    "GRAPH_DEF",
    "LIST_LIST_FLOAT",
    "LIST_LIST_INT",
    "LIST_VALUE",
    "MODEL_DEF",
    "NAMED_ATTRS",
    "OP_DEF",
    "SHAPE_DEF",
    "TENSOR_DEF",
    "TENSOR_DESCRIPTOR",
    "VAL_TYPES",
]

SHAPE_DEF = Spec("ShapeDef", {1: F("dim", "int64", many=True, packed=True)})

TENSOR_DESCRIPTOR = Spec(
    "TensorDescriptor",
    {
        1: F("name", "string"),
        2: F("dtype", "enum"),  # ge.proto.DataType, not the C++ numbers
        3: F("shape", "message", of=lambda: SHAPE_DEF),
        4: F("layout", "string"),
        5: F("attr", "message", many=True, of=lambda: ATTR_ENTRY),
        9: F("has_out_attr", "bool"),
        10: F("size", "int64"),
        11: F("weight_size", "int64"),
        12: F("reuse_input", "bool"),
        13: F("output_tensor", "bool"),
        14: F("device_type", "string"),
        15: F("input_tensor", "bool"),
        16: F("real_dim_cnt", "int64"),
        17: F("reuse_input_index", "int64"),
        18: F("data_offset", "int64"),
        19: F("cmps_size", "int64"),
        20: F("cmps_tab", "string"),
        21: F("cmps_tab_offset", "int64"),
    },
)

TENSOR_DEF = Spec("TensorDef", {1: F("desc", "message", of=lambda: TENSOR_DESCRIPTOR), 2: F("data", "bytes")})

NAMED_ATTRS = Spec("NamedAttrs", {1: F("name", "string"), 2: F("attr", "message", many=True, of=lambda: ATTR_ENTRY)})

LIST_VALUE = Spec(
    "ListValue",
    {
        2: F("s", "bytes", many=True),
        3: F("i", "int64", many=True, packed=True),
        4: F("f", "float", many=True, packed=True),
        5: F("b", "bool", many=True, packed=True),
        7: F("bt", "bytes", many=True),
        8: F("td", "message", many=True, of=lambda: TENSOR_DESCRIPTOR),
        9: F("t", "message", many=True, of=lambda: TENSOR_DEF),
        10: F("g", "message", many=True, of=lambda: GRAPH_DEF),
        11: F("na", "message", many=True, of=lambda: NAMED_ATTRS),
        12: F("dt", "int64", many=True, packed=True),
        20: F("val_type", "enum"),
    },
)

# ListValue.val_type by the list member it announces; without it a loader skips the attribute silently
VAL_TYPES = {"s": 1, "i": 2, "f": 3, "b": 4, "bt": 5, "td": 6, "t": 7, "g": 8, "na": 9, "dt": 10}

_INTS = Spec("ListListInt.ListInt", {1: F("list_i", "int64", many=True, packed=True)})
_FLOATS = Spec("ListListFloat.ListFloat", {1: F("list_f", "float", many=True, packed=True)})
LIST_LIST_INT = Spec("ListListInt", {1: F("list_list_i", "message", many=True, of=lambda: _INTS)})
LIST_LIST_FLOAT = Spec("ListListFloat", {1: F("list_list_f", "message", many=True, of=lambda: _FLOATS)})

ATTR_DEF = Spec(
    "AttrDef",
    {
        1: F("list", "message", of=lambda: LIST_VALUE),
        2: F("s", "bytes"),
        3: F("i", "int64"),
        4: F("f", "float"),
        5: F("b", "bool"),
        7: F("bt", "bytes"),
        10: F("func", "message", of=lambda: NAMED_ATTRS),
        11: F("td", "message", of=lambda: TENSOR_DESCRIPTOR),
        12: F("t", "message", of=lambda: TENSOR_DEF),
        13: F("g", "message", of=lambda: GRAPH_DEF),
        14: F("list_list_int", "message", of=lambda: LIST_LIST_INT),
        15: F("dt", "int64"),  # C++ ge::DataType
        16: F("list_list_float", "message", of=lambda: LIST_LIST_FLOAT),
        17: F("expression", "bytes"),
    },
)

# every member of AttrDef belongs to the oneof `value`
ATTR_KINDS = tuple(f.name for f in ATTR_DEF.fields.values())

# an entry of any map<string, AttrDef>
ATTR_ENTRY: Spec = Spec("AttrEntry", {1: F("key", "string"), 2: F("value", "message", of=lambda: ATTR_DEF)})

OP_DEF = Spec(
    "OpDef",
    {
        1: F("name", "string"),
        2: F("type", "string"),
        5: F("input", "string", many=True),
        10: F("attr", "message", many=True, of=lambda: ATTR_ENTRY),
        20: F("has_out_attr", "bool"),
        21: F("id", "int64"),
        22: F("stream_id", "int64"),
        23: F("input_name", "string", many=True),
        24: F("src_name", "string", many=True),
        25: F("src_index", "int64", many=True, packed=True),
        26: F("dst_name", "string", many=True),
        27: F("dst_index", "int64", many=True, packed=True),
        28: F("input_i", "int64", many=True, packed=True),
        29: F("output_i", "int64", many=True, packed=True),
        30: F("workspace", "int64", many=True, packed=True),
        31: F("workspace_bytes", "int64", many=True, packed=True),
        32: F("is_input_const", "bool", many=True, packed=True),
        33: F("input_desc", "message", many=True, of=lambda: TENSOR_DESCRIPTOR),
        34: F("output_desc", "message", many=True, of=lambda: TENSOR_DESCRIPTOR),
        35: F("subgraph_name", "string", many=True),
    },
)

GRAPH_DEF: Spec = Spec(
    "GraphDef",
    {
        1: F("name", "string"),
        4: F("input", "string", many=True),
        5: F("output", "string", many=True),
        6: F("op", "message", many=True, of=lambda: OP_DEF),
        11: F("attr", "message", many=True, of=lambda: ATTR_ENTRY),
    },
)

MODEL_DEF = Spec(
    "ModelDef",
    {
        1: F("name", "string"),
        2: F("version", "uint32"),
        3: F("custom_version", "string"),
        7: F("graph", "message", many=True, of=lambda: GRAPH_DEF),
        11: F("attr", "message", many=True, of=lambda: ATTR_ENTRY),
    },
)
