"""What each GE operator computes. Defaults of attributes are those of the prototypes (NHWC, training mode, …)."""

from __future__ import annotations

from functools import reduce
from math import ceil, floor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from oracles.ge_eval import CPP_TYPES, Call, Refused, op


def t(array: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array).copy())


def unary(name: str, function: Any) -> None:
    def run(c: Call) -> Any:
        x = c["x"]
        return np.asarray(function(x)).astype(x.dtype)

    op(name)(run)


def wide(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return x.astype(np.float64)


for _name, _f in {
    "Abs": np.abs,
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Reciprocal": lambda x: 1 / x,
    "Square": np.square,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Rint": np.rint,
    "Sign": np.sign,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tan": np.tan,
    "Asin": np.arcsin,
    "Acos": np.arccos,
    "Atan": np.arctan,
    "Sinh": np.sinh,
    "Cosh": np.cosh,
    "Asinh": np.arcsinh,
    "Acosh": np.arccosh,
    "Atanh": np.arctanh,
    "Tanh": np.tanh,
    "Invert": np.invert,
    "LogicalNot": np.logical_not,
    "Identity": lambda x: x,
    "TensorMove": lambda x: x,
    "Erf": lambda x: torch.erf(t(wide(x))).numpy(),
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-wide(x))),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softplus": lambda x: np.log1p(np.exp(wide(x))),
    "Mish": lambda x: wide(x) * np.tanh(np.log1p(np.exp(wide(x)))),
    "HardSwish": lambda x: wide(x) * np.clip(wide(x) + 3, 0, 6) / 6,
    "Selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(wide(x)) - 1)),
}.items():
    unary(_name, _f)


@op("IsNan")
def is_nan(c: Call) -> Any:
    return np.isnan(c["x"])


@op("IsInf")
def is_inf(c: Call) -> Any:
    return np.isinf(c["x"])


def binary(name: str, function: Any, truth: bool = False) -> None:
    def run(c: Call) -> Any:
        a, b = c["x1"], c["x2"]
        if a.dtype != b.dtype:
            raise Refused(f"{name} of {a.dtype} and {b.dtype}")
        return np.asarray(function(a, b)).astype(np.bool_ if truth else a.dtype)

    op(name)(run)


def truncated(a: Any, b: Any) -> Any:
    """C's remainder: the sign of the dividend."""
    return np.fmod(a, b)


def quotient(a: Any, b: Any) -> Any:
    if np.issubdtype(a.dtype, np.integer):
        return np.trunc(a.astype(np.float64) / b).astype(a.dtype)
    return a / b


for _name, _f in {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "RealDiv": lambda a, b: a / b,
    "Div": quotient,
    "Mod": truncated,
    "FloorMod": np.mod,
    "Pow": np.power,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
}.items():
    binary(_name, _f)
for _name, _f in {
    "Equal": np.equal,
    "NotEqual": np.not_equal,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
}.items():
    binary(_name, _f, truth=True)


@op("LeftShift")
def left_shift(c: Call) -> Any:
    return np.left_shift(c["x"], c["y"])


@op("RightShift")
def right_shift(c: Call) -> Any:
    return np.right_shift(c["x"], c["y"])


@op("Exp")
def exp(c: Call) -> Any:
    base, scale, shift = (c.attr(n, "f", d) for n, d in (("base", -1.0), ("scale", 1.0), ("shift", 0.0)))
    x = wide(c["x"]) * scale + shift
    return (np.exp(x) if base == -1.0 else np.power(base, x)).astype(c["x"].dtype)


@op("Log")
def log(c: Call) -> Any:
    base, scale, shift = (c.attr(n, "f", d) for n, d in (("base", -1.0), ("scale", 1.0), ("shift", 0.0)))
    x = np.log(wide(c["x"]) * scale + shift)
    return (x if base == -1.0 else x / np.log(base)).astype(c["x"].dtype)


@op("Muls")
def muls(c: Call) -> Any:
    x = c["x"]
    return (x * x.dtype.type(c.attr("value", "f", required=True))).astype(x.dtype)


@op("Adds")
def adds(c: Call) -> Any:
    x = c["x"]
    return (x + x.dtype.type(c.attr("value", "f", required=True))).astype(x.dtype)


@op("ClipByValue")
def clip(c: Call) -> Any:
    return np.minimum(np.maximum(c["x"], c["clip_value_min"]), c["clip_value_max"])


@op("SelectV2")
def select(c: Call) -> Any:
    return np.where(c["condition"], c["then"], c["else"])


@op("Cast")
def cast(c: Call) -> Any:
    return c["x"].astype(CPP_TYPES[c.attr("dst_type", "i", required=True)])


@op("LeakyRelu")
def leaky_relu(c: Call) -> Any:
    x = c["x"]
    return np.where(x >= 0, x, x * x.dtype.type(c.attr("negative_slope", "f", 0.0)))


