"""AIR bindings in particular: forms that other producers write, what is refused, and the shape of what we write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.dialects.emit_ge import GeEmit
from mindport.dialects.literals import GE, attributes
from mindport.dtypes import by_numpy, named
from mindport.errors import UnsupportedOps
from mindport.formats import air
from mindport.ops.samples import Sample, b8, build, const, f32, i32, i64, sample, weight

RNG = np.random.default_rng(11)
X = RNG.uniform(-2, 2, (2, 3, 4)).astype(np.float32)
Y = RNG.uniform(0.5, 2, (2, 3, 4)).astype(np.float32)
IMAGE = RNG.uniform(-2, 2, (1, 2, 5, 6)).astype(np.float32)
WHOLE = RNG.integers(-9, 9, (2, 3)).astype(np.int32)
DIVISOR = RNG.integers(1, 5, (2, 3)).astype(np.int32)


def lifted(call: Callable[..., Any], arrays: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Builds GE operators on graph inputs, writes and reads the file, lifts it and runs it."""
    inputs = []
    for i, array in enumerate(arrays):
        kind = ir.TensorType(ir.DataType(by_numpy(array.dtype).onnx))
        inputs.append(ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=kind))
    b = GeEmit()
    out = call(b, *inputs)
    outs = list(out) if isinstance(out, tuple) else [out]
    for k, value in enumerate(outs):
        value.name = f"y{k}"
    graph = ir.Graph(inputs, outs, nodes=b.nodes, initializers=b.parameters, name="g", opset_imports={GE: 1})
    data = b"".join(air.write(ir.Model(graph, ir_version=10)))
    proto = ir.serde.serialize_model(to_onnx(air.parse(data)))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {f"x{i}": a for i, a in enumerate(arrays)}
    return session.run(None, {i.name: given[i.name] for i in session.get_inputs()})  # type: ignore[no-any-return]


def i32s(*values: int) -> np.ndarray[Any, Any]:
    return np.asarray(values, np.int32)


