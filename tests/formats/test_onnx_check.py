"""The hostile ONNX table: each lie is refused with its reason, before anything is built or read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mindport.errors import CorruptFile, FormatError, MissingFile, NotAFile, TruncatedFile
from mindport.formats import onnx as onnx_format
from mindport.formats.onnx_check import check_model

FLOAT = TensorProto.FLOAT


def info(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, [2])


def model(
    nodes: list[onnx.NodeProto],
    inputs: tuple[str, ...] = ("x",),
    outputs: tuple[str, ...] = ("y",),
    inits: tuple[TensorProto, ...] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [info(n) for n in inputs], [info(n) for n in outputs], initializer=list(inits)
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


def relu(a: str, b: str) -> onnx.NodeProto:
    return helper.make_node("Relu", [a], [b])


def raw(name: str, dims: list[int], size: int, kind: int = FLOAT) -> TensorProto:
    return TensorProto(name=name, dims=dims, data_type=kind, raw_data=bytes(size))


def external(location: str, **entries: object) -> TensorProto:
    tensor = TensorProto(name="w", dims=[2], data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def nested(depth: int) -> onnx.ModelProto:
    branch = helper.make_graph([], "leaf", [], [info("x")])
    for _ in range(depth):
        node = helper.make_node(
            "If", ["x"], ["y"], then_branch=branch, else_branch=helper.make_graph([], "e", [], [info("x")])
        )
        branch = helper.make_graph([node], "b", [], [info("y")])
    return model([helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)])


def without_opset() -> onnx.ModelProto:
    made = model([relu("x", "y")])
    del made.opset_import[:]
    return made


ONE = TensorProto(name="w", dims=[3], data_type=FLOAT, float_data=[1.0])

TABLE: list[tuple[str, Callable[[], onnx.ModelProto], type[FormatError], str]] = [
    ("no graph", onnx.ModelProto, CorruptFile, "no graph"),
    ("no opset", without_opset, CorruptFile, "operator set"),
    ("undefined name", lambda: model([relu("q", "y")]), CorruptFile, "'q' before it is made"),
    ("cycle", lambda: model([relu("y", "z"), relu("z", "y")]), CorruptFile, "cycle"),
    ("own output", lambda: model([relu("y", "y")]), CorruptFile, "cycle"),
    ("double output", lambda: model([relu("x", "y"), relu("x", "y")]), CorruptFile, "two nodes make"),
    ("missing output", lambda: model([], outputs=("q",)), CorruptFile, "made by no node"),
    ("double input", lambda: model([relu("x", "y")], inputs=("x", "x")), CorruptFile, "occurs twice"),
    (
        "double initializer",
        lambda: model([relu("x", "y")], inits=(raw("w", [1], 4), raw("w", [1], 4))),
        CorruptFile,
        "occurs twice",
    ),
    ("short content", lambda: model([relu("x", "y")], inits=(raw("w", [3], 8),)), CorruptFile, "needs 12 bytes, 8"),
    (
        "huge shape",
        lambda: model([relu("x", "y")], inits=(raw("w", [1 << 40, 1 << 40], 8),)),
        CorruptFile,
        "8 are there",
    ),
    ("negative shape", lambda: model([relu("x", "y")], inits=(raw("w", [-3], 8),)), CorruptFile, "impossible shape"),
    ("unknown type", lambda: model([relu("x", "y")], inits=(raw("w", [2], 8, 99),)), CorruptFile, "element type 99"),
    ("few numbers", lambda: model([relu("x", "y")], inits=(ONE,)), CorruptFile, "needs 3 elements"),
    ("deep nesting", lambda: nested(20), CorruptFile, "nested deeper"),
    ("absolute path", lambda: model([], outputs=("x",), inits=(external("/etc/passwd"),)), CorruptFile, "not inside"),
    ("upward path", lambda: model([], outputs=("x",), inits=(external("../w"),)), CorruptFile, "not inside"),
    ("no path", lambda: model([], outputs=("x",), inits=(external(""),)), CorruptFile, "not inside"),
    (
        "wrong length",
        lambda: model([], outputs=("x",), inits=(external("data", length=9),)),
        CorruptFile,
        "9 are announced",
    ),
    ("no number", lambda: model([], outputs=("x",), inits=(external("data", offset="x"),)), CorruptFile, "no number"),
    (
        "beyond the end",
        lambda: model([], outputs=("x",), inits=(external("data", offset=60),)),
        TruncatedFile,
        "64 bytes",
    ),
    (
        "negative offset",
        lambda: model([], outputs=("x",), inits=(external("data", offset=-4),)),
        TruncatedFile,
        "byte -4",
    ),
    ("link", lambda: model([], outputs=("x",), inits=(external("link"),)), CorruptFile, "link out of"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "data").write_bytes(bytes(64))
    (tmp_path / "outside").write_bytes(bytes(64))
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "dir").mkdir()
    return inside


@pytest.mark.parametrize(("make", "error", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_lies_are_refused(
    make: Callable[[], onnx.ModelProto], error: type[FormatError], says: str, folder: Path
) -> None:
    with pytest.raises(error, match=says):
        check_model(make(), folder)


def test_missing_data_and_folders_in_its_place(folder: Path) -> None:
    with pytest.raises(MissingFile, match="nothing"):
        check_model(model([], outputs=("x",), inits=(external("nothing"),)), folder)
    with pytest.raises(NotAFile, match="dir"):
        check_model(model([], outputs=("x",), inits=(external("dir"),)), folder)


def test_sound_models_pass(folder: Path) -> None:
    tensors = (
        external("data", offset=8, length=8),
        raw("h", [2], 4, TensorProto.FLOAT16),
        raw("n", [3], 2, TensorProto.INT4),
        helper.make_tensor("c", TensorProto.COMPLEX64, [1], [1 + 2j]),
        helper.make_tensor("s", TensorProto.STRING, [1], [b"a"]),
        helper.make_tensor("z", FLOAT, [0], []),
    )
    inner = helper.make_graph([relu("x", "i")], "inner", [], [info("i")])
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    assert check_model(model([branch], inits=tensors), folder) is None


BROKEN_TEXT = {
    "node name": b"node_name",
    "operator": b"SomeOperator",
    "value": b"middle_value",
    "initializer": b"the_weight",
    "dimension": b"batch_axis",
    "producer": b"some_producer",
}


@pytest.mark.parametrize("what", BROKEN_TEXT)
def test_text_that_is_no_utf8_is_refused(what: str, tmp_path: Path) -> None:
    nodes = [helper.make_node("SomeOperator", ["x", "the_weight"], ["middle_value"], name="node_name")]
    made = model([*nodes, relu("middle_value", "y")], inits=(raw("the_weight", [2], 8),))
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch_axis"
    made.producer_name = "some_producer"
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString().replace(BROKEN_TEXT[what], b"\xff" + BROKEN_TEXT[what][1:]))
    with pytest.raises(CorruptFile, match="not UTF-8 text") as caught:
        onnx_format.read(path)
    assert caught.value.path == str(path)
    assert str(caught.value).isprintable()


def test_an_attribute_without_a_type_is_refused(folder: Path) -> None:
    node = relu("x", "y")
    node.attribute.add(name="alpha", f=0.5)
    with pytest.raises(CorruptFile, match=r"'alpha' .*has no known type"):
        check_model(model([node]), folder)
