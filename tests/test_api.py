"""`open`, `inspect`, `verify`, `convert` on every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import safetensors.numpy
import torch

import mindport
from mindport.errors import AlreadyExists, MindportError, MissingFile, Unsupported, UsageError
from mindport.formats import ckpt, graph_meta
from mindport.tensors import ArrayRef

WEIGHTS = {
    "fc.weight": np.random.default_rng(7).standard_normal((3, 5)).astype(np.float32),
    "fc.bias": np.arange(3, dtype=np.float16),
    "steps": np.array(9, np.int64),
}
FILES = ("a.ckpt", "a.safetensors", "a.npz", "a.pt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same weights in each format; all but the checkpoint are written by the format's own library."""
    (tmp_path / "a.ckpt").write_bytes(b"".join(ckpt.write(WEIGHTS, info={"epoch": 3})))
    safetensors.numpy.save_file(WEIGHTS, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **WEIGHTS)
    torch.save({n: torch.from_numpy(a) for n, a in WEIGHTS.items()}, tmp_path / "a.pt")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_open_gives_the_same_mapping_for_every_weight_format(folder: Path, name: str) -> None:
    weights = mindport.open(folder / name)
    assert set(weights) == set(WEIGHTS)
    for key, expected in WEIGHTS.items():
        found = weights[key]
        assert (found.dtype.name, found.shape) == (expected.dtype.name, expected.shape)
        assert np.array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("name", FILES)
def test_inspect_and_verify_every_weight_format(folder: Path, name: str) -> None:
    seen = mindport.inspect(str(folder / name))
    assert (seen.format, seen.kind, seen.nbytes) == (name[2:], "weights", (folder / name).stat().st_size)
    assert {(t.name, t.dtype, t.shape, t.nbytes) for t in seen.tensors} == {
        (n, a.dtype.name, a.shape, a.nbytes) for n, a in WEIGHTS.items()
    }
    proved = mindport.verify(folder / name)
    assert proved.ok
    assert proved.checks[0].name == "structure"


@pytest.mark.parametrize("source", FILES)
@pytest.mark.parametrize("target", ["b.ckpt", "b.safetensors", "b.npz", "b.pt"])
def test_convert_between_weight_formats(folder: Path, source: str, target: str) -> None:
    report = mindport.convert(folder / source, folder / target)
    assert report.ok
    assert [c.status for c in report.checks] == ["passed"]
    assert (report.tensors, report.nbytes) == (3, (folder / target).stat().st_size)
    read = {"ckpt": ckpt.read, "safetensors": safetensors.numpy.load_file, "npz": np.load, "pt": torch.load}
    assert {n: np.asarray(a).tolist() for n, a in read[report.target_format](folder / target).items()} == {
        n: a.tolist() for n, a in WEIGHTS.items()
    }


def test_what_the_file_says_about_itself(folder: Path) -> None:
    assert mindport.inspect(folder / "a.ckpt").info["epoch"] == 3
    assert mindport.convert(folder / "a.ckpt", folder / "b.ckpt").ok
    assert mindport.inspect(folder / "b.ckpt").info["epoch"] == 3


def test_overwriting_is_a_choice(folder: Path) -> None:
    before = (folder / "a.npz").read_bytes()
    with pytest.raises(AlreadyExists, match="nothing was written"):
        mindport.convert(folder / "a.ckpt", folder / "a.npz", overwrite=False)
    assert (folder / "a.npz").read_bytes() == before
    assert mindport.convert(folder / "a.ckpt", folder / "a.npz").ok


def test_a_file_may_be_converted_onto_itself(folder: Path) -> None:
    assert mindport.convert(folder / "a.ckpt", folder / "a.ckpt", to="safetensors").ok
    assert mindport.inspect(folder / "a.ckpt").format == "safetensors"


def test_errors_are_of_one_family(folder: Path) -> None:
    with pytest.raises(MissingFile):
        mindport.open(folder / "none")
    with pytest.raises(UsageError, match="known endings"):
        mindport.convert(folder / "a.ckpt", folder / "b.xyz")
    with pytest.raises(Unsupported, match="weights only"):
        mindport.convert(folder / "a.ckpt", folder / "b.mindir")
    assert issubclass(Unsupported, MindportError)


@pytest.fixture
def model(folder: Path) -> Path:
    """h = relu(x · w + b), written by onnx_ir."""
    w = ir.Value(name="w", const_value=ir.tensor(WEIGHTS["fc.weight"], name="w"))
    b = ir.Value(name="b", const_value=ir.tensor(np.linspace(-1, 1, 5, dtype=np.float32), name="b"))
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2, 3]))
    product = ir.node("MatMul", [x, w])
    shifted = ir.node("Add", [product.outputs[0], b])
    y = ir.node("Relu", [shifted.outputs[0]])
    y.outputs[0].name, y.outputs[0].type, y.outputs[0].shape = "y", ir.TensorType(ir.DataType.FLOAT), ir.Shape([2, 5])
    graph = ir.Graph(
        [x], [y.outputs[0]], nodes=[product, shifted, y], initializers=[w, b], name="net", opset_imports={"": 20}
    )
    ir.save(ir.Model(graph, ir_version=10), folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize("target", [pytest.param("m.mindir", marks=pytest.mark.mindspore), "m.air"])
def test_models_go_to_each_target_and_back(model: Path, target: str) -> None:
    there = mindport.convert(model, model.with_name(target))
    assert there.ok, there
    assert there.checks
    seen = mindport.inspect(model.with_name(target))
    assert seen.graph is not None
    assert (seen.format, len(seen.graph.inputs), len(seen.graph.outputs)) == (target[2:], 1, 1)
    assert seen.graph.inputs[0].shape == (2, 3)
    assert mindport.verify(model.with_name(target)).ok
    back = mindport.convert(model.with_name(target), model.with_name("back.onnx"))
    assert back.ok, back
    assert isinstance(mindport.open(model.with_name("back.onnx")), ir.Model)


def test_the_weights_of_a_model(model: Path) -> None:
    assert mindport.convert(model, model.with_name("w.safetensors")).ok
    found = safetensors.numpy.load_file(model.with_name("w.safetensors"))
    assert np.array_equal(found["w"], WEIGHTS["fc.weight"])
    assert set(found) == {"w", "b"}


def test_the_outline_of_a_network_is_no_model(folder: Path) -> None:
    path = folder / "net-graph.meta"
    path.write_bytes(b"".join(graph_meta.write(graph_meta.of_weights("net", {"w": ArrayRef("w", WEIGHTS["fc.bias"])}))))
    seen = mindport.inspect(path)
    assert seen.graph is not None
    assert (seen.format, seen.graph.name, seen.graph.inputs[0].name) == ("graph_meta", "net", "w")
    assert [c.name for c in mindport.verify(path).checks] == ["structure", "operators"]
    for target in ("b.onnx", "b.npz"):
        with pytest.raises(Unsupported, match="outline of a network without its weights"):
            mindport.convert(path, folder / target)