@op("PRelu")
def prelu(c: Call) -> Any:
    x, weight = c["x"], c["weight"]
    if weight.ndim != 1 or weight.size not in (1, x.shape[1]):
        raise Refused(f"PRelu of {x.shape} with a slope of {weight.shape}")
    slope = weight if weight.size == 1 else weight.reshape([-1] + [1] * (x.ndim - 2))
    return np.where(x >= 0, x, x * slope)


@op("Elu")
def elu(c: Call) -> Any:
    alpha, scale, inner = (c.attr(n, "f", 1.0) for n in ("alpha", "scale", "input_scale"))
    x = wide(c["x"])
    return (scale * np.where(x > 0, x, alpha * (np.exp(x * inner) - 1))).astype(c["x"].dtype)


@op("CeluV2")
def celu(c: Call) -> Any:
    alpha = c.attr("alpha", "f", 1.0)
    x = wide(c["x"])
    return (np.maximum(x, 0) + np.minimum(0, alpha * (np.exp(x / alpha) - 1))).astype(c["x"].dtype)


@op("HardSigmoid")
def hard_sigmoid(c: Call) -> Any:
    alpha, beta = c.attr("alpha", "f", 1 / 6), c.attr("beta", "f", 0.5)
    return np.clip(wide(c["input_x"]) * alpha + beta, 0, 1).astype(c["input_x"].dtype)


@op("Threshold")
def threshold(c: Call) -> Any:
    return (c["x"] > c.attr("threshold", "f", 0.0)).astype(c["x"].dtype)


@op("Shrink")
def shrink(c: Call) -> Any:
    x, lambd, bias = c["input_x"], c.attr("lambd", "f", 0.5), c.attr("bias", "f", 0.0)
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)).astype(x.dtype)


@op("GeluV2")
def gelu(c: Call) -> Any:
    return F.gelu(t(wide(c["x"])), approximate=c.attr("approximate", "s", "none")).numpy().astype(c["x"].dtype)


@op("Swish")
def swish(c: Call) -> Any:
    x = wide(c["x"])
    return (x / (1 + np.exp(-c.attr("scale", "f", 1.0) * x))).astype(c["x"].dtype)


@op("SoftmaxV2")
def softmax(c: Call) -> Any:
    axes = tuple(c.ints("axes", [-1]))
    e = np.exp(wide(c["x"]) - wide(c["x"]).max(axes, keepdims=True))
    return (e / e.sum(axes, keepdims=True)).astype(c["x"].dtype)


@op("LogSoftmaxV2")
def log_softmax(c: Call) -> Any:
    axes = tuple(c.ints("axes", [-1]))
    x = wide(c["logits"])
    x = x - x.max(axes, keepdims=True)
    return (x - np.log(np.exp(x).sum(axes, keepdims=True))).astype(c["logits"].dtype)


@op("HardMax")
def hard_max(c: Call) -> Any:
    x, axis = c["x"], c.attr("axis", "i", -1)
    out = np.zeros_like(x)
    np.put_along_axis(out, np.expand_dims(x.argmax(axis), axis), 1, axis)
    return out


# --- windows --------------------------------------------------------------------------------------------------------


def _channels_first(c: Call, default: str) -> str:
    layout = str(c.attr("data_format", "s", default))
    if layout not in ("NCHW", "NCDHW"):
        raise Refused(f"{c.op.name} computes in {layout} on data that is channels-first")
    for desc in c.op.input_desc:
        if len(desc.shape.dim) == len(layout) and desc.layout != layout:
            raise Refused(f"{c.op.name}: {desc.name} is marked {desc.layout}, the operator works in {layout}")
    return layout


def _window(c: Call, name: str, rank: int, default: Any = None) -> list[int]:
    values = c.ints(name, default, required=default is None)
    if len(values) != rank + 2 or values[:2] != [1, 1]:
        raise Refused(f"{c.op.name}: {name} is {values}")
    return values[2:]


def _padded(x: torch.Tensor, pads: list[int], value: float) -> torch.Tensor:
    """`pads` holds (before, after) of each spatial axis, the outermost first."""
    pairs = [pads[i : i + 2] for i in range(0, len(pads), 2)]
    return F.pad(x, [p for pair in reversed(pairs) for p in pair], value=value)


def _convolve(c: Call, rank: int) -> Any:
    _channels_first(c, "NHWC" if rank == 2 else "NDHWC")
    x, w = t(wide(c["x"])), t(wide(c["filter"]))
    bias = c.get("bias")
    groups = c.attr("groups", "i", 1)
    pads = c.ints("pads", required=True)
    if len(pads) != 2 * rank:
        raise Refused(f"{c.op.name}: pads is {pads}")
    function = F.conv2d if rank == 2 else F.conv3d
    out = function(
        _padded(x, pads, 0.0),
        w,
        None if bias is None else t(wide(bias)),
        stride=_window(c, "strides", rank),
        dilation=_window(c, "dilations", rank, [1] * (rank + 2)),
        groups=groups,
    )
    return out.numpy().astype(c["x"].dtype)


