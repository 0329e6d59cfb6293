"""The verdict on AIR models: the table's, and that of shapes inferred through ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from mindport import verify
from mindport.conversion import air_check
from mindport.conversion.lift import lift_values
from mindport.conversion.pipeline import to_target
from mindport.dialects.literals import GE
from mindport.errors import UnsupportedOps
from mindport.formats import air
from mindport.ops.samples import build, f32, sample, weight
from oracles.ge_eval import evaluate

CONV = sample(f32(1, 2, 5, 6), weight(3, 2, 2, 3), weight(3), pads=[1, 0, 2, 1])


def model() -> ir.Model:
    return to_target(build("Conv", CONV), GE)


def test_a_sound_model_passes() -> None:
    assert air_check.check(model()) == []
    assert air_check.refuse(made := model()) is made


def test_wrong_shapes_and_types_are_contradictions() -> None:
    made = model()
    (out,) = made.graph.outputs
    out.shape = ir.Shape([1, 3, 9, 9])
    found = air_check.check(made)
    assert [v.message for v in found] == ["declares the shape [1, 3, 9, 9], the operator gives [1, 3, 7, 5]"]
    out.shape, out.type = ir.Shape([1, 3, 7, 5]), ir.TensorType(ir.DataType.INT32)
    assert any("declares int32, the operator gives float" in v.message for v in air_check.check(made))


def test_unknown_dimensions_contradict_nothing() -> None:
    made = model()
    made.graph.outputs[0].shape = ir.Shape([None, 3, None, 5])
    assert air_check.check(made) == []


def test_refusal_lists_every_problem_with_its_nodes() -> None:
    made = model()
    made.graph.outputs[0].shape = None
    node = next(n for n in made.graph if n.op_type == "Conv2D")
    del node.attributes["pads"]
    with pytest.raises(UnsupportedOps) as caught:
        air_check.refuse(made)
    assert {op.reason for op in caught.value.ops} == {"required attribute pads is missing", "output y has no shape"}
    assert {n for op in caught.value.ops for n in op.nodes} == {"y0"}


def test_values_are_lifted_as_far_as_possible() -> None:
    made = model()
    node = next(n for n in made.graph if n.op_type == "Conv2D")
    node.op_type = "NoSuchOp"
    values = lift_values(made)
    assert isinstance(values[made.graph.inputs[0]], ir.Value)


def test_verify_reports_what_the_table_says(tmp_path: Path) -> None:
    path = tmp_path / "net.air"
    path.write_bytes(b"".join(air.write(model())))
    assert verify(path).ok
    made = model()
    node = next(n for n in made.graph if n.op_type == "Conv2D")
    del node.attributes["data_format"]
    path.write_bytes(b"".join(air.write(made)))
    report = verify(path)
    assert not report.ok
    assert any("data_format is not written" in c.detail for c in report.checks)


def test_a_body_takes_the_place_of_an_operator_with_a_gap_in_its_outputs() -> None:
    query = helper.make_tensor_value_info("q", TensorProto.FLOAT, (1, 2, 3, 4))
    node = helper.make_node("Attention", ["q", "q", "q"], ["y", "", "", "scores"], name="attention")
    outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y", "scores")]
    graph = helper.make_graph([node], "g", [query], outs)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    x = np.random.default_rng(2).standard_normal((1, 2, 3, 4)).astype(np.float32)
    wanted = ReferenceEvaluator(proto).run(None, {"q": x})
    lowered = to_target(ir.serde.deserialize_model(proto), GE)
    assert [v.name for v in lowered.graph.outputs] == ["y", "scores"]
    for got, want in zip(evaluate(b"".join(air.write(lowered)), [x]), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
