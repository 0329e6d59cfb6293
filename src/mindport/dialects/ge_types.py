"""Names of GE element types in the order of their numbers in `ge.proto.DataType` (tensor descriptors)."""

from __future__ import annotations

__all__ = ["GE_PROTO_TYPES"]

# fmt: off
GE_PROTO_TYPES = (
    "UNDEFINED", "FLOAT", "FLOAT16", "INT8", "UINT8", "INT16", "UINT16", "INT32",
    "INT64", "UINT32", "UINT64", "BOOL", "DOUBLE", "STRING", "DUAL_SUB_INT8", "DUAL_SUB_UINT8",
    "COMPLEX64", "COMPLEX128", "QINT8", "QINT16", "QINT32", "QUINT8", "QUINT16", "RESOURCE",
    "STRING_REF", "DUAL", "VARIANT", "BF16", "INT4", "UINT1", "INT2", "UINT2",
    "COMPLEX32", "HIFLOAT8", "FLOAT8_E5M2", "FLOAT8_E4M3FN", "FLOAT8_E8M0", "FLOAT6_E3M2", "FLOAT6_E2M3", "FLOAT4_E2M1",
    "FLOAT4_E1M2", "HIFLOAT4",
)
# fmt: on