op("Conv2D")(lambda c: _convolve(c, 2))
op("Conv3D")(lambda c: _convolve(c, 3))


def _deconvolve(c: Call, rank: int) -> Any:
    _channels_first(c, "NHWC" if rank == 2 else "NDHWC")
    x, w = t(wide(c["x"])), t(wide(c["filter"]))
    bias = c.get("bias")
    pads = c.ints("pads", required=True)
    function = F.conv_transpose2d if rank == 2 else F.conv_transpose3d
    extra = c.ints("output_padding", [0] * (rank + 2))
    out = function(
        x,
        w,
        stride=_window(c, "strides", rank),
        dilation=_window(c, "dilations", rank, [1] * (rank + 2)),
        groups=c.attr("groups", "i", 1),
    )
    out = F.pad(out, [p for i in reversed(range(rank)) for p in (0, extra[2 + i])])
    cut = [slice(pads[2 * axis], out.shape[2 + axis] - pads[2 * axis + 1]) for axis in range(rank)]
    out = out[(slice(None), slice(None), *cut)]
    if bias is not None:
        out = out + t(wide(bias)).reshape([1, -1] + [1] * rank)
    size = c["input_size"].tolist()
    if size != list(out.shape):
        raise Refused(f"{c.op.name}: input_size is {size}, the result has {list(out.shape)}")
    return out.numpy().astype(c["x"].dtype)


op("Conv2DTranspose")(lambda c: _deconvolve(c, 2))
op("Conv3DTranspose")(lambda c: _deconvolve(c, 3))


def _pool_geometry(
    sizes: list[int], kernel: list[int], strides: list[int], pads: list[int], dilations: list[int], up: bool
) -> list[list[range]]:
    """Returns, for each axis, the input positions of each window (they may lie outside)."""
    axes = []
    for i, size in enumerate(sizes):
        before, after = pads[2 * i], pads[2 * i + 1]
        reach = size + before + after - (kernel[i] - 1) * dilations[i] - 1
        count = (ceil if up else floor)(reach / strides[i]) + 1
        if up and (count - 1) * strides[i] >= size + before:
            count -= 1  # a window that starts beyond the padded begin is dropped
        axes.append(
            [
                range(o * strides[i] - before, o * strides[i] - before + kernel[i] * dilations[i], dilations[i])
                for o in range(count)
            ]
        )
    return axes


def _pool(x: np.ndarray[Any, Any], axes: list[list[range]], reducer: Any) -> np.ndarray[Any, Any]:
    out = np.empty((*x.shape[:2], *(len(a) for a in axes)), np.float64)
    for index in np.ndindex(*out.shape[2:]):
        windows = [axes[i][k] for i, k in enumerate(index)]
        inside = [[p for p in w if 0 <= p < s] for w, s in zip(windows, x.shape[2:], strict=True)]
        part = x[np.ix_(range(x.shape[0]), range(x.shape[1]), *inside)]
        out[(slice(None), slice(None), *index)] = reducer(part, windows)
    return out


