"""The verdict on AIR models: the table's, and that of shapes inferred through ONNX."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from mindport import verify
from mindport.convert import air_check
from mindport.convert.lift import lift_values
from mindport.convert.pipeline import to_target
from mindport.dialects.literals import GE
from mindport.errors import UnsupportedOps
from mindport.formats import air
from mindport.ops.samples import build, f32, sample, weight

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
