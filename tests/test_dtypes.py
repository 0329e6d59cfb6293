"""The dtype table against the systems it speaks of."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir
import pytest
import torch

from mindport.dtypes import (
    DTYPES,
    DType,
    by_ckpt,
    by_ge,
    by_ge_attr,
    by_mindir,
    by_numpy,
    by_onnx,
    by_type_id,
    named,
)
from mindport.errors import UnsupportedDType

WITH_ONNX = [d for d in DTYPES if d.onnx is not None]


@pytest.mark.parametrize("dtype", WITH_ONNX, ids=lambda d: d.name)
def test_onnx_numbers_are_those_of_onnx(dtype: DType) -> None:
    assert dtype.onnx is not None
    assert onnx_ir.DataType(dtype.onnx).numpy() == dtype.numpy
    assert onnx.helper.tensor_dtype_to_np_dtype(dtype.onnx) == dtype.numpy


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.torch], ids=lambda d: d.name)
def test_torch_names_are_those_of_torch(dtype: DType) -> None:
    assert dtype.torch is not None
    there = getattr(torch, dtype.torch)
    assert there.itemsize == dtype.itemsize
    assert str(there) == f"torch.{dtype.name}"


def test_every_name_leads_back() -> None:
    for dtype in DTYPES:
        assert named(dtype.name) is dtype
        assert by_ckpt(dtype.ckpt) is dtype
        if dtype.exact:
            assert by_numpy(dtype.numpy) is dtype
        for key, find in (
            (dtype.mindir, by_mindir),
            (dtype.type_id, by_type_id),
            (dtype.ge, by_ge),
            (dtype.ge_attr, by_ge_attr),
            (dtype.onnx, by_onnx),
        ):
            if key is not None:
                assert find(key) is dtype


@pytest.mark.parametrize("attribute", ["name", "ckpt", "mindir", "type_id", "ge", "ge_attr", "onnx"])
def test_no_number_stands_for_two_types(attribute: str) -> None:
    keys = [getattr(d, attribute) for d in DTYPES if getattr(d, attribute) is not None]
    assert len(keys) == len(set(keys))


def test_native_types_are_those_numpy_has_itself() -> None:
    foreign = {"bfloat16", "float8_e4m3fn", "float8_e5m2", "hifloat8", "qint4x2"}
    assert {d.name for d in DTYPES if not d.native} == foreign
    assert {d.name for d in DTYPES if d.native} == {
        d.name for d in DTYPES if np.dtype(d.numpy).name == d.name
    } - foreign


def test_byte_order_and_old_spellings() -> None:
    assert by_numpy(np.dtype(">f4")).name == "float32"
    assert by_numpy(ml_dtypes.bfloat16).name == "bfloat16"
    assert by_ckpt("Uint8").name == "uint8"


@pytest.mark.parametrize("call", [lambda: named("float7"), lambda: by_numpy("M8[s]"), lambda: by_onnx(999)])
def test_unknown_types_are_refused(call: object) -> None:
    with pytest.raises(UnsupportedDType, match="not a tensor element type"):
        call()  # type: ignore[operator]