def _pads_of(c: Call, mode: str, sizes: list[int], kernel: list[int], strides: list[int]) -> list[int]:
    rank = len(kernel)
    if mode == "VALID":
        return [0] * 2 * rank
    if mode == "SAME":
        pads = []
        for size, k, s in zip(sizes, kernel, strides, strict=True):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            pads += [total // 2, total - total // 2]
        return pads
    if mode != "CALCULATED":
        raise Refused(f"padding mode {mode}")
    return c.ints("pads", [0] * 2 * rank)


def _maximum(part: Any, windows: Any) -> Any:
    return part.reshape(*part.shape[:2], -1).max(-1)


@op("MaxPoolV3")
def max_pool(c: Call) -> Any:
    _channels_first(c, "NCHW")
    x = c["x"]
    if c.attr("global_pooling", "b", False):
        return x.max((2, 3), keepdims=True)
    kernel, strides = _window(c, "ksize", 2), _window(c, "strides", 2)
    pads = _pads_of(c, c.attr("padding_mode", "s", "CALCULATED"), list(x.shape[2:]), kernel, strides)
    axes = _pool_geometry(list(x.shape[2:]), kernel, strides, pads, [1, 1], c.attr("ceil_mode", "b", False))
    return _pool(x, axes, _maximum).astype(x.dtype)


@op("MaxPool3D")
def max_pool_3d(c: Call) -> Any:
    _channels_first(c, "NDHWC")
    x = c["x"]
    kernel, strides = _window(c, "ksize", 3), _window(c, "strides", 3)
    dilations = _window(c, "dilation", 3, [1] * 5)
    pads = _pads_of(c, c.attr("padding", "s", required=True), list(x.shape[2:]), kernel, strides)
    axes = _pool_geometry(list(x.shape[2:]), kernel, strides, pads, dilations, bool(c.attr("ceil_mode", "i", 0)))
    return _pool(x, axes, _maximum).astype(x.dtype)


def _average(sizes: Any, pads: list[int], count_pad: bool, override: int) -> Any:
    def run(part: Any, windows: Any) -> Any:
        if override:
            count = override
        elif count_pad:
            count = 1
            for i, w in enumerate(windows):
                count *= sum(-pads[2 * i] <= p < sizes[i] + pads[2 * i + 1] for p in w)
        else:
            count = int(np.prod(part.shape[2:]))
        return part.astype(np.float64).reshape(*part.shape[:2], -1).sum(-1) / count

    return run


@op("AvgPoolV2")
def average_pool(c: Call) -> Any:
    _channels_first(c, "NCHW")
    x = c["x"]
    if c.attr("global_pooling", "b", False):
        return x.mean((2, 3), keepdims=True)
    kernel, strides = _window(c, "ksize", 2), _window(c, "strides", 2)
    pads = _pads_of(c, c.attr("padding_mode", "s", "CALCULATED"), list(x.shape[2:]), kernel, strides)
    axes = _pool_geometry(list(x.shape[2:]), kernel, strides, pads, [1, 1], c.attr("ceil_mode", "b", False))
    exclusive = c.attr("exclusive", "b", True)
    mean = _average(x.shape[2:], pads, not exclusive, c.attr("divisor_override", "i", 0))
    return _pool(x, axes, mean).astype(x.dtype)


@op("AvgPool3D")
def average_pool_3d(c: Call) -> Any:
    _channels_first(c, "NDHWC")
    x = c["x"]
    kernel, strides, pads = _window(c, "ksize", 3), _window(c, "strides", 3), c.ints("pads", required=True)
    axes = _pool_geometry(list(x.shape[2:]), kernel, strides, pads, [1] * 3, c.attr("ceil_mode", "b", False))
    include = c.attr("count_include_pad", "b", True)
    mean = _average(x.shape[2:], pads, include, c.attr("divisor_override", "i", 0))
    return _pool(x, axes, mean).astype(x.dtype)


# --- normalisation and products ---------------------------------------------------------------------------------------


@op("BatchNorm")
def batch_norm(c: Call) -> Any:
    _channels_first(c, "NHWC")
    x = wide(c["x"])
    if x.ndim != 4:
        raise Refused(f"BatchNorm of {x.ndim}-D data")
    shape = [1, -1, 1, 1]
    if c.attr("is_training", "b", True):
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    else:
        mean, variance = wide(c["mean"]), wide(c["variance"])
    for name in ("scale", "offset", "mean", "variance"):
        if c[name].dtype != np.float32:
            raise Refused(f"BatchNorm with {name} in {c[name].dtype}")
    y = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + c.attr("epsilon", "f", 1e-4))
    y = y * wide(c["scale"]).reshape(shape) + wide(c["offset"]).reshape(shape)
    statistics = [np.asarray(v, np.float32) for v in (mean, variance, mean, variance, variance)]
    return [y.astype(c["x"].dtype), *statistics]


@op("LayerNorm")
def layer_norm(c: Call) -> Any:
    x = wide(c["x"])
    axis = c.attr("begin_norm_axis", "i", 0) % x.ndim
    first = c.attr("begin_params_axis", "i", 0) % x.ndim
    axes = tuple(range(axis, x.ndim))
    if c["gamma"].shape != x.shape[first:] or c["beta"].shape != x.shape[first:]:
        raise Refused(f"LayerNorm parameters of {c['gamma'].shape} from axis {first} of {x.shape}")
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    y = (x - mean) / np.sqrt(variance + c.attr("epsilon", "f", 1e-7)) * wide(c["gamma"]) + wide(c["beta"])
    return [v.astype(c["x"].dtype) for v in (y, mean, variance)]


@op("InstanceNorm")
def instance_norm(c: Call) -> Any:
    _channels_first(c, "NDHWC")
    x = wide(c["x"])
    axes = tuple(range(2, x.ndim))
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    y = (x - mean) / np.sqrt(variance + c.attr("epsilon", "f", 1e-6))
    y = y * wide(c["gamma"]).reshape(shape) + wide(c["beta"]).reshape(shape)
    return [v.astype(c["x"].dtype) for v in (y, mean, variance)]


@op("LRN")
def lrn(c: Call) -> Any:
    x = wide(c["x"])
    radius = c.attr("depth_radius", "i", 5)
    bias, alpha, beta = (c.attr(n, "f", d) for n, d in (("bias", 1.0), ("alpha", 1.0), ("beta", 0.5)))
    if c.attr("norm_region", "s", "ACROSS_CHANNELS") != "ACROSS_CHANNELS":
        raise Refused("LRN within channels")
    total = np.zeros_like(x)
    for k in range(x.shape[1]):
        low, high = max(0, k - radius), min(x.shape[1], k + radius + 1)
        total[:, k] = np.square(x[:, low:high]).sum(1)
    return (x / np.power(bias + alpha * total, beta)).astype(c["x"].dtype)


