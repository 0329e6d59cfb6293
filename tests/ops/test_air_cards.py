"""Every card, for AIR: the written bytes compute what ONNX Runtime computes, by an evaluator that knows no card."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from mindport import ops
from mindport.conversion import air_check
from mindport.conversion.pipeline import to_hub, to_onnx, to_target
from mindport.dialects.literals import GE
from mindport.formats import air
from mindport.ops.samples import Sample, b8, build, const, f32, feeds, i8, i32, sample, weight
from oracles.ge_eval import evaluate

CASES = [pytest.param(c.op, s, id=f"{c.op} {s.label()}") for c in ops.cards() for s in c.samples if "AIR" in s.targets]

# operators that have a way to AIR and no card with samples (yet)
MORE = {
    "BitwiseAnd": [sample(i32(2, 3), i32(3))],
    "BitwiseOr": [sample(i32(2, 3), i32(3))],
    "BitwiseXor": [sample(i32(2, 3), i32(3))],
    "BitwiseNot": [sample(i32(2, 3))],
    "IsInf": [sample(const(np.float32([1, np.inf, -np.inf]))), sample(f32(2, 3), detect_negative=0)],
    "Hardmax": [sample(f32(2, 3)), sample(f32(2, 3, 4), axis=1)],
    "Shrink": [sample(f32(2, 3), lambd=0.7, bias=0.2)],
    "LpNormalization": [sample(f32(2, 3), p=1), sample(f32(2, 3, 4), p=2, axis=1)],
    "Einsum": [sample(f32(2, 3), f32(3, 4), equation="ij,jk->ki")],
    "Det": [sample(f32(2, 3, 3))],
    "EyeLike": [sample(f32(2, 3)), sample(f32(3, 2), dtype=7)],
    "Range": [sample(f32(low=0, high=1), const(np.float32(5)), const(np.float32(1.5)))],
    "ReverseSequence": [sample(f32(4, 2, 3), const([3, 2]), time_axis=0, batch_axis=1)],
    "Compress": [sample(f32(3, 4), b8(3), axis=0), sample(f32(2, 3), b8(5))],
    "LpPool": [sample(f32(1, 2, 7, 6), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1], p=3)],
    "RNN": [
        sample(
            f32(3, 2, 4),
            weight(2, 5, 4),
            weight(2, 5, 5),
            weight(2, 10),
            None,
            f32(2, 2, 5),
            outputs=2,
            hidden_size=5,
            direction="bidirectional",
        )
    ],
    "LSTM": [
        sample(f32(5, 2, 3), weight(1, 16, 3), weight(1, 16, 4), weight(1, 32), outputs=3, hidden_size=4),
        sample(
            f32(5, 2, 3),
            weight(2, 16, 3),
            weight(2, 16, 4),
            None,
            None,
            f32(2, 2, 4),
            f32(2, 2, 4),
            outputs=3,
            hidden_size=4,
            direction="bidirectional",
        ),
    ],
    "GRU": [
        sample(f32(5, 2, 3), weight(1, 12, 3), weight(1, 12, 4), weight(1, 24), outputs=2, hidden_size=4),
        sample(
            f32(5, 2, 3),
            weight(1, 12, 3),
            weight(1, 12, 4),
            weight(1, 24),
            outputs=2,
            hidden_size=4,
            linear_before_reset=1,
            direction="reverse",
        ),
    ],
    "GridSample": [sample(f32(1, 2, 4, 5), f32(1, 3, 2, 2, low=-1, high=1), align_corners=1)],
    "Mod": [sample(i8(2, 3, low=-9, high=9), const(np.int8(4)))],
    "ReduceMax": [sample(b8(2, 3), const([1]), keepdims=0)],
}
EXTRA = [pytest.param(op, s, id=f"{op} {s.label()}") for op, samples in MORE.items() for s in samples]


def run_onnx(model: ir.Model, given: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        ir.serde.serialize_model(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {i.name: given[i.name] for i in session.get_inputs()})  # type: ignore[no-any-return]


def written(model: ir.Model) -> bytes:
    return b"".join(air.write(model))


def close(got: Any, wanted: Any, case: Sample) -> None:
    rough = {np.dtype(np.float16): (4e-3, 2e-3)}.get(wanted.dtype, (2e-5, 2e-6))
    rtol, atol = case.rtol or rough[0], case.atol or rough[1]
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol)


@pytest.mark.parametrize(("op", "case"), [*CASES, *EXTRA])
def test_air_computes_what_onnx_runtime_computes(op: str, case: Sample) -> None:
    model, given = build(op, case), feeds(case)
    wanted = run_onnx(model, given)
    lowered = to_target(model, GE)
    data = written(lowered)
    got = evaluate(data, [given[str(v.name)] for v in lowered.graph.inputs])
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        close(g, w, case)


@pytest.mark.parametrize(("op", "case"), [*CASES, *EXTRA])
def test_air_comes_back_as_the_same_onnx(op: str, case: Sample) -> None:
    model, given = build(op, case), feeds(case)
    data = written(to_target(model, GE))
    back = air.parse(data)
    assert written(back) == data
    assert air_check.check(back) == []
    for g, w in zip(run_onnx(to_onnx(back), given), run_onnx(model, given), strict=True):
        close(g, w, case)


def test_every_card_has_a_way_to_air_or_a_body() -> None:
    missing = []
    for card in ops.cards():
        for case in card.samples:
            if "AIR" in case.targets and ops.lower_rule(GE, card.op) is None:
                hub = to_hub(build(card.op, case))
                if any(n.op_type == card.op for n in to_target(hub, GE).graph):
                    missing.append(card.op)
    assert not missing


def test_every_operator_written_has_a_way_back() -> None:
    emitted = {
        node.op_type
        for card in ops.cards()
        for case in card.samples
        if "AIR" in case.targets
        for node in to_target(build(card.op, case), GE).graph
        if node.op_type != "Constant"
    }
    assert emitted <= set(ops.lifted_ops(GE))
