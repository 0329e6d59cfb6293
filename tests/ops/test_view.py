"""What a rule sees; questions that have no answer raise Unsupported with a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.errors import Unsupported
from mindport.ops.samples import build, const, f32, sample
from mindport.ops.view import View, path_of


def view(op: str, case: Any) -> View:
    (node,) = build(op, case).graph
    return View(node, lambda value: f"<{value.name}>", 21)


def test_inputs_are_resolved_when_asked_for() -> None:
    n = view("Clip", sample(f32(2, 3), None, const(np.float32(1))))
    assert list(n.x) == ["<x0>", None, "<c2>"]
    assert n.x[1:] == [None, "<c2>"]
    assert (n.has(0), n.has(1), n.has(2), n.has(3)) == (True, False, True, False)


def test_attributes_have_their_schema_defaults() -> None:
    n = view("LeakyRelu", sample(f32(2)))
    assert n.attr("alpha") == pytest.approx(0.01)
    assert n.attr("alpha", 5) == 5
    assert n.attr("nope") is None
    assert view("Conv", sample(f32(1, 1, 4, 5), f32(1, 1, 2, 3))).attr("auto_pad") == "NOTSET"
    assert view("Transpose", sample(f32(2, 3), perm=[1, 0])).attr("perm") == [1, 0]


def test_shapes_types_and_constants() -> None:
    n = view("Reshape", sample(f32(2, 3, 4), const([4, -1])))
    assert (n.shape(0), n.rank(0), n.dtype(0).name) == ((2, 3, 4), 3, "float32")
    assert (n.out_shape(), n.out_dtype().name) == ((4, 6), "float32")
    assert n.ints(1) == (4, -1)
    assert n.known(0) is None
    assert n.const(2, None) is None  # type: ignore[arg-type]
    assert n.wants(0)
    assert not n.wants(1)


def test_what_is_unknown_is_unsupported() -> None:
    n = view("Add", sample(f32(2, 3), f32(3)))
    for value in n.node.inputs:
        assert value is not None
        value.shape = ir.Shape([None, 3])
    assert n.dims(0) == (None, 3)
    with pytest.raises(Unsupported, match=r"shape \[\?, 3\]"):
        n.shape(0)
    with pytest.raises(Unsupported, match="run time"):
        n.const(1)
    with pytest.raises(Unsupported, match="absent"):
        n.dims(2)
    n.node.inputs[0].shape = None
    with pytest.raises(Unsupported, match="rank"):
        n.rank(0)
    n.node.inputs[0].type = None
    with pytest.raises(Unsupported, match="element type"):
        n.dtype(0)


def test_axes_count_from_the_front() -> None:
    assert view("Softmax", sample(f32(2, 3, 4), axis=-1)).axis() == 2
    assert view("Concat", sample(f32(2, 3), f32(2, 3), axis=-2)).axis() == 0


def test_paths_name_module_node_and_line() -> None:
    (node,) = build("Relu", sample(f32(2))).graph
    assert path_of(node) == "Relu"
    node.metadata_props["pkg.torch.onnx.name_scopes"] = "['', 'layer1', 'layer1.0', 'layer1.0.relu', 'relu_3']"
    node.metadata_props["pkg.torch.onnx.stack_trace"] = 'File "/home/me/net.py", line 12, in forward\n  return x'
    assert path_of(node) == "layer1.0.relu/Relu (net.py:12)"


def test_parameters_of_functions_are_no_values() -> None:
    (node,) = build("Softmax", sample(f32(2))).graph
    node.attributes.add(ir.RefAttr("axis", "axis", ir.AttributeType.INT))
    with pytest.raises(Unsupported, match="enclosing function"):
        View(node, lambda v: v, 21).attr("axis")