@op("LpNormV2")
def lp_norm(c: Call) -> Any:
    x, p = wide(c["x"]), c.attr("p", "f", 2.0)
    axes = tuple(c.ints("axes", [])) or tuple(range(x.ndim))
    total = np.power(np.power(np.abs(x), p).sum(axes, keepdims=c.attr("keepdim", "b", False)), 1 / p)
    return np.maximum(total, c.attr("epsilon", "f", 1e-12)).astype(c["x"].dtype)


def _swapped(x: np.ndarray[Any, Any], yes: bool) -> np.ndarray[Any, Any]:
    return np.swapaxes(x, -1, -2) if yes else x


def _product(c: Call, first: str, second: str) -> Any:
    a, b = c["x1"], c["x2"]
    if a.dtype != b.dtype:
        raise Refused(f"product of {a.dtype} and {b.dtype}")
    if min(a.ndim, b.ndim) < 2:
        raise Refused(f"{c.op.type} of ranks {a.ndim} and {b.ndim}")
    if not c.op.type.startswith("Batch") and (a.ndim, b.ndim) != (2, 2):
        raise Refused(f"{c.op.type} of ranks {a.ndim} and {b.ndim}")
    kind = np.float64 if np.issubdtype(a.dtype, np.floating) else a.dtype
    out = _swapped(a.astype(kind), c.attr(first, "b", False)) @ _swapped(b.astype(kind), c.attr(second, "b", False))
    bias = c.get("bias")
    return (out if bias is None else out + bias).astype(a.dtype)


op("MatMul", "MatMulV2")(lambda c: _product(c, "transpose_x1", "transpose_x2"))
op("BatchMatMul", "BatchMatMulV2")(lambda c: _product(c, "adj_x1", "adj_x2"))


@op("Einsum")
def einsum(c: Call) -> Any:
    parts = c.dynamic("x")
    if c.attr("N", "i", required=True) != len(parts):
        raise Refused("Einsum whose N is not the number of its inputs")
    return np.einsum(c.attr("equation", "s", required=True), *parts).astype(parts[0].dtype)


@op("MatrixDeterminant")
def determinant(c: Call) -> Any:
    return np.linalg.det(c["x"]).astype(c["x"].dtype)


# --- reductions -------------------------------------------------------------------------------------------------------


def reduction(name: str, function: Any, noop: bool | None = True, result: Any = None) -> None:
    def run(c: Call) -> Any:
        x = c["x"]
        axes = tuple(int(a) for a in c["axes"].reshape(-1))
        if not axes:
            if noop is not None and c.attr("noop_with_empty_axes", "b", noop):
                return x
            axes = tuple(range(x.ndim))
        found = function(x, axes, c.attr("keep_dims", "b", False))
        return np.asarray(found).astype(result or x.dtype)

    op(name)(run)


reduction("ReduceMean", lambda x, a, k: np.mean(wide(x), a, keepdims=k))
reduction("ReduceSum", lambda x, a, k: np.sum(x, a, keepdims=k, dtype=np.float64 if x.dtype.kind == "f" else x.dtype))
reduction("ReduceMax", lambda x, a, k: np.max(x, a, keepdims=k))
reduction("ReduceMin", lambda x, a, k: np.min(x, a, keepdims=k))
reduction("ReduceProd", lambda x, a, k: np.prod(x, a, keepdims=k))
reduction("ReduceAny", lambda x, a, k: np.any(x, a, keepdims=k), None)
reduction("ReduceAll", lambda x, a, k: np.all(x, a, keepdims=k), None)
reduction("ReduceLogSumExp", lambda x, a, k: np.log(np.exp(wide(x)).sum(a, keepdims=k)), False)


def _first(c: Call, function: Any) -> Any:
    axis = c["dimension"]
    if axis.ndim:
        raise Refused("dimension is no scalar")
    return function(c["x"], int(axis)).astype(CPP_TYPES[c.attr("dtype", "dt", 9)])


op("ArgMaxV2")(lambda c: _first(c, np.argmax))
op("ArgMin")(lambda c: _first(c, np.argmin))


@op("TopK")
def top_k(c: Call) -> Any:
    x, k, axis = c["x"], c["k"], c.attr("dim", "i", -1)
    if k.ndim or k.dtype != np.int32:
        raise Refused("k is no int32 scalar")
    sign = -1 if c.attr("largest", "b", True) else 1
    order = np.argsort(sign * wide(x), axis=axis, kind="stable").take(range(int(k)), axis=axis)
    return [np.take_along_axis(x, order, axis), order.astype(np.int32)]


@op("Cumsum")
def cumsum(c: Call) -> Any:
    x, axis = c["x"], int(c["axis"])
    if c.attr("reverse", "b", False):
        x = np.flip(x, axis)
    out = np.cumsum(x, axis, dtype=x.dtype)
    if c.attr("exclusive", "b", False):
        out = out - x
    return np.flip(out, axis) if c.attr("reverse", "b", False) else out


# --- shapes --------------------------------------------------------------------------------------------------------


