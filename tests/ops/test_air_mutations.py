"""Mistakes a converter could make in both directions at once: the evaluator or the table check sees each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mindport.conversion import air_check
from mindport.conversion.pipeline import to_target
from mindport.dialects.literals import GE
from mindport.errors import FormatError
from mindport.formats import air
from mindport.ops.samples import Sample, b8, build, const, f32, feeds, i32, sample, weight
from ops.test_air_cards import run_onnx
from oracles.ge_eval import Refused, evaluate
from oracles.ge_proto import ModelDef

CASES: dict[str, Sample] = {
    # with these strides the shape is the same in both orders of pads: only numbers tell
    "Conv": sample(f32(1, 2, 6, 6), weight(3, 2, 3, 3), pads=[1, 0, 1, 1], strides=[2, 2]),
    "BatchNormalization": sample(
        f32(2, 3, 4, 4), weight(3), weight(3), weight(3), weight(3, low=0.5, high=2), epsilon=1e-3
    ),
    "AveragePool": sample(f32(1, 2, 5, 6), kernel_shape=[2, 3], pads=[1, 0, 0, 1], count_include_pad=1),
    "MaxPool": sample(f32(1, 2, 5, 5), kernel_shape=[2, 3], strides=[1, 2], pads=[1, 1, 0, 1]),
    "Softmax": sample(f32(3, 3), axis=0),
    "Concat": sample(f32(3, 3), f32(3, 3), axis=1),
    "Cast": sample(f32(2, 3), to=6),
    "Gemm": sample(f32(3, 3), weight(3, 3), weight(3), transB=1),
    "ReduceMean": sample(f32(3, 3), const([0]), keepdims=0),
    "Transpose": sample(f32(3, 3, 3), perm=[1, 2, 0]),
    "Pad": sample(f32(3, 3), const([1, 0, 2, 1]), const(np.float32(2))),
    "Where": sample(b8(3, 3), f32(3, 3), f32(3, 3)),
    "Sub": sample(f32(3, 3), f32(3, 3)),
    "Gather": sample(f32(3, 3), const([[0, 2]]), axis=1),
    "LayerNormalization": sample(f32(3, 3, low=-0.02, high=0.02), weight(3), weight(3), axis=1, epsilon=1e-3),
    "LRN": sample(f32(1, 5, 2, 2), size=3, alpha=0.5, bias=1.5),
    "LeakyRelu": sample(f32(3, 3), alpha=0.3),
    "Exp": sample(f32(3)),
    "Add": sample(i32(3), i32(3)),
}


def ints(name: str, *values: int) -> Callable[[Any, Any], None]:
    def change(m: Any, op: Any) -> None:
        op.attr[name].list.i[:] = values

    return change


def put(name: str, member: str, value: Any) -> Callable[[Any, Any], None]:
    return lambda m, op: setattr(op.attr[name], member, value)


def drop(name: str) -> Callable[[Any, Any], None]:
    return lambda m, op: op.attr.pop(name) and None


def swap_edges(m: Any, op: Any) -> None:
    op.input[0], op.input[1] = op.input[1], op.input[0]


def swap_last_edges(m: Any, op: Any) -> None:
    op.input[-1], op.input[-2] = op.input[-2], op.input[-1]


def constant(*values: int) -> Callable[[Any, Any], None]:
    """Replaces the content of the integer constant of that length."""

    def change(m: Any, op: Any) -> None:
        for o in m.graph[0].op:
            if o.type == "Const" and o.attr["value"].t.desc.dtype in (7, 8):
                kind = np.int32 if o.attr["value"].t.desc.dtype == 7 else np.int64
                content = np.asarray(values, kind).tobytes()
                if len(content) == len(o.attr["value"].t.data):
                    o.attr["value"].t.data = content

    return change


def swapped_numbering(m: Any, op: Any) -> None:
    """Every descriptor gets the C++ number of its type."""
    cpp = {1: 0, 2: 1, 3: 2, 5: 6, 6: 7, 7: 3, 8: 9, 11: 12, 12: 11}
    for o in m.graph[0].op:
        for desc in (*o.input_desc, *o.output_desc):
            desc.dtype = cpp[desc.dtype]


def swap_indices(m: Any, op: Any) -> None:
    data = [o for o in m.graph[0].op if o.type == "Data"]
    data[0].attr["index"].i, data[1].attr["index"].i = 1, 0


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        ("Conv", "Conv2D", ints("pads", 1, 0, 1, 1)),
        ("Conv", "Conv2D", drop("data_format")),
        ("Conv", "Conv2D", put("data_format", "s", b"NHWC")),
        ("Conv", "Conv2D", put("pads", "i", 1)),
        ("BatchNormalization", "BatchNorm", drop("is_training")),
        ("BatchNormalization", "BatchNorm", put("is_training", "b", True)),
        ("BatchNormalization", "BatchNorm", drop("epsilon")),
        ("BatchNormalization", "BatchNorm", drop("data_format")),
        ("AveragePool", "AvgPoolV2", put("exclusive", "b", True)),
        ("AveragePool", "AvgPoolV2", drop("exclusive")),
        ("AveragePool", "AvgPoolV2", ints("pads", 1, 0, 1, 0)),
        ("MaxPool", "MaxPoolV3", ints("pads", 1, 1, 0, 1)),
        ("MaxPool", "MaxPoolV3", ints("ksize", 1, 1, 3, 2)),
        ("MaxPool", "MaxPoolV3", ints("strides", 1, 1, 2, 1)),
        ("Softmax", "SoftmaxV2", ints("axes", 1)),
        ("Softmax", "SoftmaxV2", drop("axes")),
        ("Concat", "ConcatD", put("concat_dim", "i", 0)),
        ("Concat", "ConcatD", swap_edges),
        ("Concat", "ConcatD", swap_indices),
        ("Cast", "Cast", put("dst_type", "i", 7)),
        ("Cast", "Cast", swapped_numbering),
        ("Add", "Add", swapped_numbering),
        ("Gemm", "MatMulV2", put("transpose_x2", "b", False)),
        ("Gemm", "MatMulV2", swap_edges),
        ("ReduceMean", "ReduceMean", constant(1)),
        ("ReduceMean", "ReduceMean", put("keep_dims", "b", True)),
        ("Transpose", "Transpose", constant(2, 0, 1)),
        ("Pad", "PadV3", drop("paddings_contiguous")),
        ("Pad", "PadV3", put("paddings_contiguous", "b", True)),
        ("Where", "SelectV2", swap_last_edges),
        ("Sub", "Sub", swap_edges),
        ("Gather", "GatherV2", constant(0)),
        ("LayerNormalization", "LayerNorm", drop("epsilon")),
        ("LRN", "LRN", put("alpha", "f", 0.5)),
        ("LRN", "LRN", put("depth_radius", "i", 3)),
        ("LeakyRelu", "LeakyRelu", drop("negative_slope")),
        ("Exp", "Exp", put("base", "f", 2.0)),
    ],
)
def test_the_mistake_is_seen(name: str, kind: str, change: Callable[[Any, Any], None]) -> None:
    model, given = build(name, CASES[name]), feeds(CASES[name])
    wanted = run_onnx(model, given)
    lowered = to_target(model, GE)
    order = [given[str(v.name)] for v in lowered.graph.inputs]
    data = b"".join(air.write(lowered))
    assert not seen(data, order, wanted)
    message = ModelDef.FromString(data)
    change(message, next(o for o in message.graph[0].op if o.type == kind))
    assert seen(message.SerializeToString(), order, wanted)


def seen(data: bytes, order: list[Any], wanted: list[Any]) -> bool:
    """True if the table check objects, the evaluator refuses, or the numbers differ."""
    try:
        if air_check.check(air.parse(data)):
            return True
        got = evaluate(data, order)
    except (FormatError, Refused, ValueError, IndexError, KeyError, RuntimeError):
        return True
    return any(
        g.shape != w.shape or g.dtype != w.dtype or not np.allclose(g, w, rtol=1e-5, atol=1e-6)
        for g, w in zip(got, wanted, strict=True)
    )
