"""Shape and layout: nothing is computed, elements only move."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.dialects.literals import MINDSPORE
from mindport.dialects.table import MISSING
from mindport.errors import Unsupported
from mindport.ops.card import card, lifts, mindir
from mindport.ops.samples import const, f32, i32, sample
from mindport.ops.slicing import sliced

card(
    "Reshape",
    samples=[
        sample(f32(2, 3, 4), const([4, 6])),
        sample(f32(2, 3, 4), const([0, -1])),
        sample(f32(2, 3, 4), const([-1, 0, 2])),
    ],
)
card(
    "Flatten",
    samples=[
        sample(f32(2, 3, 4)),
        sample(f32(2, 3, 4), axis=2),
        sample(f32(2, 3, 4), axis=0),
        sample(f32(2, 3, 4), axis=-1),
    ],
)
card(
    "Squeeze",
    samples=[sample(f32(2, 1, 3, 1), const([1, -1])), sample(f32(2, 1, 3, 1), const([1])), sample(f32(1, 3, 1))],
)
card("Unsqueeze", samples=[sample(f32(2, 3), const([0, -1])), sample(f32(2, 3), const([1]))])
card("Transpose", samples=[sample(f32(2, 3, 4), perm=[2, 0, 1]), sample(f32(2, 3, 4))])
card(
    "Concat",
    samples=[sample(f32(2, 3), f32(2, 4), axis=1), sample(f32(2, 3), axis=0), sample(i32(1, 3), i32(2, 3), axis=-2)],
)
card("Expand", samples=[sample(f32(3, 1), const([2, 1, 4])), sample(f32(2, 3), const([1, 3]))])
card("Tile", samples=[sample(f32(2, 3), const([2, 1])), sample(f32(2, 1, 3), const([1, 4, 2]))])
card("Shape", samples=[sample(f32(2, 3, 4)), sample(f32(2, 3, 4), start=1)])
card("Size", samples=[sample(f32(2, 3, 4))])
card("DepthToSpace", samples=[sample(f32(1, 12, 2, 3), blocksize=2), sample(f32(1, 12, 2, 3), blocksize=2, mode="CRD")])
card("SpaceToDepth", samples=[sample(f32(1, 3, 4, 6), blocksize=2)])


def sizes(b: Any, x: Any, wanted: list[int | tuple[str, int]]) -> Any:
    """Returns a shape argument: numbers where known, else taken from the shape of `x` at run time."""
    if all(isinstance(w, int) for w in wanted):
        return tuple(wanted)
    shape = b.Shape(x)
    return b.MakeTuple(*[w if isinstance(w, int) else b.scalar(shape, w[1]) for w in wanted])


@mindir("Reshape")
def lower_reshape_mindir(b: Any, n: Any) -> Any:
    """A 0 in the target shape copies the input's dimension, which MindSpore does not know."""
    known = n.known(1)
    if known is None:
        return b.Reshape(n.x[0], n.x[1])
    target = [int(d) for d in known.reshape(-1)]
    if n.attr("allowzero"):
        return b.Reshape(n.x[0], tuple(target))
    dims = n.dims(0) if 0 in target else ()
    wanted: list[Any] = []
    for i, size in enumerate(target):
        wanted.append(size if size else dims[i] if dims[i] is not None else ("dim", i))
    if -1 not in wanted and sum(not isinstance(w, int) for w in wanted) == 1:
        wanted = [w if isinstance(w, int) else -1 for w in wanted]  # one unknown needs no run-time arithmetic
    return b.Reshape(n.x[0], sizes(b, n.x[0], wanted))


@lifts(MINDSPORE, "Reshape")
def lift_reshape(o: Any, n: Any) -> Any:
    """The shape may be a tuple of numbers, of run-time scalars, or a tensor."""
    return o.Reshape(n.x[0], n.tensor(1), allowzero=_zero(n))


def _zero(n: Any) -> int | None:
    known = n.known(1)
    return 1 if known is not MISSING and 0 in np.asarray(known).reshape(-1) else None


@mindir("Flatten")
def lower_flatten_mindir(b: Any, n: Any) -> Any:
    """Always two axes; at most one of them may be unknown."""
    dims = n.dims(0)
    axis = n.axis()
    front, back = _product(dims[:axis]), _product(dims[axis:])
    if front is None and back is None:
        raise Unsupported("flattening where both sides of the axis have unknown sizes")
    return b.Reshape(n.x[0], (-1 if front is None else front, -1 if back is None else back))


