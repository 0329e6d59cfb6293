"""Windows of convolutions and pools: kernel, strides, dilations and explicit padding, resolved from ONNX attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mindport.errors import Unsupported

__all__ = ["Window", "window"]


@dataclass(frozen=True)
class Window:
    """One entry per spatial axis, outermost first (D, H, W).

    Attributes:
        begins, ends: explicit padding before and after, `auto_pad` already resolved.
        extra: further padding after the end that `ceil_mode` needs; it never counts as content.
        sizes: spatial size of the input, None where unknown.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    extra: tuple[int, ...]
    sizes: tuple[int | None, ...]

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def padded(self) -> bool:
        """True if any padding is needed."""
        return any(self.begins) or any(self.ends) or any(self.extra)

    def pairs(self) -> list[int]:
        """Returns (before, after) of each axis, outermost first: top, bottom, left, right. Without `extra`."""
        return [p for pair in zip(self.begins, self.ends, strict=True) for p in pair]

    def pairs_from_last(self) -> tuple[int, ...]:
        """Returns (before, after) of each axis from the innermost outwards, `extra` included (MindSpore's PadV3)."""
        ends = [e + x for e, x in zip(self.ends, self.extra, strict=True)]
        return tuple(p for i in reversed(range(self.rank)) for p in (self.begins[i], ends[i]))

    def counts(self, include_pad: bool) -> np.ndarray[Any, Any]:
        """Returns how many positions each window averages over, in the shape of the output's spatial axes.

        Raises:
            Unsupported: a spatial size is unknown.
        """
        per_axis = []
        for i in range(self.rank):
            size = self.sizes[i]
            if size is None:
                raise Unsupported("padded average pooling needs the height and width of its input to be known")
            low, high = (-self.begins[i], size + self.ends[i]) if include_pad else (0, size)
            reach = self.begins[i] + size + self.ends[i] + self.extra[i] - self.span(i)
            starts = np.arange(0, reach + 1, self.strides[i]) - self.begins[i]
            taps = starts[:, None] + np.arange(self.kernel[i]) * self.dilations[i]
            per_axis.append(((taps >= low) & (taps < high)).sum(axis=1))
        out = np.ones((), np.int64)
        for counts in per_axis:
            out = np.multiply.outer(out, counts)
        return out

    def span(self, i: int) -> int:
        """Returns how far one window reaches along axis `i`."""
        return (self.kernel[i] - 1) * self.dilations[i] + 1


def window(n: Any, kernel: tuple[int, ...]) -> Window:
    """Returns the window of ONNX node `n` (attributes strides, dilations, pads, auto_pad, ceil_mode).

    Raises:
        Unsupported: the padding depends on a size that is unknown.
    """
    rank = len(kernel)
    strides = tuple(n.attr("strides") or [1] * rank)
    dilations = tuple(n.attr("dilations") or [1] * rank)
    pads = list(n.attr("pads") or [0] * 2 * rank)
    sizes = n.dims(0)[2:]
    begins, ends = pads[:rank], pads[rank:]
    auto = n.attr("auto_pad") or "NOTSET"
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto == "VALID":
        begins, ends = [0] * rank, [0] * rank
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(rank):
            total = _same(sizes[i], strides[i], spans[i])
            small, large = total // 2, total - total // 2
            begins[i], ends[i] = (small, large) if auto == "SAME_UPPER" else (large, small)
    extra = [0] * rank
    if n.attr("ceil_mode", 0):
        extra = [_ceil_extra(sizes[i], strides[i], spans[i], begins[i], ends[i]) for i in range(rank)]
    return Window(kernel, strides, dilations, tuple(begins), tuple(ends), tuple(extra), sizes)


def _same(size: int | None, stride: int, span: int) -> int:
    if stride == 1:
        return span - 1
    if size is None:
        raise Unsupported("auto_pad with a stride needs the height and width of the input to be known")
    out = -(-size // stride)
    return max((out - 1) * stride + span - size, 0)


def _ceil_extra(size: int | None, stride: int, span: int, begin: int, end: int) -> int:
    if stride == 1:
        return 0
    if size is None:
        raise Unsupported("ceil_mode with a stride needs the height and width of the input to be known")
    out = -(-(size + begin + end - span) // stride) + 1
    if (out - 1) * stride >= size + begin:  # a last window that would start in the padding is left out
        out -= 1
    return max((out - 1) * stride + span - (size + begin + end), 0)
