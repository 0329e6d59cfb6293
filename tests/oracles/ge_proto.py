"""`ge.proto` for google.protobuf, in a descriptor pool of its own, written from the published field numbers.

Independent of `mindport.wire.schema_ge` on purpose: the two descriptions check each other.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto

# message -> "number name type", `*` marks repeated fields, map<...> a map from string to AttrDef
MESSAGES = {
    "ModelDef": ["1 name string", "2 version uint32", "3 custom_version string", "7 graph *GraphDef", "11 attr map"],
    "GraphDef": ["1 name string", "4 input *string", "5 output *string", "6 op *OpDef", "11 attr map"],
    "OpDef": [
        "1 name string",
        "2 type string",
        "5 input *string",
        "10 attr map",
        "20 has_out_attr bool",
        "21 id int64",
        "22 stream_id int64",
        "23 input_name *string",
        "24 src_name *string",
        "25 src_index *int64",
        "26 dst_name *string",
        "27 dst_index *int64",
        "28 input_i *int64",
        "29 output_i *int64",
        "30 workspace *int64",
        "31 workspace_bytes *int64",
        "32 is_input_const *bool",
        "33 input_desc *TensorDescriptor",
        "34 output_desc *TensorDescriptor",
        "35 subgraph_name *string",
    ],
    "TensorDescriptor": [
        "1 name string",
        "2 dtype DataType",
        "3 shape ShapeDef",
        "4 layout string",
        "5 attr map",
        "9 has_out_attr bool",
        "10 size int64",
        "11 weight_size int64",
        "12 reuse_input bool",
        "13 output_tensor bool",
        "14 device_type string",
        "15 input_tensor bool",
        "16 real_dim_cnt int64",
        "17 reuse_input_index int64",
        "18 data_offset int64",
        "19 cmps_size int64",
        "20 cmps_tab string",
        "21 cmps_tab_offset int64",
    ],
    "ShapeDef": ["1 dim *int64"],
    "TensorDef": ["1 desc TensorDescriptor", "2 data bytes"],
    "NamedAttrs": ["1 name string", "2 attr map"],
    "AttrDef": [
        "1 list ListValue",
        "2 s bytes",
        "3 i int64",
        "4 f float",
        "5 b bool",
        "7 bt bytes",
        "10 func NamedAttrs",
        "11 td TensorDescriptor",
        "12 t TensorDef",
        "13 g GraphDef",
        "14 list_list_int ListListInt",
        "15 dt int64",
        "16 list_list_float ListListFloat",
        "17 expression bytes",
    ],
    "ListValue": [
        "2 s *bytes",
        "3 i *int64",
        "4 f *float",
        "5 b *bool",
        "7 bt *bytes",
        "8 td *TensorDescriptor",
        "9 t *TensorDef",
        "10 g *GraphDef",
        "11 na *NamedAttrs",
        "12 dt *int64",
        "20 val_type ListValueType",
    ],
    "ListListInt": ["1 list_list_i *ListInt"],
    "ListInt": ["1 list_i *int64"],
    "ListListFloat": ["1 list_list_f *ListFloat"],
    "ListFloat": ["1 list_f *float"],
}
ENUMS = {  # values by number, as one text each
    "ListValueType": "NONE STRING INT FLOAT BOOL BYTES TENSOR_DESC TENSOR GRAPH NAMED_ATTRS DATA_TYPE",
    "DataType": (
        "UNDEFINED FLOAT FLOAT16 INT8 UINT8 INT16 UINT16 INT32 INT64 UINT32 UINT64 BOOL DOUBLE STRING DUAL_SUB_INT8 "
        "DUAL_SUB_UINT8 COMPLEX64 COMPLEX128 QINT8 QINT16 QINT32 QUINT8 QUINT16 RESOURCE STRING_REF DUAL VARIANT BF16"
    ),
}
_ONEOF = {"AttrDef"}
_SCALARS = {
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "bool": _F.TYPE_BOOL,
    "float": _F.TYPE_FLOAT,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="oracle/ge_ir.proto", package="ge.proto", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values.split()):
            enum.value.add(name=f"{name}_{value}", number=number)
    for name, rows in MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ONEOF:
            message.oneof_decl.add(name="value")
        for row in rows:
            _field(message, name, *row.split())
    return file


def _field(message: Any, owner: str, number: str, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=int(number))
    field.label = _F.LABEL_REPEATED if kind.startswith("*") or kind == "map" else _F.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    if kind == "map":
        entry = message.nested_type.add(name="AttrEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
        value = entry.field.add(name="value", number=2, type=_F.TYPE_MESSAGE, label=_F.LABEL_OPTIONAL)
        value.type_name = ".ge.proto.AttrDef"
        field.type, field.type_name = _F.TYPE_MESSAGE, f".ge.proto.{owner}.AttrEntry"
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _F.TYPE_ENUM if kind in ENUMS else _F.TYPE_MESSAGE
        field.type_name = f".ge.proto.{kind}"
    if owner in _ONEOF:
        field.oneof_index = 0


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ge.proto.{n}")) for n in MESSAGES}


CLASSES = _classes()
ModelDef = CLASSES["ModelDef"]