@op("Reshape")
def reshape(c: Call) -> Any:
    if c.attr("axis", "i", 0) != 0 or c.attr("num_axes", "i", -1) != -1:
        raise Refused("partial Reshape")
    shape = c["shape"].tolist()
    if 0 in shape and c["x"].size:
        raise Refused("Reshape to a shape with 0")
    return c["x"].reshape(shape)


@op("Flatten")
def flatten(c: Call) -> Any:
    x, axis = c["x"], c.attr("axis", "i", 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


@op("Squeeze")
def squeeze(c: Call) -> Any:
    axes = c.ints("axis", [])
    return c["x"].squeeze(tuple(axes)) if axes else c["x"].squeeze()


@op("Unsqueeze")
def unsqueeze(c: Call) -> Any:
    return np.expand_dims(c["x"], tuple(c.ints("axes", [])))


@op("Transpose")
def transpose(c: Call) -> Any:
    return np.transpose(c["x"], c["perm"].tolist())


@op("BroadcastTo")
def broadcast_to(c: Call) -> Any:
    return np.broadcast_to(c["x"], tuple(c["shape"].tolist()))


@op("Tile")
def tile(c: Call) -> Any:
    return np.tile(c["x"], c["multiples"].tolist())


@op("Shape")
def shape_of(c: Call) -> Any:
    return np.asarray(c["x"].shape, CPP_TYPES[c.attr("dtype", "i", 3)])


@op("Size")
def size_of(c: Call) -> Any:
    return np.asarray(c["x"].size, CPP_TYPES[c.attr("dtype", "i", 3)])


@op("ConcatD")
def concat(c: Call) -> Any:
    parts = c.dynamic("x")
    if c.attr("N", "i", 1) != len(parts):
        raise Refused("ConcatD whose N is not the number of its inputs")
    return np.concatenate(parts, c.attr("concat_dim", "i", required=True))


@op("SplitV")
def split(c: Call) -> Any:
    sizes = c["size_splits"].tolist()
    if c.attr("num_split", "i", required=True) != len(sizes):
        raise Refused("SplitV whose num_split is not the number of its outputs")
    return list(np.split(c["x"], np.cumsum(sizes)[:-1], int(c["split_dim"])))


@op("StridedSliceV2")
def strided_slice(c: Call) -> Any:
    if any(c.attr(m, "i", 0) for m in ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")):
        raise Refused("masks")
    x, axes, strides = c["x"], c.get("axes"), c.get("strides")
    count = c["begin"].size
    index: list[Any] = [slice(None)] * x.ndim
    for i in range(count):
        axis = i if axes is None else int(axes[i])
        step = 1 if strides is None else int(strides[i])
        index[axis] = slice(int(c["begin"][i]), int(c["end"][i]), step)
    return x[tuple(index)]


@op("ReverseV2")
def reverse(c: Call) -> Any:
    return np.flip(c["x"], tuple(c["axis"].reshape(-1).tolist()))


@op("PadV3")
def pad(c: Call) -> Any:
    x, flat, mode = c["x"], c["paddings"].reshape(-1).tolist(), c.attr("mode", "s", "constant")
    if c.attr("paddings_contiguous", "b", True):
        pairs = [flat[i : i + 2] for i in range(0, len(flat), 2)]
    else:
        pairs = list(zip(flat[: x.ndim], flat[x.ndim :], strict=True))
    if mode != "constant":
        return np.pad(x, pairs, mode=mode)
    value = c.get("constant_values")
    return np.pad(x, pairs, constant_values=0 if value is None else value.item())


@op("DepthToSpace")
def depth_to_space(c: Call) -> Any:
    _channels_first(c, "NHWC")
    x, b = c["x"], c.attr("block_size", "i", required=True)
    n, d, h, w = x.shape
    if c.attr("mode", "s", "DCR") == "DCR":
        y = x.reshape(n, b, b, d // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, d // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, d // b**2, h * b, w * b)


@op("SpaceToDepth")
def space_to_depth(c: Call) -> Any:
    _channels_first(c, "NHWC")
    x, b = c["x"], c.attr("block_size", "i", required=True)
    n, d, h, w = x.shape
    return x.reshape(n, d, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, d * b**2, h // b, w // b)


# --- indices -------------------------------------------------------------------------------------------------------


def _in_range(c: Call, indices: Any, size: Any, negative: bool) -> None:
    if not negative and (np.asarray(indices) < 0).any():
        raise Refused(f"{c.op.name}: negative indices without support for them")
    if (np.asarray(indices) >= size).any():
        raise Refused(f"{c.op.name}: an index beyond the axis")


@op("GatherV2")
def gather(c: Call) -> Any:
    if c.attr("batch_dims", "i", 0):
        raise Refused("batch_dims")
    axis = int(c["axis"].item())
    _in_range(c, c["indices"], c["x"].shape[axis], c.attr("negative_index_support", "b", False))
    return np.take(c["x"], c["indices"], axis)


@op("GatherElements")
def gather_elements(c: Call) -> Any:
    return np.take_along_axis(c["x"], c["index"].astype(np.int64), c.attr("dim", "i", 0))


@op("GatherNd")
def gather_nd(c: Call) -> Any:
    _in_range(c, c["indices"], c["x"].shape[: c["indices"].shape[-1]], c.attr("negative_index_support", "b", False))
    return c["x"][tuple(np.moveaxis(c["indices"], -1, 0))]


@op("ScatterElements")
def scatter_elements(c: Call) -> Any:
    y, axis, mode = c["data"].copy(), c.attr("axis", "i", 0), c.attr("reduction", "s", "none")
    for index in np.ndindex(*c["indices"].shape):
        at = list(index)
        at[axis] = int(c["indices"][index])
        _put(y, tuple(at), c["updates"][index], mode)
    return y


def _put(y: Any, at: Any, value: Any, mode: str) -> None:
    combine = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
    y[at] = value if mode == "none" else combine[mode](y[at], value)


def _scatter_nd(data: str, mode: str) -> Any:
    def run(c: Call) -> Any:
        y = c[data].copy()
        for index in np.ndindex(*c["indices"].shape[:-1]):
            _put(y, tuple(c["indices"][index].tolist()), c["updates"][index], mode)
        return y

    return run


op("TensorScatterUpdate")(_scatter_nd("x", "none"))
op("TensorScatterAdd")(_scatter_nd("x", "add"))
op("TensorScatterMax")(_scatter_nd("input", "max"))
op("TensorScatterMin")(_scatter_nd("input", "min"))


@op("OneHot")
def one_hot(c: Call) -> Any:
    if any(c[n].ndim for n in ("depth", "on_value", "off_value")):
        raise Refused("OneHot with depth or values that are no scalars")
    depth, axis = int(c["depth"]), c.attr("axis", "i", -1)
    hit = np.expand_dims(c["x"], -1) == np.arange(depth)
    out = np.where(hit, c["on_value"], c["off_value"]).astype(c["on_value"].dtype)
    return np.moveaxis(out, -1, axis)


@op("NonZero")
def non_zero(c: Call) -> Any:
    found = np.argwhere(c["x"]).astype(CPP_TYPES[c.attr("dtype", "dt", 9)])
    return found.T if c.attr("transpose", "b", False) else found


@op("Fill")
def fill(c: Call) -> Any:
    if c["value"].ndim:
        raise Refused("Fill with a value that is no scalar")
    return np.full(tuple(c["dims"].tolist()), c["value"])


@op("Range")
def arange(c: Call) -> Any:
    return np.arange(c["start"].item(), c["limit"].item(), c["delta"].item()).astype(c["start"].dtype)


@op("Eye")
def eye(c: Call) -> Any:
    rows = c.attr("num_rows", "i", required=True)
    return np.eye(rows, c.attr("num_columns", "i", 0) or rows, dtype=CPP_TYPES[c.attr("dtype", "i", 0)])


op("Triu")(lambda c: np.triu(c["x"], c.attr("diagonal", "i", 0)))
op("Tril")(lambda c: np.tril(c["x"], c.attr("diagonal", "i", 0)))


@op("ReverseSequence")
def reverse_sequence(c: Call) -> Any:
    x, y = c["x"], c["x"].copy()
    seq, batch = c.attr("seq_dim", "i", required=True), c.attr("batch_dim", "i", 0)
    for b, length in enumerate(c["seq_lengths"].tolist()):
        at: list[Any] = [slice(None)] * x.ndim
        at[batch] = b
        source, target = list(at), list(at)
        source[seq], target[seq] = slice(0, length), slice(0, length)
        y[tuple(target)] = np.flip(x[tuple(source)], seq - (seq > batch))
    return y


# --- resizing and recurrent layers ------------------------------------------------------------------------------------


def _positions(size: int, out: int, align: bool, half: bool) -> np.ndarray[Any, Any]:
    scale = (size - 1) / (out - 1) if align and out > 1 else size / out
    steps = np.arange(out, dtype=np.float64)
    return (steps + 0.5) * scale - 0.5 if half else steps * scale


def _image(c: Call) -> np.ndarray[Any, Any]:
    x = c["x"]
    if x.ndim != 4 or c.op.input_desc[0].layout != "NCHW" or c["size"].dtype != np.int32:
        raise Refused(f"{c.op.type} of {x.ndim}-D data in {c.op.input_desc[0].layout}, size in {c['size'].dtype}")
    return x


@op("ResizeBilinearV2")
def resize_bilinear(c: Call) -> Any:
    x, align, half = _image(c), c.attr("align_corners", "b", False), c.attr("half_pixel_centers", "b", False)
    out = wide(x)
    for axis, length in zip((2, 3), c["size"].tolist(), strict=True):
        size = x.shape[axis]
        at = np.clip(_positions(size, length, align, half), 0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        shape = [-1 if i == axis else 1 for i in range(4)]
        part = (at - low).reshape(shape)
        out = out.take(low, axis) * (1 - part) + out.take(high, axis) * part
    return out.astype(CPP_TYPES[c.attr("dtype", "dt", 0)])


@op("ResizeNearestNeighborV2")
def resize_nearest(c: Call) -> Any:
    x, align, half = _image(c), c.attr("align_corners", "b", False), c.attr("half_pixel_centers", "b", False)
    out = x
    for axis, length in zip((2, 3), c["size"].tolist(), strict=True):
        size = x.shape[axis]
        scale = (size - 1) / (length - 1) if align and length > 1 else size / length
        at = (np.arange(length) + (0.5 if half else 0.0)) * scale
        index = np.floor(at + 0.5) if align else np.floor(at)
        out = out.take(np.clip(index.astype(int), 0, size - 1), axis)
    return out


@op("GridSampler2D")
def grid_sample(c: Call) -> Any:
    return (
        F.grid_sample(
            t(wide(c["x"])),
            t(wide(c["grid"])),
            mode=c.attr("interpolation_mode", "s", "bilinear"),
            padding_mode=c.attr("padding_mode", "s", "zeros"),
            align_corners=c.attr("align_corners", "b", False),
        )
        .numpy()
        .astype(c["x"].dtype)
    )


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _ways(c: Call) -> list[bool]:
    direction = c.attr("direction", "s", "forward")
    return {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]


def _states(c: Call, name: str, way: int, batch: int, hidden: int) -> Any:
    given = c.get(name)
    return np.zeros((batch, hidden)) if given is None else wide(given)[way]


def _plain(c: Call) -> None:
    if c.get("sequence_lens") is not None or c.get("p") is not None or c.attr("activations", "list_s", []):
        raise Refused(f"{c.op.type} with lengths, peepholes or activations")


@op("CommonLSTM")
def lstm(c: Call) -> Any:
    """Gates in the order i, o, f, c."""
    _plain(c)
    x, hidden = wide(c["x"]), c.attr("hidden_size", "i", required=True)
    steps, batch = x.shape[:2]
    ys, hs, cs = [], [], []
    for way, backward in enumerate(_ways(c)):
        w, r = wide(c["w"])[way], wide(c["r"])[way]
        b = np.zeros(8 * hidden) if c.get("b") is None else wide(c["b"])[way]
        h, cell = (_states(c, n, way, batch, hidden) for n in ("initial_h", "initial_c"))
        rows = [None] * steps
        for step in reversed(range(steps)) if backward else range(steps):
            gates = x[step] @ w.T + h @ r.T + b[: 4 * hidden] + b[4 * hidden :]
            i, o, f, g = np.split(gates, 4, 1)
            cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(cell)
            rows[step] = h
        ys.append(np.stack(rows))
        hs.append(h)
        cs.append(cell)
    return [v.astype(c["x"].dtype) for v in (np.stack(ys, 1), np.stack(hs), np.stack(cs))]


@op("CommonGRU")
def gru(c: Call) -> Any:
    """Gates in the order z, r, h."""
    _plain(c)
    x, hidden = wide(c["x"]), c.attr("hidden_size", "i", required=True)
    steps, batch = x.shape[:2]
    after = c.attr("linear_before_reset", "i", 0)
    ys, hs = [], []
    for way, backward in enumerate(_ways(c)):
        w, r = wide(c["w"])[way], wide(c["r"])[way]
        b = np.zeros(6 * hidden) if c.get("b") is None else wide(c["b"])[way]
        wb, rb = b[: 3 * hidden], b[3 * hidden :]
        h = _states(c, "initial_h", way, batch, hidden)
        rows = [None] * steps
        for step in reversed(range(steps)) if backward else range(steps):
            xz, xr, xh = np.split(x[step] @ w.T + wb, 3, 1)
            rz, rr, rh = np.split(r, 3, 0)
            bz, br, bh = np.split(rb, 3)
            z, gate = _sigmoid(xz + h @ rz.T + bz), _sigmoid(xr + h @ rr.T + br)
            new = np.tanh(xh + gate * (h @ rh.T + bh)) if after else np.tanh(xh + (gate * h) @ rh.T + bh)
            h = (1 - z) * new + z * h
            rows[step] = h
        ys.append(np.stack(rows))
        hs.append(h)
    return [v.astype(c["x"].dtype) for v in (np.stack(ys, 1), np.stack(hs))]


@op("Pack")
def pack(c: Call) -> Any:
    parts = c.dynamic("x")
    if c.attr("N", "i", 1) != len(parts):
        raise Refused("Pack whose N is not the number of its inputs")
    return np.stack(parts, c.attr("axis", "i", 0))


@op("Unpack")
def unpack(c: Call) -> Any:
    axis = c.attr("axis", "i", 0)
    if c.attr("num", "i", required=True) != c["x"].shape[axis]:
        raise Refused("Unpack whose num is not the length of the axis")
    return [np.take(c["x"], i, axis) for i in range(c["x"].shape[axis])]


@op("AccumulateNV2")
def accumulate(c: Call) -> Any:
    return reduce(np.add, c.dynamic("x"))
