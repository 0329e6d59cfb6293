"""Bytes that depend on the graph alone; names that MindSpore shows as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from mindport.dialects.emit_mindspore import MindSporeEmit
from mindport.dialects.literals import MINDSPORE
from mindport.errors import Unsupported
from mindport.formats import mindir
from mindport.formats.mindir_write import from_model
from oracles import mindspore
from oracles.primitive import model, numbers

X = numbers(2, 3)


def test_equal_primitives_are_written_once() -> None:
    message = from_model(model(lambda b, x: b.ReLU(b.Sigmoid(b.ReLU(x))), X))
    assert [p.op_type for p in message.primitives] == ["ReLU", "Sigmoid"]
    assert [p.prim_type for p in message.primitives] == [2, 2]
    by_attr = from_model(model(lambda b, x: [b.Tril(x, diagonal=1), b.Tril(x, diagonal=0), b.Tril(x, diagonal=1)], X))
    assert [p.prim_type for p in by_attr.primitives] == [1, 1]


def test_the_header_is_what_the_loader_wants() -> None:
    message = from_model(model(lambda b, x: b.ReLU(x), X))
    assert (message.mind_ir_version, message.little_endian, message.producer_name) == (3, True, "mindport")
    assert message.model_version.startswith("2.")
    assert message.graph.name


def test_a_changed_graph_is_written_as_it_is_now() -> None:
    loaded = mindir.loads(b"".join(mindir.write(model(lambda b, x: b.Tril(b.ReLU(x), diagonal=1), X))))
    relu, tril = list(loaded.graph)
    relu.op_type = "Tanh"
    from mindport.dialects.literals import attribute

    tril.attributes.add(attribute("diagonal", -1))
    again = mindir.loads(b"".join(mindir.write(loaded)))
    assert [n.op_type for n in again.graph] == ["Tanh", "Tril"]
    assert list(again.graph)[1].attributes["diagonal"].value == -1


def test_a_changed_input_shape_is_written() -> None:
    loaded = mindir.loads(b"".join(mindir.write(model(lambda b, x: b.ReLU(x), X))))
    loaded.graph.inputs[0].shape = ir.Shape([None, 3])
    again = mindir.loads(b"".join(mindir.write(loaded)))
    assert again.graph.inputs[0].shape is not None
    assert not isinstance(again.graph.inputs[0].shape[0], int)


def with_weight(name: str) -> ir.Model:
    b = MindSporeEmit()
    x = ir.Value(name="x", shape=ir.Shape([2, 3]), type=ir.TensorType(ir.DataType.FLOAT))
    w = ir.Value(
        name=name, const_value=ir.Tensor(numbers(3)), shape=ir.Shape([3]), type=ir.TensorType(ir.DataType.FLOAT)
    )
    y = b.Mul(x, w)
    graph = ir.Graph([x], [y], nodes=b.nodes, initializers=[w], name="main", opset_imports={MINDSPORE: 1})
    return ir.Model(graph, ir_version=10)


@pytest.mark.mindspore
@pytest.mark.parametrize("name", ["fc.weight", "a:b:0", "größe"])
def test_names_of_weights_survive_also_with_a_colon(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.mindir"
    path.write_bytes(b"".join(mindir.write(with_weight(name))))
    assert list(mindir.read(path).graph.initializers) == [name]
    np.testing.assert_allclose(mindspore.run(path, [X])[0], X * numbers(3), rtol=1e-6)


def test_what_cannot_be_written_is_refused() -> None:
    graph = model(lambda b, x: b.ReLU(x), X)
    graph.graph.inputs[0].type = None
    with pytest.raises(Unsupported, match="element type"):
        list(mindir.write(graph))
    graph = model(lambda b, x: b.ReLU(x), X)
    graph.graph.inputs[0].type = ir.TensorType(ir.DataType.FLOAT8E5M2)
    with pytest.raises(Unsupported, match="float8_e5m2"):
        list(mindir.write(graph))