def _product(dims: tuple[int | None, ...]) -> int | None:
    known = [d for d in dims if d is not None]
    return int(np.prod(known, dtype=np.int64)) if len(known) == len(dims) else None


@lifts(MINDSPORE, "Flatten")
def lift_flatten(o: Any, n: Any) -> Any:
    """From axis 1."""
    return o.Flatten(n.x[0], axis=1)


@mindir("Squeeze")
def lower_squeeze_mindir(b: Any, n: Any) -> Any:
    """Axes as a tuple; without axes, all of size one."""
    if n.has(1):
        return b.Squeeze(n.x[0], tuple(a % n.rank(0) for a in n.ints(1)))
    return b.Squeeze(n.x[0], tuple(i for i, d in enumerate(n.shape(0)) if d == 1))


@lifts(MINDSPORE, "Squeeze")
def lift_squeeze(o: Any, n: Any) -> Any:
    """An empty tuple of axes means all of size one."""
    axes = n.ints(1)
    return o.Squeeze(n.x[0], np.asarray(axes, np.int64) if axes else None)


@mindir("Unsqueeze")
def lower_unsqueeze_mindir(b: Any, n: Any) -> Any:
    """One ExpandDims per axis, from the front."""
    axes = n.ints(1)
    rank = n.rank(0) + len(axes)
    out = n.x[0]
    for axis in sorted(a % rank for a in axes):
        out = b.ExpandDims(out, axis)
    return out


@lifts(MINDSPORE, "ExpandDims")
def lift_expand_dims(o: Any, n: Any) -> Any:
    """One axis."""
    return o.Unsqueeze(n.x[0], np.asarray(n.ints(1), np.int64))


@mindir("Transpose")
def lower_transpose_mindir(b: Any, n: Any) -> Any:
    """Without `perm` the order of the axes is reversed."""
    return b.Transpose(n.x[0], tuple(n.attr("perm") or range(n.rank(0))[::-1]))


@lifts(MINDSPORE, "Transpose")
def lift_transpose(o: Any, n: Any) -> Any:
    """Negative axes count from the back in MindSpore; ONNX has none."""
    perm = n.ints(1)
    return o.Transpose(n.x[0], perm=[p % len(perm) for p in perm])


@mindir("Concat")
def lower_concat_mindir(b: Any, n: Any) -> Any:
    """A tuple of tensors; one tensor alone stays as it is."""
    return n.x[0] if len(n.x) == 1 else b.Concat(list(n.x), n.axis())


@lifts(MINDSPORE, "Concat")
def lift_concat(o: Any, n: Any) -> Any:
    """(tensors, axis)."""
    return o.Concat(*n.items(0), axis=int(n.literal(1)))


@lifts(MINDSPORE, "Stack")
def lift_stack(o: Any, n: Any) -> Any:
    """A new axis, then Concat."""
    axis = int(n.attr("axis", 0))
    items = n.items(0) if len(n.raw) == 1 and isinstance(n.raw[0], (tuple, list)) else list(n.x)
    return o.Concat(*[o.Unsqueeze(v, np.asarray([axis], np.int64)) for v in items], axis=axis)


@lifts(MINDSPORE, "Unstack")
def lift_unstack(o: Any, n: Any) -> Any:
    """One piece per index of the axis, without that axis."""
    axis = int(n.attr("axis", 0))
    count = n.shape(0)[axis]
    pieces = o.Split(n.x[0], axis=axis, num_outputs=count, outputs=count)
    return tuple(o.Squeeze(p, np.asarray([axis], np.int64)) for p in pieces)


@mindir("Expand")
def lower_expand_mindir(b: Any, n: Any) -> Any:
    """Both sides may broadcast; MindSpore's BroadcastTo only broadcasts the tensor."""
    out = n.out_dims() if n.node.outputs[0].shape is not None else (None,)
    if None not in out:
        return b.BroadcastTo(n.x[0], out)
    ones = b.BroadcastTo(b.const(0 if n.dtype(0).name != "bool" else False, n.dtype(0)), n.x[1])
    return (b.LogicalOr if n.dtype(0).name == "bool" else b.Add)(n.x[0], ones)


