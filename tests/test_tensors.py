"""Tensors are views: of arrays, of torch tensors, of mapped files."""

from __future__ import annotations

import copy
import io
import sys

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mindport
from mindport.dtypes import named
from mindport.errors import Unsupported, UnsupportedDType, UsageError, WrongTypeError
from mindport.tensors import ArrayRef, FileRef, Tensor, TensorRef, as_ref


def content(ref: TensorRef, limit: int) -> bytes:
    return b"".join(ref.chunks(limit))


def test_tensor_of_the_tutorial() -> None:
    data = np.random.default_rng(3).uniform(0.0, 1.0, (1, 3, 5, 7)).astype(np.float32)
    tensor = mindport.Tensor(data)
    assert tensor.shape == (1, 3, 5, 7)
    assert (tensor.dtype.name, tensor.ndim, tensor.size, tensor.nbytes) == ("float32", 4, 105, 420)
    assert np.shares_memory(np.asarray(tensor), data)
    assert np.shares_memory(torch.as_tensor(np.asarray(tensor)).numpy(), data)
    assert "shape=[1, 3, 5, 7]" in repr(tensor)


def test_dtype_is_converted_when_asked() -> None:
    tensor = Tensor([1.5, -2.0], dtype="float16", name="w")
    assert (tensor.dtype.name, tensor.name) == ("float16", "w")
    assert Tensor(tensor, dtype=np.int32).numpy().tolist() == [1, -2]
    assert np.asarray(tensor, dtype=np.float64).dtype == np.float64


def test_scalars_behave_like_numbers() -> None:
    scalar = Tensor(np.array(3, np.int64))
    assert (int(scalar), float(scalar), bool(scalar), scalar.item()) == (3, 3.0, True, 3)
    with pytest.raises(TypeError, match="no length"):
        len(scalar)
    assert len(Tensor([[1, 2, 3]])) == 1
    assert Tensor([[1, 2, 3]])[0, 2] == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool])
def test_torch_tensors_are_viewed(dtype: torch.dtype) -> None:
    source = torch.arange(6, dtype=torch.float32).reshape(2, 3).to(dtype)
    ref = as_ref(source.requires_grad_() if dtype == torch.float32 else source, "w")
    assert (ref.name, f"torch.{ref.dtype.name}", ref.shape) == ("w", str(dtype), (2, 3))
    with torch.no_grad():
        source[1, 2] = 0
    assert float(ref.numpy()[1, 2]) == 0.0
    assert content(ref, 4) == source.detach().view(torch.uint8).numpy().tobytes()


@given(
    hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<i8", ">u2", "?"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
    ),
    st.integers(min_value=1, max_value=64),
)
def test_chunks_are_little_endian_c_order(array: np.ndarray, limit: int) -> None:
    expected = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    for given_array in (array, np.asfortranarray(array)):
        ref = ArrayRef("a", given_array)
        assert content(ref, limit) == expected
        assert all(0 < len(c) <= limit for c in ref.chunks(limit))


def test_file_ref_views_one_slice_and_joins_several() -> None:
    data = bytearray(np.arange(6, dtype="<i4").tobytes())
    whole = FileRef("w", named("int32"), (2, 3), [memoryview(data)], offset=40)
    cut = FileRef("w", named("int32"), (2, 3), [memoryview(data)[:10], memoryview(data)[10:]], offset=40)
    assert whole.numpy().tolist() == cut.numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    data[0] = 9
    assert whole.numpy()[0, 0] == 9
    cut.numpy()[0, 0] = 7  # a copy, and writable
    assert (whole.nbytes, cut.nbytes) == (24, 24)
    assert content(cut, 7) == bytes(data)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.ones((2, 3), ml_dtypes.bfloat16),
        np.ones(4, ml_dtypes.float8_e5m2),
        np.array([True, False]),
        np.array(3, np.int64),
        np.ones(2, np.complex64),
        np.ones(3, np.uint16),
    ],
    ids=lambda a: a.dtype.name,
)
def test_torch_views_a_tensor_of_ours(array: np.ndarray) -> None:
    tensor = Tensor(array)
    for make in (torch.as_tensor, torch.asarray, torch.from_dlpack):
        there = make(tensor)
        assert str(there.dtype) == f"torch.{tensor.dtype.name}"
        assert (tuple(there.shape), there.data_ptr()) == (array.shape, array.ctypes.data)
    assert torch.as_tensor(Tensor(np.zeros((0, 3), np.float32))).shape == (0, 3)


