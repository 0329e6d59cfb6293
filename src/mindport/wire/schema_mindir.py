"""Field numbers of MindIR files: `mind_ir.ModelProto` (proto2), read from the descriptor in MindSpore 2.10.0.

The values 1 to 16 of `TensorProto.DataType` are ONNX's; 17 is a second float64. See ``docs/formats/mindir.md``.
"""

from __future__ import annotations

from mindport.wire.spec import F, Spec

__all__ = ["ATTRIBUTE", "ATTR_TYPES", "GRAPH", "MODEL", "NODE", "PRIMITIVE", "TENSOR", "VALUE_INFO", "AttrType"]

EXTERNAL: Spec = Spec(
    "ExternalDataProto", {1: F("location", "string"), 2: F("offset", "int64"), 3: F("length", "int64")}
)

QUANT: Spec = Spec(
    "QuantParamProto",
    {1: F("quant_algo_name", "string"), 2: F("attribute", "message", many=True, of=lambda: ATTRIBUTE)},
)

TENSOR: Spec = Spec(
    "TensorProto",
    {
        1: F("dims", "int64", many=True),
        2: F("data_type", "int32"),
        3: F("float_data", "float", many=True),
        4: F("int32_data", "int32", many=True),
        5: F("string_data", "bytes", many=True),
        6: F("int64_data", "int64", many=True),
        7: F("name", "string"),
        8: F("doc_string", "string"),
        9: F("raw_data", "bytes"),
        10: F("double_data", "double", many=True),
        11: F("uint64_data", "uint64", many=True),
        12: F("external_data", "message", of=lambda: EXTERNAL),
        13: F("ref_key", "string"),
        14: F("min_dims", "int64", many=True),
        15: F("max_dims", "int64", many=True),
        16: F("compression_type", "enum"),
        17: F("quant_params", "message", many=True, of=lambda: QUANT),
    },
)

SEQ_INFO: Spec = Spec(
    "SeqInfoProto",
    {1: F("is_dyn_len", "bool"), 2: F("tuple_elem_item", "message", of=lambda: ATTRIBUTE)},
)

ATTRIBUTE: Spec = Spec(
    "AttributeProto",
    {
        1: F("name", "string"),
        2: F("f", "float"),
        3: F("i", "int64"),
        4: F("d", "double"),
        5: F("s", "bytes"),
        6: F("t", "message", of=lambda: TENSOR),
        7: F("g", "message", of=lambda: GRAPH),
        8: F("floats", "float", many=True),
        9: F("doubles", "double", many=True),
        10: F("ints", "int64", many=True),
        11: F("strings", "bytes", many=True),
        12: F("tensors", "message", many=True, of=lambda: TENSOR),
        13: F("graphs", "message", many=True, of=lambda: GRAPH),
        14: F("doc_string", "string"),
        15: F("ref_attr_name", "string"),
        16: F("type", "enum"),
        17: F("values", "message", many=True, of=lambda: ATTRIBUTE),
        18: F("seq_info", "message", of=lambda: SEQ_INFO),
        19: F("functor", "bytes"),  # FunctorProto and GraphHolderProto: never met, kept as they are
        20: F("graph_holder", "bytes"),
    },
)

VALUE_INFO: Spec = Spec(
    "ValueInfoProto",
    {
        1: F("name", "string"),
        2: F("tensor", "message", many=True, of=lambda: TENSOR),
        3: F("doc_string", "string"),
        4: F("denotation", "string"),
        5: F("attr_info", "message", of=lambda: ATTRIBUTE),
    },
)

NODE: Spec = Spec(
    "NodeProto",
    {
        1: F("input", "string", many=True),
        2: F("output", "string", many=True),
        3: F("name", "string"),
        4: F("op_type", "string"),
        5: F("attribute", "message", many=True, of=lambda: ATTRIBUTE),
        6: F("doc_string", "string"),
        7: F("domain", "string"),
        8: F("node_attr", "message", many=True, of=lambda: ATTRIBUTE),
        9: F("primal_attr", "message", many=True, of=lambda: ATTRIBUTE),
    },
)

GRAPH: Spec = Spec(
    "GraphProto",
    {
        1: F("node", "message", many=True, of=lambda: NODE),
        2: F("name", "string"),
        3: F("parameter", "message", many=True, of=lambda: TENSOR),
        4: F("doc_string", "string"),
        5: F("input", "message", many=True, of=lambda: VALUE_INFO),
        6: F("output", "message", many=True, of=lambda: VALUE_INFO),
        7: F("bprop_hash", "string"),
        8: F("attribute", "message", many=True, of=lambda: ATTRIBUTE),
        9: F("bprop_filepath", "string"),
        10: F("map_parameter", "bytes", many=True),
    },
)

PRIMITIVE: Spec = Spec(
    "PrimitiveProto",
    {
        1: F("name", "string"),
        2: F("op_type", "string"),
        3: F("attribute", "message", many=True, of=lambda: ATTRIBUTE),
        4: F("instance_name", "string"),
        5: F("prim_type", "enum"),  # 1 classic primitive, 2 primitive function
    },
)

USER_INFO: Spec = Spec("UserInfoEntry", {1: F("key", "string"), 2: F("value", "string")})

MODEL: Spec = Spec(
    "ModelProto",
    {
        1: F("ir_version", "string"),
        2: F("producer_name", "string"),
        3: F("producer_version", "string"),
        4: F("domain", "string"),
        5: F("model_version", "string"),
        6: F("doc_string", "string"),
        7: F("graph", "message", of=lambda: GRAPH),
        8: F("functions", "message", many=True, of=lambda: GRAPH),
        9: F("preprocessor", "bytes"),
        10: F("little_endian", "bool"),
        11: F("parallel", "bytes"),
        12: F("primitives", "message", many=True, of=lambda: PRIMITIVE),
        13: F("mind_ir_version", "int64"),
        14: F("user_info", "message", many=True, of=lambda: USER_INFO),
    },
)


class AttrType:
    """`AttributeProto.AttributeType` numbers that writers use."""

    FLOAT, INT64, STRING, BOOL = 1, 7, 8, 9
    TENSOR, GRAPH, TENSORS, TUPLE, LIST, DICT = 17, 18, 19, 20, 21, 22
    UMONAD, IOMONAD, NONE = 23, 24, 25


# scalars of other widths: type number -> (kind of `literals.Num`, singular field, plural field)
ATTR_TYPES: dict[int, tuple[str, str, str]] = {
    2: ("UINT8", "i", "ints"),
    3: ("INT8", "i", "ints"),
    4: ("UINT16", "i", "ints"),
    5: ("INT16", "i", "ints"),
    6: ("INT32", "i", "ints"),
    10: ("FLOAT16", "f", "floats"),
    11: ("DOUBLE", "d", "doubles"),
    12: ("UINT32", "i", "ints"),
    13: ("UINT64", "i", "ints"),
    16: ("BFLOAT16", "f", "floats"),
}
