"""Cutting pieces out of tensors and putting margins around them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import MINDSPORE
from mindport.dialects.table import MISSING
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import const, f32, sample

card(
    "Split",
    samples=[
        sample(f32(2, 6), outputs=3, axis=1, num_outputs=3),
        sample(f32(2, 6), const([1, 2, 3]), outputs=3, axis=-1),
        sample(f32(7, 2), outputs=3, num_outputs=3),
    ],
)
card(
    "Slice",
    samples=[
        sample(f32(5, 6, 7), const([1, 0]), const([4, -1]), const([0, 2]), const([1, 2])),
        sample(f32(5, 6), const([1]), const([np.iinfo(np.int64).max]), const([-1])),
        sample(f32(5, 6), const([-1]), const([np.iinfo(np.int64).min]), const([1]), const([-2])),
        sample(f32(5, 6), const([1, 2]), const([3, 5])),
    ],
)
card(
    "Pad",
    samples=[
        sample(f32(2, 3, 4, 5), const([0, 0, 1, 2, 0, 0, 3, 0]), const(np.float32(1.5))),
        sample(f32(2, 3), const([1, 0, 2, 3])),
        sample(f32(1, 2, 4, 5), const([0, 0, 1, 2, 0, 0, 3, 0]), mode="reflect"),
        sample(f32(1, 2, 4, 5), const([0, 0, 1, 2, 0, 0, 3, 0]), mode="edge"),
        sample(f32(2, 5), const([1, 2]), const(np.float32(0)), const([-1])),
        sample(f32(4, 5), const([-1, 1, 0, -2])),
    ],
)


@mindir("Split")
def lower_split_mindir(b: Any, n: Any) -> Any:
    """Equal parts: Split; else one slice per part."""
    count = len(n.node.outputs)
    axis = n.axis()
    size = n.dims(0)[axis]
    if n.has(1):
        parts = list(n.ints(1))
    elif size is None:
        raise Unsupported("a split into equal parts of an axis of unknown size")
    else:
        each = -(-size // count)
        parts = [each] * (count - 1) + [size - each * (count - 1)]
    if len(set(parts)) == 1:
        pack = b.Split(n.x[0], axis, count)
        return [b.item(pack, i) for i in range(count)]
    out, at = [], 0
    for part in parts:
        out.append(sliced(b, n.x[0], n.rank(0), {axis: (at, at + part, 1)}))
        at += part
    return out


def sliced(b: Any, x: Any, rank: int, ranges: dict[int, tuple[int, int, int]]) -> Any:
    """Slices the given axes; the others are taken whole through the masks, whatever their size."""
    spans = [ranges.get(i, (0, 0, 1)) for i in range(rank)]
    mask = sum(1 << i for i in range(rank) if i not in ranges)
    begin, end, step = (tuple(s[k] for s in spans) for k in range(3))
    return b.StridedSlice(x, begin, end, step, mask, mask)


@lifts(MINDSPORE, "Split")
def lift_split(o: Any, n: Any) -> Any:
    """(x, axis, number of equal parts)."""
    count = int(n.literal(2))
    if count == 1:
        return (n.x[0],)
    return o.Split(n.x[0], axis=int(n.literal(1)), num_outputs=count, outputs=count)


@lifts(MINDSPORE, "SplitWithSize", "SplitTensor")
def lift_split_with_size(o: Any, n: Any) -> Any:
    """(x, sizes or one size, axis)."""
    axis, size = int(n.literal(2)), n.literal(1)
    if isinstance(size, int):
        whole = n.shape(0)[axis]
        size = [min(size, whole - at) for at in range(0, whole, size)]
    parts = np.asarray(size, np.int64)
    return o.Split(n.x[0], parts, axis=axis, outputs=len(parts))


@mindir("Slice")
def lower_slice_mindir(b: Any, n: Any) -> Any:
    """Bounds are clamped first where the size is known; a reversed axis is reversed by ReverseV2."""
    starts, ends = n.ints(1), n.ints(2)
    rank = n.rank(0)
    axes = [a % rank for a in n.ints(3)] if n.has(3) else list(range(len(starts)))
    steps = n.ints(4) if n.has(4) else (1,) * len(starts)
    x, turned, ranges = n.x[0], [], {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            turned.append(axis)
        ranges[axis] = _span(n.dims(0)[axis], start, end, step)
    if turned:
        x = b.ReverseV2(x, tuple(turned))
    return sliced(b, x, rank, ranges)


def _span(size: int | None, start: int, end: int, step: int) -> tuple[int, int, int]:
    """Returns (begin, end, step) with a positive step, counted from the other end if the step was negative."""
    if size is None:
        if step < 0:
            raise Unsupported("a reversed slice of an axis of unknown size")
        return start, min(end, 1 << 31), step
    low = 0 if step > 0 else -1  # ONNX clamps differently by direction: a reversed slice may end before the first
    start, end = (value + size if value < 0 else value for value in (start, end))
    span = range(min(max(start, 0), size + low), min(max(end, low), size + low), step)
    if not span:
        raise Unsupported("a slice of no elements")
    if step < 0:
        return size - 1 - span.start, size - 1 - span.stop, -step
    return span.start, span.stop, step


@lifts(MINDSPORE, "StridedSlice")
def lift_strided_slice(o: Any, n: Any) -> Any:
    """Bit i of a mask leaves bound i open, drops the axis (shrink) or adds one."""
    if n.literal("ellipsis_mask") or n.literal("new_axis_mask"):
        raise Unsupported("a slice with an ellipsis or a new axis")
    begin, end, steps = n.known(1), n.known(2), n.ints(3)
    if begin is MISSING or end is MISSING:
        return _dynamic_slice(o, n, steps)
    begin, end = list(n.ints(1)), list(n.ints(2))
    open_begin, open_end, shrink = (int(n.literal(k)) for k in ("begin_mask", "end_mask", "shrink_axis_mask"))
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    for i, step in enumerate(steps):
        if shrink >> i & 1:
            end[i] = begin[i] + 1 if begin[i] != -1 else high
            continue
        if open_begin >> i & 1:
            begin[i] = 0 if step > 0 else high
        if open_end >> i & 1:
            end[i] = high if step > 0 else low
    axes = range(len(begin))
    out = o.Slice(n.x[0], *(np.asarray(v, np.int64) for v in (begin, end, axes, steps)))
    dropped = [i for i in axes if shrink >> i & 1]
    return o.Squeeze(out, np.asarray(dropped, np.int64)) if dropped else out


def _dynamic_slice(o: Any, n: Any, steps: tuple[int, ...]) -> Any:
    if any(n.literal(k) for k in ("begin_mask", "end_mask", "shrink_axis_mask")):
        raise Unsupported("a slice with bounds known only at run time and masks")
    axes = np.arange(len(steps), dtype=np.int64)
    return o.Slice(n.x[0], n.tensor(1), n.tensor(2), axes, np.asarray(steps, np.int64))


_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "circular"}


@mindir("Pad")
def lower_pad_mindir(b: Any, n: Any) -> Any:
    """PadV3 takes (before, after) from the last axis forward; negative pads are slices."""
    rank, mode = n.rank(0), n.attr("mode")
    axes = [a % rank for a in n.ints(3)] if n.has(3) else list(range(rank))
    pads = n.ints(1)
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    x = n.x[0]
    cuts = {i: (max(-before[i], 0), n.dims(0)[i], after[i]) for i in range(rank) if before[i] < 0 or after[i] < 0}
    if any(size is None for _, size, _ in cuts.values()):
        raise Unsupported("negative padding of an axis of unknown size")
    if cuts:
        x = sliced(b, x, rank, {i: (start, size + min(cut, 0), 1) for i, (start, size, cut) in cuts.items()})
    first = next((i for i in range(rank) if before[i] > 0 or after[i] > 0), None)
    if first is None:
        return x
    flat = tuple(p for i in reversed(range(first, rank)) for p in (max(before[i], 0), max(after[i], 0)))
    if mode == "constant":
        value = n.x[2] if n.has(2) else b.const(0, n.dtype(0))
        value = b.Reshape(value, ()) if n.has(2) and n.rank(2) else value
    else:
        value = None
    return b.PadV3(x, flat, value, mode=_MODES[mode], paddings_contiguous=True)


@lifts(MINDSPORE, "PadV3")
def lift_pad_v3(o: Any, n: Any) -> Any:
    """(before, after) from the last axis forward, or all befores then all afters when not contiguous."""
    flat, rank = n.ints(1), n.rank(0)
    pairs = list(zip(flat[0::2], flat[1::2], strict=True))
    if not n.attr("paddings_contiguous", True):
        pairs = list(zip(flat[: len(pairs)], flat[len(pairs) :], strict=True))
    before, after = [0] * rank, [0] * rank
    for i, (low, high) in enumerate(pairs):
        before[rank - 1 - i], after[rank - 1 - i] = low, high
    mode = {v: k for k, v in _MODES.items()}[str(n.attr("mode", "constant"))]
    value = n.tensor(2, n.x[0]) if mode == "constant" and n.has(2) else None
    return o.Pad(n.x[0], np.asarray(before + after, np.int64), value, mode=mode)


@lifts(MINDSPORE, "Pad")
def lift_pad(o: Any, n: Any) -> Any:
    """Attribute `paddings`: one (before, after) per axis."""
    pairs = n.attr("paddings")
    pads = [int(p[0]) for p in pairs] + [int(p[1]) for p in pairs]
    return o.Pad(n.x[0], np.asarray(pads, np.int64))