@lifts(MINDSPORE, "BroadcastTo")
def lift_broadcast_to(o: Any, n: Any) -> Any:
    """-1 keeps the input's size, which in ONNX is what 1 does."""
    known = n.known(1)
    if known is MISSING:
        return o.Expand(n.x[0], n.tensor(1))
    return o.Expand(n.x[0], np.asarray([1 if d == -1 else d for d in known], np.int64))


@mindir("Tile")
def lower_tile_mindir(b: Any, n: Any) -> Any:
    """Tile(x, repeats)."""
    return b.Tile(n.x[0], n.x[1] if n.known(1) is None else n.ints(1))


@lifts(MINDSPORE, "Tile")
def lift_tile(o: Any, n: Any) -> Any:
    """More repeats than axes add axes in front."""
    repeats, rank = n.ints(1), n.rank(0)
    x = n.x[0]
    if len(repeats) > rank:
        x = o.Unsqueeze(x, np.arange(len(repeats) - rank, dtype=np.int64))
    return o.Tile(x, np.asarray((1,) * (rank - len(repeats)) + repeats, np.int64))


@mindir("Shape")
def lower_shape_mindir(b: Any, n: Any) -> Any:
    """TensorShape gives an int64 tensor."""
    full = b.TensorShape(n.x[0])
    rank = n.rank(0)
    start, end, _ = slice(n.attr("start"), n.attr("end")).indices(rank)
    return full if (start, end) == (0, rank) else sliced(b, full, 1, {0: (start, end, 1)})


@lifts(MINDSPORE, "Shape", "TensorShape")
def lift_shape(o: Any, n: Any) -> Any:
    """A tuple of numbers in MindSpore, an int64 tensor in ONNX."""
    dims = n.x[0].shape
    if n.op == "Shape" and dims is not None and all(isinstance(d, int) for d in dims):
        return tuple(int(d) for d in dims)
    return o.Shape(n.x[0])


@mindir("Size")
def lower_size_mindir(b: Any, n: Any) -> Any:
    """The product of the shape."""
    return b.ReduceProd(b.TensorShape(n.x[0]), (0,), False)


def _blocks(b: Any, n: Any, split: tuple[int, ...], perm: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    return b.Reshape(b.Transpose(b.Reshape(n.x[0], split), perm), shape)


@mindir("DepthToSpace")
def lower_depth_to_space_mindir(b: Any, n: Any) -> Any:
    """Reshape, Transpose, Reshape."""
    _, c, h, w = n.shape(0)
    s = int(n.attr("blocksize"))
    inner = c // (s * s)
    if n.attr("mode") == "CRD":
        return _blocks(b, n, (-1, inner, s, s, h, w), (0, 1, 4, 2, 5, 3), (-1, inner, h * s, w * s))
    return _blocks(b, n, (-1, s, s, inner, h, w), (0, 3, 4, 1, 5, 2), (-1, inner, h * s, w * s))


@mindir("SpaceToDepth")
def lower_space_to_depth_mindir(b: Any, n: Any) -> Any:
    """Reshape, Transpose, Reshape."""
    _, c, h, w = n.shape(0)
    s = int(n.attr("blocksize"))
    perm = (0, 1, 3, 5, 2, 4) if n.attr("mode") == "CRD" else (0, 3, 5, 1, 2, 4)
    return _blocks(b, n, (-1, c, h // s, s, w // s, s), perm, (-1, c * s * s, h // s, w // s))


@lifts(MINDSPORE, "DepthToSpace", "SpaceToDepth")
def lift_blocks(o: Any, n: Any) -> Any:
    """Attribute `block_size`; channels in the order of DCR."""
    return o.call(n.op, n.x[0], blocksize=int(n.attr("block_size")))


@lifts(MINDSPORE, "Meshgrid")
def lift_meshgrid(o: Any, n: Any) -> Any:
    """indexing: 1 "xy", 0 "ij"."""
    items: list[ir.Value] = n.items(0)
    order = list(range(len(items)))
    if n.literal(1) == 1 and len(items) > 1:
        order[0], order[1] = 1, 0
    lengths = [o.Shape(items[i]) for i in order]
    full = o.Concat(*lengths, axis=0)
    out = []
    for i, item in enumerate(items):
        view = [1] * len(items)
        view[order.index(i)] = -1
        out.append(o.Expand(o.Reshape(item, np.asarray(view, np.int64)), full))
    return tuple(out)
