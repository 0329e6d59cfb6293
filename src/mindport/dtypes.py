"""One table of element types: our name beside the name or number every other system gives it.

Sources: MindSpore 2.10.0 `.ckpt` type strings and TypeIds (measured), mind_ir.proto and onnx.proto data types,
ge_ir.proto `DataType` and the C++ `ge::DataType` (two numberings of the same types: descriptors use the first,
attribute values such as `Cast.dst_type` the second).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from mindport.errors import UnsupportedDType

__all__ = [
    "DTYPES",
    "DType",
    "by_ckpt",
    "by_ge",
    "by_ge_attr",
    "by_mindir",
    "by_numpy",
    "by_onnx",
    "by_type_id",
    "named",
]


@dataclass(frozen=True)
class DType:
    """An element type.

    Attributes:
        name: mindport's name, equal to NumPy's where NumPy has the type.
        numpy: element type of the bytes in memory (`uint8` for 8-bit types NumPy cannot express).
        ckpt: spelling in a `.ckpt` record.
        mindir: `mind_ir.TensorProto.DataType`, or None.
        type_id: MindSpore `TypeId`, used by `dtype` arguments of operators, or None.
        ge: `ge.proto.DataType`, or None.
        ge_attr: C++ `ge::DataType` as written in attributes, or None.
        onnx: `onnx.TensorProto.DataType`, or None.
        torch: attribute name on the `torch` module, or None.
        exact: False when `numpy` is only a container for raw bits.
    """

    name: str
    numpy: np.dtype[Any]
    ckpt: str
    mindir: int | None
    type_id: int | None
    ge: int | None
    ge_attr: int | None
    onnx: int | None
    torch: str | None
    exact: bool = True

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return int(self.numpy.itemsize)

    @property
    def native(self) -> bool:
        """True if NumPy itself has the type (bfloat16 and float8 come from ml_dtypes)."""
        return self.exact and self.numpy.kind != "V" and self.numpy.type.__module__ == "numpy"


def _np(spec: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(spec).newbyteorder("<")
    return dtype


# fmt: off
DTYPES: tuple[DType, ...] = (
    #      name            numpy                       ckpt          mindir typeid ge ge_attr onnx torch
    DType("bool",          _np(np.bool_),              "Bool",           9,   30, 11, 12,   9, "bool"),
    DType("int8",          _np(np.int8),               "Int8",           3,   32,  3,  2,   3, "int8"),
    DType("int16",         _np(np.int16),              "Int16",          5,   33,  5,  6,   5, "int16"),
    DType("int32",         _np(np.int32),              "Int32",          6,   34,  7,  3,   6, "int32"),
    DType("int64",         _np(np.int64),              "Int64",          7,   35,  8,  9,   7, "int64"),
    DType("uint8",         _np(np.uint8),              "UInt8",          2,   37,  4,  4,   2, "uint8"),
    DType("uint16",        _np(np.uint16),             "UInt16",         4,   38,  6,  7,   4, "uint16"),
    DType("uint32",        _np(np.uint32),             "UInt32",        12,   39,  9,  8,  12, "uint32"),
    DType("uint64",        _np(np.uint64),             "UInt64",        13,   40, 10, 10,  13, "uint64"),
    DType("float16",       _np(np.float16),            "Float16",       10,   42,  2,  1,  10, "float16"),
    DType("float32",       _np(np.float32),            "Float32",        1,   43,  1,  0,   1, "float32"),
    DType("float64",       _np(np.float64),            "Float64",       11,   44, 12, 11,  11, "float64"),
    DType("bfloat16",      np.dtype(ml_dtypes.bfloat16), "BFloat16",    16,   45, 27, 27,  16, "bfloat16"),
    DType("complex64",     _np(np.complex64),          "Complex64",     14,   51, 16, 16,  14, "complex64"),
    DType("complex128",    _np(np.complex128),         "Complex128",    15,   52, 17, 17,  15, "complex128"),
    DType("float8_e4m3fn", np.dtype(ml_dtypes.float8_e4m3fn), "Float8E4M3FN", None, None, 35, 36, 17, "float8_e4m3fn"),
    DType("float8_e5m2",   np.dtype(ml_dtypes.float8_e5m2),   "Float8E5M2",   None, None, 34, 35, 19, "float8_e5m2"),
    DType("hifloat8",      _np(np.uint8),              "HiFloat8",    None, None, 33, 34, None, None, exact=False),
    # two 4-bit numbers in each byte; shapes count bytes, as MindSpore's do
    DType("qint4x2",       _np(np.int8),               "Int4",          18, None, None, None, None, None, exact=False),
)
# fmt: on

_BY_NAME = {d.name: d for d in DTYPES}
_BY_NUMPY = {d.numpy: d for d in DTYPES if d.exact}
_BY_CKPT = {d.ckpt: d for d in DTYPES} | {
    # spelled so by the loader table of MindSpore 1.0
    alias: _BY_NAME[alias.lower()]
    for alias in ("Uint8", "Uint16", "Uint32", "Uint64")
}
_BY_MINDIR = {d.mindir: d for d in DTYPES if d.mindir is not None} | {17: _BY_NAME["float64"]}  # 17: a second float64
_BY_TYPE_ID = {d.type_id: d for d in DTYPES if d.type_id is not None}
_BY_GE = {d.ge: d for d in DTYPES if d.ge is not None}
_BY_GE_ATTR = {d.ge_attr: d for d in DTYPES if d.ge_attr is not None}
_BY_ONNX = {d.onnx: d for d in DTYPES if d.onnx is not None}


def _find(table: dict[Any, DType], key: object, system: str) -> DType:
    found = table.get(key)
    if found is None:
        raise UnsupportedDType(f"{system} type {key!r} is not a tensor element type that mindport knows")
    return found


def named(name: str) -> DType:
    """Returns the type called `name` here, e.g. ``"bfloat16"``. Raises UnsupportedDType."""
    return _find(_BY_NAME, name, "mindport")


def by_numpy(dtype: Any) -> DType:
    """Returns the type for a NumPy (or ml_dtypes) dtype of any byte order. Raises UnsupportedDType."""
    d = np.dtype(dtype)
    if d.byteorder == ">":
        d = d.newbyteorder("<")
    return _find(_BY_NUMPY, d, "NumPy")


def by_ckpt(text: str) -> DType:
    """Returns the type for the `tensor_type` text of a `.ckpt` record. Raises UnsupportedDType."""
    return _find(_BY_CKPT, text, "checkpoint")


def by_mindir(number: int) -> DType:
    """Returns the type for a `mind_ir.TensorProto.DataType` number. Raises UnsupportedDType."""
    return _find(_BY_MINDIR, number, "MindIR")


def by_type_id(number: int) -> DType:
    """Returns the type for a MindSpore `TypeId` number. Raises UnsupportedDType."""
    return _find(_BY_TYPE_ID, number, "MindSpore TypeId")


def by_ge(number: int) -> DType:
    """Returns the type for a `ge.proto.DataType` number (tensor descriptors). Raises UnsupportedDType."""
    return _find(_BY_GE, number, "GE")


def by_ge_attr(number: int) -> DType:
    """Returns the type for a C++ `ge::DataType` number (attribute values). Raises UnsupportedDType."""
    return _find(_BY_GE_ATTR, number, "GE attribute")


def by_onnx(number: int) -> DType:
    """Returns the type for an `onnx.TensorProto.DataType` number. Raises UnsupportedDType."""
    return _find(_BY_ONNX, number, "ONNX")
