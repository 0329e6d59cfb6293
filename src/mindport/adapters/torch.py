"""PyTorch networks: their tensors as views, and values assigned to them in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mindport.dtypes import DType, named
from mindport.errors import MatchError, Unsupported, printable
from mindport.extras import need
from mindport.tensors import CHUNK_BYTES, TensorRef, as_ref, check_torch

if TYPE_CHECKING:
    import torch

__all__ = ["TorchAdapter", "TorchRef", "extra_state", "set_extra_state", "to_torch", "unwrapped"]

_EXTRA = "_extra_state"


class TorchRef:
    """A torch tensor as a TensorRef. Content on an accelerator comes to the host when it is asked for.

    Raises:
        Unsupported, UsageError, UnsupportedDType: a tensor without plain memory; see `tensors.check_torch`.
    """

    __slots__ = ("_tensor", "dtype", "name")

    def __init__(self, name: str, tensor: Any) -> None:
        self.name = name
        self.dtype: DType = check_torch(tensor, name)
        self._tensor = tensor.detach()

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions; () for a scalar."""
        return tuple(self._tensor.shape)

    @property
    def nbytes(self) -> int:
        """Content size in bytes."""
        return int(self._tensor.numel()) * self.dtype.itemsize

    def numpy(self) -> np.ndarray[Any, Any]:
        """Returns a view of a tensor on the CPU, a host copy of any other."""
        return as_ref(self._tensor, self.name).numpy()

    def chunks(self, limit_bytes: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """Yields the content as little-endian C-order bytes."""
        return as_ref(self._tensor, self.name).chunks(limit_bytes)


def to_torch(array: np.ndarray[Any, Any], dtype: DType) -> torch.Tensor:
    """Returns a CPU torch tensor that views `array`; a read-only, big-endian or non-contiguous array is copied."""
    torch = need("torch")
    wanted = getattr(torch, dtype.torch or "", None)
    if wanted is None:
        raise Unsupported(f"PyTorch has no element type {dtype.name}")
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
    if array.nbytes and not array.flags.writeable:
        array = array.copy()
    if not dtype.native:  # a type NumPy lacks: hand over the bits
        bits = array.view({1: np.uint8, 2: np.int16}[dtype.itemsize])
        return torch.from_numpy(bits).view(wanted)  # type: ignore[no-any-return]
    return torch.from_numpy(array)  # type: ignore[no-any-return]


def unwrapped(net: Any) -> Any:
    """Returns the network inside `DistributedDataParallel`, `DataParallel` and `torch.compile`; names are its own."""
    torch = need("torch")
    parallel = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)
    while True:
        if isinstance(net, parallel):
            net = net.module
        elif "_orig_mod" in net._modules:
            net = net._orig_mod
        else:
            return net


def _tensors(net: Any) -> dict[str, Any]:
    """Returns every tensor of `state_dict` itself, not a detached copy of it."""
    torch = need("torch")
    found = unwrapped(net).state_dict(keep_vars=True)
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def _place(tensor: Any) -> tuple[Any, ...]:
    """Returns what two names of one tensor have in common."""
    if not tensor.numel() or tensor.is_meta:
        return (id(tensor),)
    return (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


class TorchAdapter:
    """`torch.nn.Module`; names are those of `state_dict`."""

    def weights(self, net: Any) -> dict[str, TensorRef]:
        """Returns parameters and persistent buffers as live views, in `state_dict` order; tied tensors once."""
        tied = self.aliases(net)
        return {name: TorchRef(name, t) for name, t in _tensors(net).items() if name not in tied}

    def aliases(self, net: Any) -> dict[str, str]:
        """Returns the further names of tied tensors: name -> the first name of the same tensor."""
        torch = need("torch")
        first: dict[tuple[Any, ...], str] = {}
        tied: dict[str, str] = {}
        for name, tensor in _tensors(net).items():
            if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin) or tensor.layout is not torch.strided:
                continue
            owner = first.setdefault(_place(tensor), name)
            if owner != name:
                tied[name] = owner
        return tied

    def assign(self, net: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Copies each array into the tensor of that name, in place and on its device.

        Args:
            net: the network.
            arrays: name in `weights` -> array of its shape and dtype.

        Raises:
            MatchError: a tensor cannot hold its array; all are listed and nothing was changed.
        """
        torch = need("torch")
        tensors = _tensors(net)
        pairs: list[tuple[Any, Any]] = []
        problems: list[str] = []
        for name, array in arrays.items():
            target = tensors[name].detach()
            thin = _once(target)
            if not _same_content(array, np.broadcast_to(array[thin], array.shape)):
                problems.append(f"{printable(name)}: an expanded tensor holds one value there, the given ones differ")
                continue
            pairs.append((target[thin], to_torch(array[thin], named(str(target.dtype).removeprefix("torch.")))))
        if problems:
            lines = "\n".join(f"  {p}" for p in problems)
            raise MatchError(f"{len(problems)} parameter(s) do not fit the network; nothing was loaded:\n{lines}")
        for target, source in pairs:
            # a tensor made in inference mode can be written to in inference mode only
            with torch.inference_mode() if target.is_inference() else torch.no_grad():
                target.copy_(source)


def _once(tensor: Any) -> tuple[Any, ...]:
    """Returns the index of a part that holds each element in memory once (an expanded tensor repeats its elements)."""
    repeated = [step == 0 and size > 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True)]
    return (*(slice(0, 1) if again else slice(None) for again in repeated), ...)


def _same_content(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Compares bit for bit, so that NaN equals itself."""
    return a.strides == b.strides or np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def extra_state(net: Any) -> dict[str, Any]:
    """Returns what modules give as `get_extra_state` that is no tensor, by its name in `state_dict`."""
    torch = need("torch")
    return {n: v for n, v in unwrapped(net).state_dict().items() if n.endswith(_EXTRA) and not torch.is_tensor(v)}


def set_extra_state(net: Any, state: Mapping[str, Any]) -> None:
    """Gives modules their extra state back."""
    inner = unwrapped(net)
    for name, value in state.items():
        inner.get_submodule(name.removesuffix(_EXTRA).removesuffix(".")).set_extra_state(value)
