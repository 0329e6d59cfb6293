"""Running files of every model format on arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.pipeline import to_target
from mindport.conversion.run import feeds_for, random_inputs, run_graph, run_model
from mindport.errors import Unsupported, UsageError
from mindport.formats import air, mindir
from mindport.formats import onnx as onnx_format
from mindport.ops.samples import build, f32, feeds, sample, weight
from oracles import ort
from oracles.primitive import model as primitive
from oracles.primitive import numbers

CASE = sample(f32(2, 3, 9, 8), weight(4, 3, 3, 2), weight(4), pads=[1, 0, 2, 3], strides=[1, 2])
MODEL = build("Conv", CASE)


@pytest.mark.parametrize("suffix", ["onnx", "mindir", "air"])
def test_every_format_runs(suffix: str, tmp_path: Path) -> None:
    module = {"onnx": onnx_format, "mindir": mindir, "air": air}[suffix]
    domain = {"mindir": "mindspore", "air": "ge"}.get(suffix)
    model = MODEL if domain is None else to_target(MODEL, domain)
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(b"".join(module.write(model)))
    x = feeds(CASE)
    ort.agree(CASE, ort.run(MODEL, x), run_model(path, list(x.values())), suffix)
    ort.agree(CASE, ort.run(MODEL, x), run_model(path, x), suffix)


def test_inputs_that_are_not_the_graphs_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 input"):
        run_graph(MODEL, [])
    with pytest.raises(UsageError, match="x0"):
        run_graph(MODEL, {"image": np.zeros(1)})
    assert list(feeds_for(MODEL, {"x0": np.zeros(1)})) == ["x0"]


def test_what_onnx_runtime_refuses_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="ONNX Runtime"):
        run_graph(MODEL, [np.zeros((1, 1), np.float64)])


def test_made_up_inputs_fit_the_graph() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float16[N, 3] a, int64[4] b, bool[N] c) => (float16[N, 3] y) { y = Relu(a) }""")
    a, b, c = random_inputs(model)
    assert (a.shape, a.dtype, b.dtype, c.dtype) == ((2, 3), np.float16, np.int64, np.bool_)
    assert set(b.tolist()) <= {0, 1}
    np.testing.assert_array_equal(random_inputs(model)[0], a)
    model.graph.inputs[0].shape = None
    with pytest.raises(Unsupported, match="a is unknown"):
        random_inputs(model)


def test_weights_are_no_model(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, a=numbers(3))
    with pytest.raises(UsageError, match="no model"):
        run_model(path, [])


def test_a_foreign_graph_is_lifted_first() -> None:
    x = numbers(2, 3)
    np.testing.assert_allclose(run_graph(primitive(lambda b, v: b.Square(v), x), [x])[0], x * x, rtol=1e-6)


def test_an_onnx_file_runs_as_it_lies_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the file was written anew instead of being run")

    path = tmp_path / "m.onnx"
    path.write_bytes(b"".join(onnx_format.write(MODEL)))
    monkeypatch.setattr(onnx_format, "write", refuse)
    x = feeds(CASE)
    ort.agree(CASE, ort.run(MODEL, x), run_model(path, x), "onnx")
