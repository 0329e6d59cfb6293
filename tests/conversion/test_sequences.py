"""SplitToSequence and SequenceAt become Split, and mean the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mindport.conversion.pipeline import to_hub
from mindport.conversion.sequences import plain_splits


def model(split: Any, indices: list[int], keepdims: int = 1, axis: int = -1, shape: Any = (2, 7)) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(np.asarray(i, np.int64), f"i{k}") for k, i in enumerate(indices)]
    inputs = ["x"]
    if split is not None:
        constants.append(numpy_helper.from_array(np.asarray(split, np.int64), "split"))
        inputs.append("split")
    nodes = [helper.make_node("SplitToSequence", inputs, ["seq"], name="cut", axis=axis, keepdims=keepdims)]
    nodes += [helper.make_node("SequenceAt", ["seq", f"i{k}"], [f"y{k}"], name=f"at{k}") for k in range(len(indices))]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, None) for k in range(len(indices))],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(proto: onnx.ModelProto, x: np.ndarray[Any, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("split", "indices", "keepdims"),
    [(3, [0, 1, 2], 1), ([2, 5], [1, 0], 1), (None, [6, 0], 1), (None, [2, -1], 0), (3, [-1, -1], 1), (7, [0], 1)],
)
def test_the_result_is_the_same_without_a_sequence(split: Any, indices: list[int], keepdims: int) -> None:
    proto = model(split, indices, keepdims)
    x = np.arange(14, dtype=np.float32).reshape(2, 7)
    wanted = run(proto, x)
    hub = to_hub(ir.serde.deserialize_model(proto))
    assert not {n.op_type for n in hub.graph} & {"SplitToSequence", "SequenceAt"}
    assert [v.name for v in hub.graph.outputs] == [f"y{k}" for k in range(len(indices))]
    got = run(ir.serde.serialize_model(hub), x)
    for g, w in zip(got, wanted, strict=True):
        assert np.array_equal(g, w)


def ops_after(proto: onnx.ModelProto) -> list[str]:
    plain = plain_splits(ir.serde.deserialize_model(proto))
    return [n.op_type for n in plain.graph]


def test_what_is_known_at_run_time_only_stays() -> None:
    assert ops_after(model(3, [0], shape=("n", "m"))) == ["SplitToSequence", "SequenceAt"]
    computed = model(3, [0])
    computed.graph.input.append(helper.make_tensor_value_info("split", TensorProto.INT64, []))
    del computed.graph.initializer[-1]
    assert ops_after(computed) == ["SplitToSequence", "SequenceAt"]


def test_an_index_beyond_the_parts_stays_for_the_checker() -> None:
    assert ops_after(model(3, [3])) == ["SplitToSequence", "SequenceAt"]


def test_a_sequence_that_is_used_otherwise_stays() -> None:
    proto = model(3, [0])
    proto.graph.node.append(helper.make_node("SequenceLength", ["seq"], ["n"], name="len"))
    proto.graph.output.append(helper.make_tensor_value_info("n", TensorProto.INT64, []))
    assert ops_after(proto) == ["SplitToSequence", "SequenceAt", "SequenceLength"]
