"""Resizing one axis, as a table: which input elements make each output element, with which weights.

Every mode of ONNX's Resize works axis by axis, so that these tables say all of it. Rules use them where the target has
no operator of exactly this kind: an index vector for nearest, a constant matrix for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mindport.errors import Unsupported

__all__ = ["AxisResize", "plan"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class AxisResize:
    """How one axis is resized.

    Attributes:
        axis: its number; size: elements before, out: after; scale: out / size as the model says it.
    """

    axis: int
    size: int
    out: int
    scale: float

    def coordinates(self, mode: str) -> Array:
        """Returns where each output element lies on the input's axis."""
        x = np.arange(self.out, dtype=np.float64)
        if mode == "align_corners":
            length = self.size * self.scale  # not rounded, as ONNX has it
            return np.zeros(self.out) if self.out == 1 else x * (self.size - 1) / (length - 1)
        if mode == "asymmetric":
            return x / self.scale
        if mode == "half_pixel" or (mode == "pytorch_half_pixel" and self.out > 1):
            return (x + 0.5) / self.scale - 0.5
        if mode == "pytorch_half_pixel":
            return np.zeros(1)
        if mode == "half_pixel_symmetric":
            adjusted = self.out / (self.scale * self.size)
            return self.size / 2 * (1 - adjusted) + (x + 0.5) / self.scale - 0.5
        raise Unsupported(f"coordinate transformation {mode}")

    def indices(self, mode: str, rounding: str) -> Array:
        """Returns the input element that each output element copies (mode nearest)."""
        x = self.coordinates(mode)
        if rounding == "floor":
            picked = np.floor(x)
        elif rounding == "ceil":
            picked = np.ceil(x)
        else:
            picked = np.ceil(x - 0.5) if rounding == "round_prefer_floor" else np.floor(x + 0.5)
        return np.clip(picked, 0, self.size - 1).astype(np.int64)

    def matrix(self, n: Any) -> Array:
        """Returns the weights, shape (out, size), of linear and cubic modes with the attributes of node `n`."""
        x = self.coordinates(n.attr("coordinate_transformation_mode"))
        cubic = n.attr("mode") == "cubic"
        stretch = min(self.scale, 1.0) if n.attr("antialias") else 1.0
        reach = int(np.ceil((2 if cubic else 1) / stretch))
        base = np.floor(x)
        taps = base[:, None] + np.arange(1 - reach, reach + 1)[None, :]
        distance = np.abs(taps - x[:, None]) * stretch
        weights = _cubic(distance, float(n.attr("cubic_coeff_a"))) if cubic else np.maximum(1 - distance, 0)
        inside = (taps >= 0) & (taps < self.size)
        if n.attr("exclude_outside"):
            weights = np.where(inside, weights, 0)
        weights = weights / weights.sum(axis=1, keepdims=True)
        out = np.zeros((self.out, self.size))
        rows = np.repeat(np.arange(self.out), taps.shape[1])
        columns = np.clip(taps, 0, self.size - 1).astype(np.int64).ravel()
        np.add.at(out, (rows, columns), weights.ravel())
        return out


def _cubic(d: Array, a: float) -> Array:
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def plan(n: Any) -> list[AxisResize]:
    """Returns how ONNX Resize node `n` changes each axis; axes that stay as they are are left out.

    Raises:
        Unsupported: a size that the result depends on is known only at run time.
    """
    shape = n.dims(0)
    axes = [a % len(shape) for a in n.attr("axes") or range(len(shape))]
    known = n.known(3)
    if known is not None and known.size:
        wanted = [int(v) for v in known]
        sizes = [_needed(shape[a], a) for a in axes]
        policy = n.attr("keep_aspect_ratio_policy")
        if policy != "stretch":
            ratios = [w / s for w, s in zip(wanted, sizes, strict=True)]
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            wanted = [int(np.floor(ratio * s + 0.5)) for s in sizes]
        rows = [AxisResize(a, s, w, w / s) for a, s, w in zip(axes, sizes, wanted, strict=True)]
    else:
        scales = n.const(2)
        rows = []
        for axis, scale in zip(axes, (float(v) for v in scales), strict=True):
            if scale != 1.0:
                size = _needed(shape[axis], axis)
                rows.append(AxisResize(axis, size, int(np.floor(size * scale)), scale))
    return [r for r in rows if r.size != r.out or r.scale != 1.0]


def _needed(size: int | None, axis: int) -> int:
    if size is None:
        raise Unsupported(f"resizing axis {axis}, whose size is known only at run time")
    return size