FOREIGN: dict[str, tuple[Callable[..., Any], list[Any], Any]] = {
    "FloorDiv": (lambda b, x, y: b.FloorDiv(x, y), [X, Y], np.floor(X / Y)),
    "FloorDiv of integers": (lambda b, x, y: b.FloorDiv(x, y), [WHOLE, DIVISOR], WHOLE // DIVISOR),
    "FloorMod of floats": (lambda b, x, y: b.FloorMod(x, y), [X, Y], np.mod(X, Y)),
    "TruncateMod": (lambda b, x, y: b.TruncateMod(x, y), [WHOLE, DIVISOR], np.fmod(WHOLE, DIVISOR)),
    "RealDiv of integers": (lambda b, x, y: b.RealDiv(x, y), [WHOLE, DIVISOR], (WHOLE / DIVISOR).astype(np.float32)),
    "Rsqrt": (lambda b, x: b.Rsqrt(x), [Y], 1 / np.sqrt(Y)),
    "NotEqual": (lambda b, x, y: b.NotEqual(x, y), [WHOLE, DIVISOR], WHOLE != DIVISOR),
    "ClipByValueV2": (
        lambda b, x: b.ClipByValueV2(x, np.float32([0] * 4), np.asarray(1, np.float32)),
        [X],
        np.clip(X, 0, 1),
    ),
    "AccumulateNV2": (lambda b, x, y: b.AccumulateNV2([x, y], N=2), [X, Y], X + Y),
    "Select by rows": (
        lambda b, c, x, y: b.Select(c, x, y),
        [np.asarray([True, False]), X, Y],
        np.stack([X[0], Y[1]]),
    ),
    "Round": (lambda b, x: b.Round(x, decimals=0), [X], np.round(X)),
    "Swish": (lambda b, x: b.Swish(x, scale=1.5), [X], X / (1 + np.exp(-1.5 * X))),
    "Relu6": (lambda b, x: b.Relu6(x), [X * 5], np.clip(X * 5, 0, 6)),
    "SoftplusV2": (lambda b, x: b.SoftplusV2(x), [X], np.log1p(np.exp(X))),
    "BNInfer": (
        lambda b, x: b.BNInfer(x, *(np.float32([a, a + 1]) for a in (1, 2, 3, 4)), epsilon=1e-3),
        [IMAGE],
        (IMAGE - np.float32([3, 4]).reshape(1, 2, 1, 1))
        / np.sqrt(np.float32([4, 5]).reshape(1, 2, 1, 1) + 1e-3)
        * np.float32([1, 2]).reshape(1, 2, 1, 1)
        + np.float32([2, 3]).reshape(1, 2, 1, 1),
    ),
    "MatMul with bias": (
        lambda b, x, y: b.MatMulV2(x, y, np.float32([1, 2, 3]), transpose_x1=True, transpose_x2=True),
        [X[0], X[1].T[:3].copy()],
        X[0].T @ X[1].T[:3].T + np.float32([1, 2, 3]),
    ),
    "BatchMatMul transposed": (lambda b, x, y: b.BatchMatMul(x, y, adj_x2=True), [X, Y], X @ Y.swapaxes(1, 2)),
    "ReduceMeanD": (lambda b, x: b.ReduceMeanD(x, axes=[1], keep_dims=True), [X], X.mean(1, keepdims=True)),
    "ReduceSum without axes": (
        lambda b, x: b.ReduceSum(x, i32s(), keep_dims=False, noop_with_empty_axes=False),
        [X],
        X.sum(),
    ),
    "ReduceSum that does nothing": (lambda b, x: b.ReduceSum(x, i32s(), noop_with_empty_axes=True), [X], X),
    "ReduceLogSum": (lambda b, x: b.ReduceLogSum(x, i32s(1)), [Y], np.log(Y.sum(1))),
    "LpNormV2 with a floor": (
        lambda b, x: b.LpNormV2(x, p=2.0, axes=[1], keepdim=False, epsilon=1e9),
        [X],
        np.full((2, 4), 1e9, np.float32),
    ),
    "TopKV2": (
        lambda b, x: b.TopKV2(x, np.asarray(2, np.int64), dim=2, indices_dtype=named("int64").ge_attr),
        [X],
        (-np.sort(-X)[..., :2], np.argsort(-X)[..., :2]),
    ),
    "TransposeD": (lambda b, x: b.TransposeD(x, perm=[2, 0, 1]), [X], X.transpose(2, 0, 1)),
    "ExpandDims": (lambda b, x: b.ExpandDims(x, i32s(1)), [X], X[:, None]),
    "Expand": (lambda b, x: b.Expand(x, i32s(2, 2, 3, 4)), [X], np.broadcast_to(X, (2, 2, 3, 4))),
    "TileD": (lambda b, x: b.TileD(x, multiples=[1, 2, 3]), [X], np.tile(X, (1, 2, 3))),
    "ConcatV2": (lambda b, x, y: b.ConcatV2([x, y], i32s(1), N=2), [X, Y], np.concatenate([X, Y], 1)),
    "Split": (
        lambda b, x: b.Split(np.asarray(2, np.int32), x, num_split=2, outputs=2),
        [X],
        tuple(np.split(X, 2, 2)),
    ),
    "SplitD": (lambda b, x: b.SplitD(x, split_dim=0, num_split=2, outputs=2), [X], tuple(np.split(X, 2, 0))),
    "Squeeze of everything": (lambda b, x: b.Squeeze(x), [X[:1, :1]], X[0, 0]),
    "StridedSliceV2 without axes": (
        lambda b, x: b.StridedSliceV2(x, i32s(0, 1), i32s(2, 3), None, i32s(1, 2)),
        [X],
        X[0:2, 1:3:2],
    ),
    "PadV3 in pairs": (
        lambda b, x: b.PadV3(x, i32s(1, 0, 0, 2, 0, 1), np.float32([3]), paddings_contiguous=True),
        [X],
        np.pad(X, ((1, 0), (0, 2), (0, 1)), constant_values=3),
    ),
    "Reshape to int32": (lambda b, x: b.Reshape(x, i32s(4, -1)), [X], X.reshape(4, -1)),
    "Shape as int32": (lambda b, x: b.Shape(x, dtype=named("int32").ge_attr), [X], i32s(2, 3, 4)),
    "GatherNd with int32": (lambda b, x: b.GatherNd(x, np.int32([[0, 1], [1, 2]])), [X], X[[0, 1], [1, 2]]),
    "NonZero by element": (
        lambda b, x: b.NonZero(x, transpose=False, dtype=named("int32")),
        [WHOLE],
        np.argwhere(WHOLE).astype(np.int32),
    ),
    "ArgMin as int32": (
        lambda b, x: b.ArgMin(x, np.asarray(1, np.int32), dtype=named("int32")),
        [X],
        X.argmin(1).astype(np.int32),
    ),
    "Fill": (lambda b: b.Fill(i32s(2, 3), np.asarray(1.5, np.float32)), [], np.full((2, 3), 1.5, np.float32)),
    "Eye": (lambda b: b.Eye(num_rows=2, num_columns=3, dtype=named("int32").ge_attr), [], np.eye(2, 3, dtype=np.int32)),
    "MaxPoolV3 global": (
        lambda b, x: b.MaxPoolV3(x, ksize=[1, 1, 1, 1], strides=[1, 1, 1, 1], global_pooling=True),
        [IMAGE],
        IMAGE.max((2, 3), keepdims=True),
    ),
    "AvgPoolV2 global": (
        lambda b, x: b.AvgPoolV2(x, ksize=[1, 1, 1, 1], strides=[1, 1, 1, 1], global_pooling=True),
        [IMAGE],
        IMAGE.mean((2, 3), keepdims=True),
    ),
    "MaxPoolV3 valid": (
        lambda b, x: b.MaxPoolV3(x, ksize=[1, 1, 5, 6], strides=[1, 1, 1, 1], padding_mode="VALID"),
        [IMAGE],
        IMAGE.max((2, 3), keepdims=True),
    ),
    "AvgPoolV2 with a divisor of its own": (
        lambda b, x: b.AvgPoolV2(x, ksize=[1, 1, 5, 6], strides=[1, 1, 1, 1], divisor_override=7),
        [IMAGE],
        IMAGE.sum((2, 3), keepdims=True) / np.float32(7),
    ),
    "Unpack and Pack": (
        lambda b, x: b.Pack(list(b.Unpack(x, num=3, axis=1, outputs=3)), axis=0, N=3),
        [X],
        X.transpose(1, 0, 2),
    ),
    "GlobalAveragePool": (lambda b, x: b.GlobalAveragePool(x), [IMAGE], IMAGE.mean((2, 3), keepdims=True)),
    "ResizeNearestNeighborV2": (
        lambda b, x: b.ResizeNearestNeighborV2(x, i32s(10, 3)),
        [IMAGE],
        IMAGE[:, :, np.arange(10) // 2][..., ::2],
    ),
    "LayerNorm with statistics": (
        lambda b, x: b.LayerNorm(
            x, np.ones(4, np.float32), np.zeros(4, np.float32), begin_norm_axis=2, begin_params_axis=2, epsilon=1e-3
        ),
        [X],
        (
            (X - X.mean(2, keepdims=True)) / np.sqrt(X.var(2, keepdims=True) + 1e-3),
            X.mean(2, keepdims=True),
            X.var(2, keepdims=True),
        ),
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_forms_of_other_producers_are_understood(name: str) -> None:
    call, arrays, wanted = FOREIGN[name]
    got = lifted(call, arrays)
    expected = wanted if isinstance(wanted, tuple) else (wanted,)
    assert len(got) == len(expected)
    for g, w in zip(got, expected, strict=True):
        assert g.dtype == np.asarray(w).dtype
        assert g.shape == np.shape(w)
        np.testing.assert_allclose(g, w, rtol=2e-5, atol=2e-5)


REFUSED_LIFTS: dict[str, tuple[Callable[..., Any], list[Any], str]] = {
    "channels last": (
        lambda b, x: b.Conv2D(x, np.ones((2, 2, 1, 1), np.float32), strides=[1] * 4, pads=[0] * 4, data_format="NHWC"),
        [IMAGE],
        "layout NHWC",
    ),
    "training": (
        lambda b, x: b.BatchNorm(x, *[np.ones(2, np.float32)] * 4, data_format="NCHW", is_training=True)[0],
        [IMAGE],
        "training mode",
    ),
    "softmax over two axes": (lambda b, x: b.SoftmaxV2(x, axes=[0, 1]), [X], "2 axes"),
    "scaled exponential": (lambda b, x: b.Exp(x, base=2.0), [X], "base=2.0"),
    "masks": (lambda b, x: b.StridedSliceV2(x, i32s(0), i32s(1), begin_mask=1), [X], "begin_mask=1"),
    "part of a shape": (lambda b, x: b.Reshape(x, i32s(12), axis=1), [X], "axis=1"),
    "no such norm": (lambda b, x: b.LpNormV2(x, p=3.0, axes=[1]), [X], "p=3.0"),
    "a large identity": (lambda b: b.Eye(num_rows=1 << 20, dtype=0), [], "too large"),
    "an operator without a lift": (lambda b, x: b.Cholesky(x), [X], "no way to ONNX"),
}


@pytest.mark.parametrize("name", REFUSED_LIFTS)
def test_what_onnx_cannot_say_is_refused(name: str) -> None:
    call, arrays, text = REFUSED_LIFTS[name]
    with pytest.raises(UnsupportedOps, match=text):
        lifted(call, arrays)


REFUSED: list[tuple[str, Sample, str]] = [
    ("BatchNormalization", sample(f32(2, 3), *[weight(3)] * 4, training_mode=1, outputs=3), "training mode"),
    ("MaxPool", sample(f32(1, 2, 5, 6), kernel_shape=[2, 2], outputs=2), "indices"),
    ("AveragePool", sample(f32(1, 2, 5, 6), kernel_shape=[2, 2], dilations=[2, 1]), "dilations"),
    ("LRN", sample(f32(1, 4, 2, 2), size=2), "even number"),
    ("Pad", sample(f32(2, 3), const([1, 1, 0, 0]), mode="wrap"), "mode wrap"),
    ("ScatterND", sample(f32(3), const([[0]]), const(np.float32([1])), reduction="mul"), "reduction mul"),
    ("GatherND", sample(f32(2, 3), const([[0], [1]]), batch_dims=1), "batch dimensions"),
    ("ArgMax", sample(f32(2, 3), select_last_index=1), "select_last_index"),
    ("Conv", sample(f32(1, 2, 3, 3, 3, 3), weight(2, 2, 1, 1, 1, 1)), "4 spatial axes"),
    ("QuantizeLinear", sample(f32(2, 4), const(np.ones((2, 2), np.float32)), block_size=2), "blocked"),
    ("RNN", sample(f32(4, 2, 3), weight(1, 5, 3), weight(1, 5, 5), hidden_size=5, clip=1.0, outputs=2), "clipping"),
    ("LSTM", sample(f32(2, 5, 3), weight(1, 16, 3), weight(1, 16, 4), hidden_size=4, layout=1, outputs=3), "layout=1"),
]


@pytest.mark.parametrize(("op", "case", "text"), REFUSED, ids=[f"{op} {t}" for op, _, t in REFUSED])
def test_what_air_cannot_say_is_refused(op: str, case: Sample, text: str) -> None:
    with pytest.raises(UnsupportedOps, match=text):
        to_target(build(op, case), GE)


def nodes(op: str, case: Sample) -> list[ir.Node]:
    return [n for n in to_target(build(op, case), GE).graph if n.op_type != "Constant"]


def test_pads_are_pairs_for_each_axis() -> None:
    (conv,) = nodes("Conv", sample(f32(1, 2, 5, 6), weight(3, 2, 2, 3), pads=[1, 2, 3, 4], strides=[2, 1]))
    values = attributes(conv)
    assert values["pads"] == [1, 3, 2, 4]
    assert values["strides"] == [1, 1, 2, 1]
    assert values["data_format"] == "NCHW"


def test_one_dimensional_windows_get_a_second_axis() -> None:
    conv = nodes("Conv", sample(f32(1, 2, 7), weight(3, 2, 3), pads=[1, 2], strides=[2]))
    assert [n.op_type for n in conv] == ["Unsqueeze", "Conv2D", "Squeeze"]
    assert attributes(conv[1])["pads"] == [0, 0, 1, 2]
    pool = nodes("MaxPool", sample(f32(1, 2, 7), kernel_shape=[3], pads=[1, 2]))
    assert attributes(pool[1])["ksize"] == [1, 1, 3, 1]
    assert attributes(pool[1])["pads"] == [1, 2, 0, 0]


def test_types_in_attributes_are_numbered_as_cpp_does() -> None:
    (cast,) = nodes("Cast", sample(f32(2), to=7))
    assert attributes(cast)["dst_type"] == 9
    (cast,) = nodes("Cast", sample(f32(2), to=6))
    assert attributes(cast)["dst_type"] == 3


def test_batch_norm_says_that_it_does_not_train() -> None:
    case = sample(f32(2, 3, 4, 5), weight(3), weight(3), weight(3), weight(3, low=0.5))
    (norm,) = nodes("BatchNormalization", case)
    assert attributes(norm)["is_training"] is False
    assert len(norm.outputs) == 6


def test_gemm_scales_only_where_it_has_to() -> None:
    assert [n.op_type for n in nodes("Gemm", sample(f32(2, 3), weight(3, 4), weight(4)))] == ["MatMulV2", "Add"]
    scaled = nodes("Gemm", sample(f32(2, 3), weight(3, 4), weight(4), alpha=0.5, beta=2.0))
    assert [n.op_type for n in scaled] == ["MatMulV2", "Muls", "Muls", "Add"]


def test_dilated_pools_use_the_operator_that_has_dilations() -> None:
    case = sample(f32(1, 2, 9, 8), kernel_shape=[2, 3], dilations=[2, 1])
    assert [n.op_type for n in nodes("MaxPool", case)] == ["Unsqueeze", "MaxPool3D", "Squeeze"]


def test_constant_indices_are_counted_from_the_front() -> None:
    (gather,) = nodes("Gather", sample(f32(3, 4), const([-1, 0]), axis=1))
    indices = gather.inputs[1]
    assert indices is not None
    assert indices.producer().attributes["value"].value.numpy().tolist() == [3, 0]  # type: ignore[union-attr]
    assert attributes(gather)["negative_index_support"] is False
    (gather,) = nodes("Gather", sample(f32(3, 4), i64(2, low=-3, high=3)))
    assert attributes(gather)["negative_index_support"] is True


def test_an_identity_gives_a_graph_output_an_operator() -> None:
    assert [n.op_type for n in nodes("Identity", sample(f32(2)))] == ["Identity"]
    assert [n.op_type for n in nodes("Sum", sample(f32(2)))] == ["Identity"]


def test_reductions_of_truth_values() -> None:
    assert [n.op_type for n in nodes("ReduceMax", sample(b8(2, 3), const([1])))] == ["ReduceAny"]
    assert [n.op_type for n in nodes("ReduceMin", sample(b8(2, 3), const([1])))] == ["ReduceAll"]


def test_integers_are_divided_by_the_operator_that_truncates() -> None:
    assert [n.op_type for n in nodes("Div", sample(i32(2), i32(2, low=1, high=3)))] == ["Div"]
    assert [n.op_type for n in nodes("Div", sample(f32(2), f32(2)))] == ["RealDiv"]


def test_a_condition_known_at_run_time_only_is_searched() -> None:
    found = [n.op_type for n in nodes("Compress", sample(f32(3, 4), b8(3), axis=0))]
    assert found == ["NonZero", "Reshape", "GatherV2"]
    assert [n.op_type for n in nodes("Compress", sample(f32(3, 4), const([True, False, True]), axis=0))] == ["GatherV2"]


def test_steps_share_one_product_with_the_input() -> None:
    layer = nodes("RNN", sample(f32(4, 2, 3), weight(1, 5, 3), weight(1, 5, 5), hidden_size=5, outputs=2))
    assert [n.op_type for n in layer].count("MatMulV2") == 1 + 4