def test_dlpack_without_torch_is_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    array = np.arange(6, dtype=np.float32)
    assert np.shares_memory(np.from_dlpack(Tensor(array)), array)
    with pytest.raises(BufferError):
        Tensor(np.ones(2, ml_dtypes.bfloat16)).__dlpack__()


def test_copies() -> None:
    data = bytearray(np.arange(6, dtype="<i2").tobytes())
    tensor = Tensor(FileRef("w", named("int16"), (2, 3), [memoryview(data)], offset=0))
    shallow, deep = copy.copy(tensor), copy.deepcopy({"w": tensor})["w"]
    data[0] = 9
    assert (shallow.numpy()[0, 0], deep.numpy()[0, 0]) == (9, 0)
    assert (shallow.name, deep.name, deep.dtype, deep.shape) == ("w", "w", named("int16"), (2, 3))


def test_bits_are_a_view() -> None:
    array = np.array([1.0, -2.0], ml_dtypes.bfloat16)
    assert Tensor(array).bits().tolist() == [0x3F80, 0xC000]
    assert np.shares_memory(Tensor(array).bits(), array)
    assert Tensor(np.ones(2, np.complex128)).bits().dtype == np.complex128  # no integer is as wide


def test_bfloat16_arrays_keep_their_type() -> None:
    assert Tensor(np.ones(3, ml_dtypes.bfloat16)).dtype.name == "bfloat16"


@pytest.mark.parametrize("value", ["text", None, b"bytes", [[1, 2], [3]], np.array([object()])])
def test_what_is_no_tensor_is_refused(value: object) -> None:
    with pytest.raises(WrongTypeError, match="cannot make a tensor"):
        Tensor(value)


def test_dates_are_no_tensor_elements() -> None:
    with pytest.raises(UnsupportedDType):
        as_ref(np.array(["2020-01-01"], "M8[D]"))


@pytest.mark.parametrize("value", [np.array([[1.5, -2.0]], ">f4"), np.array(3, ">i8"), np.array([1 + 2j], ">c16")])
def test_big_endian_arrays_are_converted(value: np.ndarray) -> None:
    tensor = Tensor(value)
    assert tensor.numpy().dtype.isnative
    assert tensor.numpy().tolist() == value.tolist()
    assert tensor.numpy() is tensor.numpy()  # converted once: what is written into it stays
    assert torch.as_tensor(tensor).tolist() == value.tolist()
    assert content(tensor, 4) == value.astype(value.dtype.newbyteorder("<")).tobytes()


def test_lazy_views_of_torch_become_plain_memory() -> None:
    source = torch.tensor([1 + 2j, 3 - 4j])
    assert Tensor(source.conj()).numpy().tolist() == [1 - 2j, 3 + 4j]
    assert Tensor(source.conj().imag).numpy().tolist() == [-2, 4]
    assert Tensor(torch._efficientzerotensor(2)).numpy().tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:.*(nested tensors|Sparse CSR|torch.jagged|quantize).*:UserWarning")
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: torch.eye(2).to_sparse(), Unsupported, "layer.w is a sparse_coo tensor"),
        (lambda: torch.eye(2).to_sparse_csr(), Unsupported, "layer.w is a sparse_csr tensor"),
        (lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), Unsupported, "layer.w is a nested tensor"),
        (lambda: torch.empty(2, device="meta"), UsageError, "layer.w is on the meta device"),
        (lambda: torch.nn.LazyLinear(2).weight, UsageError, "layer.w has no shape yet"),
        (lambda: torch.empty(2, dtype=torch.uint1), UnsupportedDType, "layer.w has PyTorch's element type uint1"),
        (lambda: np.array(["text"]), UnsupportedDType, "layer.w: NumPy type"),
    ],
)
def test_what_has_no_plain_memory_is_refused_by_name(make: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        as_ref(make(), "layer.w")  # type: ignore[operator]


def test_array_subclasses() -> None:
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    tensor = Tensor(matrix)
    assert (type(tensor.numpy()), content(tensor, 64)) == (np.ndarray, np.array(matrix).tobytes())
    masked = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    with pytest.raises(WrongTypeError, match="masked array; fill it first"):
        Tensor(masked)
    assert Tensor(masked.filled(7)).numpy().tolist() == [1, 7, 3]
    whole = Tensor(np.ma.array([1, 2]))
    assert (type(whole.numpy()), content(whole, 64)) == (np.ndarray, np.array([1, 2]).tobytes())


def test_a_text_file_has_a_detach_too_and_is_no_tensor() -> None:
    with pytest.raises(WrongTypeError):
        Tensor(io.TextIOWrapper(io.BytesIO(b"text")))
