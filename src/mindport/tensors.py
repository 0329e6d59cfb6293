"""Tensors as every producer hands them to every consumer, without copies.

`TensorRef` is the protocol. `ArrayRef` wraps memory, `FileRef` a slice of a mapped file. `Tensor` is the class of
the tutorial (`Tensor(np.zeros(...))`) and of the values that `load_checkpoint` returns.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mindport.dtypes import DType, by_numpy, named
from mindport.errors import Unsupported, UnsupportedDType, UsageError, WrongTypeError, printable

__all__ = ["ArrayRef", "FileRef", "Tensor", "TensorRef", "as_ref", "check_torch", "named_ref"]

CHUNK_BYTES = 8 << 20


@runtime_checkable
class TensorRef(Protocol):
    """A named tensor whose content may not be in memory yet."""

    @property
    def name(self) -> str:
        """Parameter name; may be empty."""

    @property
    def dtype(self) -> DType:
        """Element type."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions; () for a scalar."""

    @property
    def nbytes(self) -> int:
        """Content size in bytes."""

    def numpy(self) -> np.ndarray[Any, Any]:
        """Returns the content with `shape`; a view where that is possible (it may be read-only)."""

    def chunks(self, limit_bytes: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """Yields the content as little-endian C-order bytes in pieces of at most `limit_bytes`."""


def _bytes_of(array: np.ndarray[Any, Any], limit_bytes: int) -> Iterator[memoryview]:
    """Yields an array's little-endian C-order bytes; a contiguous array is viewed, not copied."""
    if array.dtype.byteorder == ">" or not array.flags.c_contiguous:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    flat = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # ndarray is a buffer
    for start in range(0, len(flat), limit_bytes):
        yield flat[start : start + limit_bytes]


class ArrayRef:
    """A tensor in memory: a NumPy array, with its name and mindport dtype. A big-endian array is converted."""

    __slots__ = ("_array", "dtype", "name")

    def __init__(self, name: str, array: np.ndarray[Any, Any], dtype: DType | None = None) -> None:
        self.name = name
        self.dtype = by_numpy(array.dtype) if dtype is None else dtype
        # a subclass, such as np.matrix, may have a mind of its own about shapes; no framework takes a big-endian array
        array = np.asarray(array)
        self._array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions; () for a scalar."""
        return tuple(self._array.shape)

    @property
    def nbytes(self) -> int:
        """Content size in bytes."""
        return int(self._array.nbytes)

    def numpy(self) -> np.ndarray[Any, Any]:
        """Returns the array itself, in the machine's byte order."""
        return self._array

    def chunks(self, limit_bytes: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """Yields the content bytes; nothing is copied when the array is contiguous."""
        return _bytes_of(self._array, limit_bytes)


class FileRef:
    """A tensor in a mapped file: one slice, or several when the writer cut a large tensor.

    `slices` are memoryviews of the map (they keep it alive). With one slice `numpy()` is a view of the map; with
    several it is a copy.
    """

    __slots__ = ("dtype", "name", "offset", "shape", "slices")

    def __init__(
        self, name: str, dtype: DType, shape: tuple[int, ...], slices: Sequence[memoryview], offset: int
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.slices = tuple(slices)
        self.offset = offset  # of the first content byte in the file

    @property
    def nbytes(self) -> int:
        """Content size in bytes."""
        return sum(s.nbytes for s in self.slices)

    def numpy(self) -> np.ndarray[Any, Any]:
        """Returns the content with `shape`; a view of the map unless the tensor was stored in several slices."""
        if len(self.slices) == 1:
            return np.frombuffer(self.slices[0], dtype=self.dtype.numpy).reshape(self.shape)
        joined, start = np.empty(self.nbytes, np.uint8), 0
        for piece in self.slices:
            joined[start : start + piece.nbytes] = piece
            start += piece.nbytes
        return joined.view(self.dtype.numpy).reshape(self.shape)

    def chunks(self, limit_bytes: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """Yields the content bytes straight from the map."""
        for piece in self.slices:
            for start in range(0, piece.nbytes, limit_bytes):
                yield piece[start : start + limit_bytes]


class Tensor:
    """An array with a name: network input, or one value of a checkpoint.

    Args:
        input_data: NumPy array, torch tensor, nested sequence, number, or TensorRef.
        dtype: mindport dtype, its name, or a NumPy dtype; converted if it differs.
        name: parameter name.

    `numpy.asarray(tensor)` and `torch.as_tensor(tensor)` are views (of a tensor stored in several slices, or made of a
    big-endian array, copies).
    The content of a tensor that came from a file is read from the disk when it is first touched; writing to it
    changes memory only.

    >>> import numpy as np
    >>> from mindport import Tensor
    >>> Tensor(np.ones((2, 3), np.float32)).shape
    (2, 3)
    """

    __slots__ = ("_ref", "name")

    def __init__(self, input_data: Any, dtype: Any = None, name: str = "") -> None:
        ref = as_ref(input_data, name)
        if dtype is not None:
            wanted = dtype if isinstance(dtype, DType) else named(dtype) if isinstance(dtype, str) else by_numpy(dtype)
            if wanted is not ref.dtype:
                ref = ArrayRef(ref.name, ref.numpy().astype(wanted.numpy), wanted)
        self._ref = ref
        self.name = name or ref.name

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self._ref.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions; () for a scalar."""
        return self._ref.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._ref.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._ref.nbytes // self._ref.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Content size in bytes."""
        return self._ref.nbytes

    def numpy(self) -> np.ndarray[Any, Any]:
        """Returns the content; a view of memory or of the mapped file wherever possible."""
        return self._ref.numpy()

    asnumpy = numpy  # the tutorial's name

    def chunks(self, limit_bytes: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """Yields the content as little-endian C-order bytes in pieces of at most `limit_bytes`."""
        return self._ref.chunks(limit_bytes)

    def item(self) -> Any:
        """Returns the single element as a Python number."""
        return self.numpy().item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def bits(self) -> np.ndarray[Any, Any]:
        """Returns a view of the content as unsigned integers of the same width, for types that NumPy lacks."""
        return _bits(self.numpy())

    def __dlpack__(self, **options: Any) -> Any:
        """Hands the memory to another framework (DLPack); `torch.as_tensor(tensor)` is a view because of it."""
        array = self.numpy()
        torch = sys.modules.get("torch")
        if torch is not None and self.dtype.torch is not None and not self.dtype.native:
            # NumPy cannot export bfloat16 or float8; torch, which is there to ask, can look at their bits
            return torch.from_numpy(_bits(array)).view(getattr(torch, self.dtype.torch)).__dlpack__(**options)
        return array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Returns DLPack's (kDLCPU, 0)."""
        return (1, 0)

    def __copy__(self) -> Tensor:
        return Tensor(self._ref, name=self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return Tensor(ArrayRef(self.name, self.numpy().copy(), self.dtype))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a scalar tensor has no length")
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        return self.numpy()[index]

    def __float__(self) -> float:
        return float(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __repr__(self) -> str:
        label = f", name={self.name!r}" if self.name else ""
        return f"Tensor(shape={list(self.shape)}, dtype={self.dtype.name}{label})"


def _bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.itemsize <= 8 else array


def as_ref(value: Any, name: str = "") -> TensorRef:
    """Returns `value` as a TensorRef, viewing it where possible.

    Raises:
        WrongTypeError: it is no array, tensor, number or nested sequence of numbers, or some of it is masked.
        Unsupported, UsageError: a torch tensor without plain memory; see `check_torch`.
        UnsupportedDType: its element type is unknown.
    """
    if isinstance(value, (ArrayRef, FileRef, Tensor)):
        return value
    if not isinstance(value, np.ndarray):
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return _from_torch(value, name)
        if isinstance(value, (str, bytes)) or value is None:
            raise WrongTypeError(f"cannot make a tensor of {type(value).__name__}")
        try:
            value = np.asarray(value)
        except (TypeError, ValueError) as exc:
            raise WrongTypeError(f"cannot make a tensor of {type(value).__name__}: {exc}") from exc
    if np.ma.is_masked(value):
        raise WrongTypeError("cannot make a tensor of a masked array; fill it first (array.filled(...))")
    if value.dtype == object:
        raise WrongTypeError("cannot make a tensor of Python objects")
    try:
        return ArrayRef(name, value)
    except UnsupportedDType as exc:
        raise UnsupportedDType(f"{printable(name)}: {exc}" if name else str(exc)) from exc


class _Renamed:
    """A tensor under the name it has in a mapping."""

    def __init__(self, ref: TensorRef, name: str) -> None:
        self.name = name
        self.dtype = ref.dtype
        self.shape = ref.shape
        self.nbytes = ref.nbytes
        self.numpy = ref.numpy
        self.chunks = ref.chunks


def named_ref(value: Any, name: str) -> TensorRef:
    """Returns `value`, a TensorRef of any kind or what `as_ref` takes, as a TensorRef called `name`.

    Raises:
        WrongTypeError, UnsupportedDType: as `as_ref`.
    """
    # anything with `chunks` is a TensorRef; asking the protocol itself is slow for 10^5 arrays
    ref: TensorRef = value if hasattr(value, "chunks") else as_ref(value, name)
    return ref if ref.name == name else _Renamed(ref, name)


def check_torch(value: Any, name: str) -> DType:
    """Returns the element type of a torch tensor whose content is plain memory.

    Args:
        value: the tensor.
        name: for messages; may be empty.

    Raises:
        UsageError: it has no content: it is on the meta device, or not yet initialised.
        Unsupported: it is sparse, nested or quantized.
        UnsupportedDType: no file format knows its element type.
    """
    torch = sys.modules["torch"]  # the value came from it

    def label() -> str:  # made only for a message: escaping a name costs more than the checks
        return printable(name) or "the tensor"

    if isinstance(value, torch.nn.parameter.UninitializedTensorMixin):
        raise UsageError(f"{label()} has no shape yet; run the network once before saving it")
    if value.is_meta:
        raise UsageError(f"{label()} is on the meta device and has no content")
    if value.is_nested or value.is_quantized or value.layout is not torch.strided:
        layout = str(value.layout).removeprefix("torch.").lstrip("_")
        kind = "nested" if value.is_nested else "quantized" if value.is_quantized else layout
        raise Unsupported(f"{label()} is a {kind} tensor; only dense ones can be used or saved here")
    kind = str(value.dtype).removeprefix("torch.")
    try:
        return named(kind)
    except UnsupportedDType as exc:
        raise UnsupportedDType(f"{label()} has PyTorch's element type {kind}, which mindport does not know") from exc


def _from_torch(value: Any, name: str) -> ArrayRef:
    """Returns a view of a CPU torch tensor (a host copy of any other) without importing torch."""
    dtype = check_torch(value, name)
    host = value.detach().cpu()
    try:
        # force: conjugate and negative views, which NumPy does not know, become plain memory
        return ArrayRef(name, host.numpy(force=True), dtype)
    except TypeError:  # element types NumPy lacks: take the bits and look at them through ml_dtypes
        torch = sys.modules["torch"]
        bits = {1: torch.uint8, 2: torch.int16}[dtype.itemsize]
        return ArrayRef(name, host.contiguous().view(bits).numpy().view(dtype.numpy), dtype)
    except RuntimeError as exc:  # a subclass that keeps its content elsewhere
        label = printable(name) or "the tensor"
        raise Unsupported(f"{label}, a {type(value).__name__}, cannot be read: {exc}") from exc
