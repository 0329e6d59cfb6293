"""Checks of model files: sound ones pass, planted faults are named, unknown operators are not called proved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.checks import graph_checks
from mindport.conversion.pipeline import to_target
from mindport.errors import CorruptFile
from mindport.formats import air, mindir
from mindport.results import Check


@pytest.fixture
def model() -> ir.Model:
    """y = relu(x · w) with 3 features in and 5 out."""
    weight = ir.Value(name="w", const_value=ir.tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5), name="w"))
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2, 3]))
    product = ir.Node("", "MatMul", [x, weight])
    relu = ir.Node("", "Relu", [product.outputs[0]])
    relu.outputs[0].name = "y"
    for out in (product.outputs[0], relu.outputs[0]):
        out.type, out.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([2, 5])
    graph = ir.Graph(
        [x], [relu.outputs[0]], nodes=[product, relu], initializers=[weight], name="net", opset_imports={"": 20}
    )
    return ir.Model(graph, ir_version=10)


def checked(model: ir.Model, path: Path) -> dict[str, Check]:
    return {c.name: c for c in graph_checks(model, path)}


def test_onnx(model: ir.Model, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    ir.save(model, path)
    found = checked(ir.load(path), path)
    assert {name: c.status for name, c in found.items()} == {
        "structure": "passed",
        "weights": "passed",
        "ONNX checker": "passed",
    }
    assert found["weights"].detail == "1 tensors, 60 bytes"


def test_onnx_with_a_fault(model: ir.Model, tmp_path: Path) -> None:
    model.graph[1].attributes["alpha"] = ir.AttrFloat32("alpha", 0.5)  # Relu has no attribute
    ir.save(model, tmp_path / "a.onnx")
    check = checked(model, tmp_path / "a.onnx")["ONNX checker"]
    assert check.status == "failed"
    assert "alpha" in check.detail


@pytest.mark.parametrize(("domain", "codec"), [("mindspore", mindir), ("ge", air)])
def test_foreign_models(model: ir.Model, tmp_path: Path, domain: str, codec: object) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"".join(codec.write(to_target(model, domain))))
    found = checked(codec.read(path), path)
    assert {name: c.status for name, c in found.items()} == {
        "structure": "passed",
        "weights": "passed",
        "operators": "passed",
        "can be converted to ONNX": "passed",
    }


def test_an_operator_that_mindspore_lacks_is_not_proved(model: ir.Model, tmp_path: Path) -> None:
    lowered = to_target(model, "mindspore")
    (relu,) = [n for n in lowered.graph if n.op_type == "ReLU"]
    relu.op_type = "MyCustomOp"
    found = checked(lowered, tmp_path / "a.mindir")
    assert found["operators"] == Check("operators", "not proved", "not in MindSpore's operator table: MyCustomOp × 1")
    assert found["can be converted to ONNX"].status == "not proved"
    assert "MyCustomOp" in found["can be converted to ONNX"].detail


def test_an_operator_that_the_graph_engine_lacks_fails(model: ir.Model, tmp_path: Path) -> None:
    lowered = to_target(model, "ge")
    node = next(n for n in lowered.graph if "MatMul" in n.op_type)
    node.op_type = "NoSuchOperator"
    check = checked(lowered, tmp_path / "a.air")["operators"]
    assert check.status == "failed"
    assert "NoSuchOperator" in check.detail


def test_a_weight_that_lies_outside_its_file_is_corrupt(model: ir.Model, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(10))
    outside = ir.ExternalTensor("data", 0, 60, ir.DataType.FLOAT, shape=ir.Shape([3, 5]), name="w", base_dir=tmp_path)
    model.graph.initializers["w"].const_value = outside
    with pytest.raises(CorruptFile, match="'w'"):
        checked(model, tmp_path / "a.onnx")
