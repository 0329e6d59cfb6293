"""Field numbers of MindSpore's anf_ir.proto (package mindspore.irpb, proto2): what `-graph.meta` files hold.

Taken from the descriptors of MindSpore 2.10.0 (`mindspore.train.anf_ir_pb2`).
"""

from __future__ import annotations

from mindport.wire.spec import F, Spec

__all__ = [
    "ATTRIBUTE",
    "DATA_TYPES",
    "GRAPH",
    "INPUT",
    "MODEL",
    "NAMED_VALUE",
    "NODE",
    "OUTPUT",
    "PARAMETER",
    "TENSOR",
    "TYPE",
    "VALUE",
]

DATA_TYPES: dict[str, int] = {
    "bool": 1,
    "int8": 2,
    "int16": 3,
    "int32": 4,
    "int64": 5,
    "uint8": 6,
    "uint16": 7,
    "uint32": 8,
    "uint64": 9,
    "float16": 10,
    "float32": 11,
    "float64": 12,
    "string": 13,
    "tensor": 14,
    "tuple": 31,
    "list": 32,
    "none": 34,
    "complex64": 43,
    "complex128": 44,
    "bfloat16": 46,
}
"""`DataType` by name: element types, and the kinds of value that mindport writes."""

DIM = Spec("Dimension", {1: F("size", "int64"), 2: F("name", "string")})
SHAPE = Spec("TensorShapeProto", {1: F("dim", "message", many=True, of=lambda: DIM)})
TENSOR_TYPE = Spec("Tensor", {1: F("elem_type", "enum"), 2: F("shape", "message", of=lambda: SHAPE)})
SEQUENCE_TYPE: Spec = Spec("Sequence", {1: F("elem_types", "message", many=True, of=lambda: TYPE)})
TYPE: Spec = Spec(
    "TypeProto",
    {
        1: F("data_type", "enum"),
        2: F("tensor_type", "message", of=lambda: TENSOR_TYPE),
        3: F("sequence_type", "message", of=lambda: SEQUENCE_TYPE),
    },
)
TENSOR = Spec(
    "TensorProto",
    {
        1: F("dims", "int64", many=True),
        2: F("data_type", "enum"),
        3: F("float_data", "float", many=True, packed=True),
        4: F("int32_data", "int32", many=True, packed=True),
        5: F("int64_data", "int64", many=True, packed=True),
        6: F("double_data", "double", many=True, packed=True),
        7: F("uint64_data", "uint64", many=True, packed=True),
        8: F("raw_data", "bytes"),
    },
)
VALUE: Spec = Spec(
    "ValueProto",
    {
        1: F("dtype", "enum"),
        2: F("bool_val", "bool"),
        3: F("int_val", "int64"),
        4: F("uint_val", "uint64"),
        5: F("float_val", "float"),
        6: F("double_val", "double"),
        7: F("str_val", "string"),
        8: F("tensor_val", "message", of=lambda: TENSOR),
        9: F("graph", "message", of=lambda: GRAPH),
        10: F("bool_vals", "bool", many=True),
        11: F("int_vals", "int64", many=True),
        12: F("uint_vals", "uint64", many=True),
        13: F("float_vals", "float", many=True),
        14: F("double_vals", "double", many=True),
        15: F("str_vals", "string", many=True),
        16: F("tensor_vals", "message", many=True, of=lambda: TENSOR),
        17: F("graphs", "message", many=True, of=lambda: GRAPH),
        18: F("values", "message", many=True, of=lambda: VALUE),
        19: F("dict_val", "message", many=True, of=lambda: NAMED_VALUE),
        20: F("type_val", "message", of=lambda: TYPE),
    },
)
ATTRIBUTE = Spec("AttributeProto", {1: F("name", "string"), 2: F("value", "message", of=lambda: VALUE)})
NAMED_VALUE: Spec = Spec("NamedValueProto", {1: F("key", "string"), 2: F("value", "message", of=lambda: VALUE)})
INPUT = Spec("InputProto", {1: F("name", "string"), 2: F("type", "enum")})
NODE = Spec(
    "NodeProto",
    {
        1: F("input", "message", many=True, of=lambda: INPUT),
        2: F("name", "string"),
        3: F("op_type", "string"),
        4: F("scope", "string"),
        5: F("attribute", "message", many=True, of=lambda: ATTRIBUTE),
        6: F("output_type", "message", of=lambda: TYPE),
        7: F("output_i", "uint64"),
        8: F("full_name", "string"),
        10: F("instance_name", "string"),
    },
)
PARAMETER = Spec(
    "ParameterProto",
    {
        1: F("name", "string"),
        2: F("type", "message", of=lambda: TYPE),
        3: F("default_val", "message", of=lambda: VALUE),
    },
)
OUTPUT = Spec("OutputProto", {1: F("name", "string"), 2: F("type", "message", of=lambda: TYPE)})
GRAPH: Spec = Spec(
    "GraphProto",
    {
        1: F("node", "message", many=True, of=lambda: NODE),
        2: F("name", "string"),
        3: F("parameters", "message", many=True, of=lambda: PARAMETER),
        4: F("outputs", "message", many=True, of=lambda: OUTPUT),
        5: F("const_vals", "message", many=True, of=lambda: NAMED_VALUE),
    },
)
OPERATOR = Spec("OperatorProto", {1: F("name", "string"), 2: F("config", "bytes"), 3: F("obj_info", "bytes")})
OPERATOR_SET = Spec(
    "OperatorSetProto", {1: F("operators", "message", many=True, of=lambda: OPERATOR), 2: F("summary", "string")}
)
MODEL = Spec(
    "ModelProto",
    {
        1: F("ir_version", "int64"),
        2: F("domain", "string"),
        3: F("model_version", "int64"),
        4: F("graph", "message", of=lambda: GRAPH),
        5: F("metadata_operators", "message", of=lambda: OPERATOR_SET),
    },
)
