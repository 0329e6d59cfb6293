"""AIR: normalisation and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindport.dialects.literals import GE
from mindport.dtypes import named
from mindport.errors import Unsupported
from mindport.ops.air_common import int64, is_float, only, same, scalar, typed
from mindport.ops.air_elementwise import cast
from mindport.ops.card import air, lifts


def _single_precision(b: Any, n: Any, i: int) -> Any:
    """Returns input `i` in float32, which GE wants for statistics and scales whatever the data are."""
    wide = named("float32")
    if n.dtype(i) is wide:
        return n.x[i]
    known = n.known(i)
    return cast(b, n.x[i], wide, n.dims(i)) if known is None else known.astype(np.float32)


@air("BatchNormalization")
def lower_batch_norm_air(b: Any, n: Any) -> Any:
    """BatchNorm on 4-D data; `is_training` is written, because its default is True."""
    if n.attr("training_mode"):
        raise Unsupported("BatchNormalization in training mode; export the network in evaluation mode")
    x, dtype = n.x[0], n.dtype(0)
    dims = list(n.dims(0))
    wide = _four_dims(dims)
    if wide is not None:
        x = typed(b.Reshape(x, int64(wide)), dtype, [None if d == -1 else d for d in wide])
    out = b.BatchNorm(
        x,
        *(_single_precision(b, n, i) for i in range(1, 5)),
        epsilon=n.attr("epsilon"),
        data_format="NCHW",
        is_training=False,
        exponential_avg_factor=1.0,
    )
    for statistic in out[1:]:
        typed(statistic, named("float32"), n.dims(1))
    if wide is None:
        return out[0]
    typed(out[0], dtype, [None if d == -1 else d for d in wide])
    back = [-1 if d is None else d for d in dims]
    return b.Reshape(out[0], int64(back))


def _four_dims(dims: list[int | None]) -> list[int] | None:
    """Returns (N, C, rest, 1) for data of other ranks than 4, None for 4. Raises Unsupported if not expressible."""
    if len(dims) == 4:
        return None
    if len(dims) < 2 or sum(d is None for d in dims) > 1:
        raise Unsupported("BatchNormalization of other than 4-D data needs all dimensions but one to be known")
    rest = [d for d in dims[2:] if d is not None]
    size = -1 if len(rest) < len(dims) - 2 else int(np.prod(rest, dtype=np.int64))
    return [-1 if dims[0] is None else dims[0], -1 if dims[1] is None else dims[1], size, 1]


@lifts(GE, "BatchNorm")
def lift_batch_norm_air(o: Any, n: Any) -> Any:
    """Only y, and only of inference."""
    if n.attr("is_training"):
        raise Unsupported("BatchNorm in training mode (is_training is true, or not written)")
    if n.attr("data_format") not in ("NCHW", "NCDHW"):
        raise Unsupported(f"BatchNorm in layout {n.attr('data_format')}; channels-first is understood")
    return o.BatchNormalization(*(_like(o, n, i) for i in range(5)), epsilon=n.attr("epsilon")), *[None] * 5


lifts(GE, "BNInfer")(lambda o, n: o.BatchNormalization(*(_like(o, n, i) for i in range(5)), epsilon=n.attr("epsilon")))


def _like(o: Any, n: Any, i: int) -> Any:
    return n.x[i] if n.dtype(i) is n.dtype(0) or not i else o.Cast(n.x[i], to=n.dtype(0).onnx)


@air("LayerNormalization")
def lower_layer_norm_air(b: Any, n: Any) -> Any:
    """Takes gamma and beta in the shape of the normalised axes; the default epsilon differs."""
    axis = n.axis()
    dtype, dims = n.dtype(0), n.dims(0)
    gamma = _parameter(n, 1, dims[axis:])
    beta = _parameter(n, 2, dims[axis:])
    if beta is None:
        beta = np.zeros(n.shape(0)[axis:], dtype.numpy)
    y, mean, variance = b.LayerNorm(
        n.x[0], gamma, beta, begin_norm_axis=axis, begin_params_axis=axis, epsilon=n.attr("epsilon")
    )
    reduced = [*dims[:axis], *[1] * (len(dims) - axis)]
    typed(mean, dtype, reduced)
    typed(variance, dtype, reduced)
    inverse = None
    if n.wants(2):
        shifted = typed(b.Adds(variance, value=n.attr("epsilon")), dtype, reduced)
        inverse = typed(b.Rsqrt(shifted), dtype, reduced)
    return (y, mean, inverse)[: len(n.node.outputs)]


def _parameter(n: Any, i: int, dims: Any) -> Any:
    if not n.has(i) or n.dims(i) == tuple(dims):
        return n.x[i] if n.has(i) else None
    known = n.known(i)
    if known is None or any(d is None for d in dims):
        raise Unsupported(f"LayerNormalization whose input {i} has another shape than the normalised axes")
    return np.ascontiguousarray(np.broadcast_to(known, tuple(dims)))


@lifts(GE, "LayerNorm")
def lift_layer_norm_air(o: Any, n: Any) -> Any:
    """Parameters in the shape of the normalised axes; `variance` is not the inverse deviation of ONNX."""
    rank = n.rank(0)
    axis = n.attr("begin_norm_axis") % rank
    if n.attr("begin_params_axis") % rank != axis:
        raise Unsupported("LayerNorm whose parameters cover other axes than it normalises")
    epsilon = n.attr("epsilon")
    if not any(out.uses() or out.is_graph_output() for out in n.node.outputs[1:]):
        return o.LayerNormalization(n.x[0], n.x[1], n.x[2], axis=axis, epsilon=epsilon), None, None
    y, mean, inverse = o.LayerNormalization(n.x[0], n.x[1], n.x[2], axis=axis, epsilon=epsilon, outputs=3)
    one, eps = o.const(1, n.dtype(0)), o.const(epsilon, n.dtype(0))
    return y, mean, o.Sub(o.Div(one, o.Mul(inverse, inverse)), eps)


@air("InstanceNormalization")
def lower_instance_norm_air(b: Any, n: Any) -> Any:
    """Statistics over the spatial axes of each sample and channel."""
    rank, dtype = n.rank(0), n.dtype(0)
    if rank not in (4, 5):
        raise Unsupported(f"InstanceNormalization of {rank}-D data; AIR has 4-D and 5-D")
    y, mean, variance = b.InstanceNorm(
        n.x[0], n.x[1], n.x[2], data_format="NCHW" if rank == 4 else "NCDHW", epsilon=n.attr("epsilon")
    )
    for statistic in (mean, variance):
        typed(statistic, dtype, [*n.dims(0)[:2], *[1] * (rank - 2)])
    return y


@lifts(GE, "InstanceNorm")
def lift_instance_norm_air(o: Any, n: Any) -> Any:
    """Only y."""
    if n.attr("data_format") not in ("NCHW", "NCDHW"):
        raise Unsupported(f"InstanceNorm in layout {n.attr('data_format')}; channels-first is understood")
    return o.InstanceNormalization(n.x[0], n.x[1], n.x[2], epsilon=n.attr("epsilon")), None, None


@air("LRN")
def lower_lrn_air(b: Any, n: Any) -> Any:
    """ONNX divides alpha by the size of the window, GE does not."""
    size = n.attr("size")
    if size % 2 == 0:
        raise Unsupported("LRN over an even number of channels")
    return b.LRN(
        n.x[0],
        depth_radius=size // 2,
        bias=n.attr("bias"),
        alpha=n.attr("alpha") / size,
        beta=n.attr("beta"),
        norm_region="ACROSS_CHANNELS",
    )


@lifts(GE, "LRN")
def lift_lrn_air(o: Any, n: Any) -> Any:
    """See `lower_lrn_air`."""
    only(n, norm_region="ACROSS_CHANNELS")
    size = 2 * n.attr("depth_radius") + 1
    return o.LRN(n.x[0], size=size, alpha=n.attr("alpha") * size, beta=n.attr("beta"), bias=n.attr("bias"))


@air("LpNormalization")
def lower_lp_normalization_air(b: Any, n: Any) -> Any:
    """The norm and a division; a vector of zeros stays one."""
    axis, dtype = n.axis(), n.dtype(0)
    dims = [1 if i == axis else d for i, d in enumerate(n.dims(0))]
    norm = typed(b.LpNormV2(n.x[0], p=float(n.attr("p")), axes=[axis], keepdim=True, epsilon=0.0), dtype, dims)
    floor = scalar(6e-8 if dtype.name == "float16" else 1e-38, dtype)  # the smallest numbers there are
    return b.RealDiv(n.x[0], typed(b.Maximum(norm, floor), dtype, dims))


@air("MatMul")
def lower_matmul_air(b: Any, n: Any) -> Any:
    """MatMulV2 for two matrices, else BatchMatMulV2, which broadcasts; vectors become matrices."""
    ranks = n.rank(0), n.rank(1)
    if ranks == (2, 2):
        return b.MatMulV2(n.x[0], n.x[1], transpose_x1=False, transpose_x2=False)
    left, right, dims = n.x[0], n.x[1], list(n.out_dims())
    squeeze = []
    if ranks[1] == 1:
        right = typed(b.Unsqueeze(right, axes=[1]), n.dtype(1), [*n.dims(1), 1])
        dims.append(1)
        squeeze.append(len(dims) - 1)
    if ranks[0] == 1:
        left = typed(b.Unsqueeze(left, axes=[0]), n.dtype(0), [1, *n.dims(0)])
        at = len(dims) - 1
        dims.insert(at, 1)
        squeeze = [at, *(i + 1 for i in squeeze)]
    flat = max(ranks) <= 2
    product = (
        b.MatMulV2(left, right, transpose_x1=False, transpose_x2=False)
        if flat
        else b.BatchMatMulV2(left, right, adj_x1=False, adj_x2=False)
    )
    if not squeeze:
        return product
    return b.Squeeze(typed(product, n.out_dtype(), dims), axis=squeeze)


@lifts(GE, "MatMul", "MatMulV2", "BatchMatMul", "BatchMatMulV2")
def lift_matmul_air(o: Any, n: Any) -> Any:
    """Transposed operands are transposed by an operator of their own; a bias is added."""
    only(n, offset_x=0)
    if n.has(3):
        raise Unsupported(f"{n.op} with offset_w (quantised)")
    names = ("adj_x1", "adj_x2") if n.op.startswith("Batch") else ("transpose_x1", "transpose_x2")
    sides = [n.x[0], n.x[1]]
    for i, name in enumerate(names):
        if n.attr(name):
            rank = n.rank(i)
            sides[i] = o.Transpose(sides[i], perm=[*range(rank - 2), rank - 1, rank - 2])
    product = o.MatMul(*sides)
    return o.Add(product, n.x[2]) if n.has(2) else product


@air("Gemm")
def lower_gemm_air(b: Any, n: Any) -> Any:
    """The product, scaled if alpha is not 1, plus C, scaled if beta is not 1."""
    dtype, dims = n.dtype(0), n.out_dims()
    if not is_float(dtype) and (n.attr("alpha") != 1.0 or n.attr("beta") != 1.0):
        raise Unsupported("Gemm of integers with alpha or beta")
    out = b.MatMulV2(n.x[0], n.x[1], transpose_x1=bool(n.attr("transA")), transpose_x2=bool(n.attr("transB")))
    if n.attr("alpha") != 1.0:
        out = b.Muls(typed(out, dtype, dims), value=n.attr("alpha"))
    if not n.has(2) or n.attr("beta") == 0.0:
        return out
    addend = n.x[2]
    if n.attr("beta") != 1.0:
        addend = same(b.Muls(addend, value=n.attr("beta")), n, 2)
    return b.Add(typed(out, dtype, dims), addend)


@air("Einsum")
def lower_einsum_air(b: Any, n: Any) -> Any:
    """The equation as it is."""
    return b.Einsum(list(n.x), equation=n.attr("equation"), N=len(n.x))


lifts(GE, "Einsum")(lambda o, n: o.Einsum(*n.x, equation=n.attr("equation")))
air("Det")(lambda b, n: b.MatrixDeterminant(n.x[0]))
lifts(GE, "MatrixDeterminant")(lambda o, n: o.Det(n.x[0]))
