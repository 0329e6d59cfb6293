"""`-graph.meta`: real MindSpore's own message classes read ours, and we read MindSpore's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import mindport
from mindport.adapters.torch_record import GraphRecorder
from mindport.errors import CorruptFile, FormatError, MissingFile
from mindport.formats.graph_meta import GraphOutline, Node, Port, decoded, of_weights, read, write
from mindport.storage.atomic import commit
from mindport.tensors import ArrayRef
from mindport.train.callback import CheckpointConfig, ModelCheckpoint
from mindport.train.serialization import load_checkpoint
from mindport.wire.spec import encode
from oracles.ms_ckpt import MindSporeCheckpoints
from train.worlds import World

GOLDEN = Path(__file__).parents[1] / "golden" / "graph_meta"

READER = """
import json, sys
from mindspore.train import anf_ir_pb2 as pb
def shape(t):
    return [pb.DataType.Name(t.tensor_type.elem_type), [d.size for d in t.tensor_type.shape.dim]]
def value(v):
    if v.values:
        return [value(x) for x in v.values]
    set_ = [f.name for f, _ in v.ListFields() if f.name != "dtype"]
    found = getattr(v, set_[0]) if set_ else None
    plain = isinstance(found, (bool, int, float, str))
    return [pb.DataType.Name(v.dtype), found if plain else str(found)] if set_ else [pb.DataType.Name(v.dtype)]
def node(n):
    return [n.op_type, [i.name for i in n.input], n.name, *shape(n.output_type), n.scope, n.full_name]
print("READY", flush=True)
for line in sys.stdin:
    model = pb.ModelProto()
    with open(line.strip(), "rb") as f:
        data = f.read()
    model.ParseFromString(data)
    g = model.graph
    print(json.dumps({
        "ir_version": model.ir_version,
        "name": g.name,
        "parameters": [[p.name, *shape(p.type)] for p in g.parameters],
        "nodes": [node(n) for n in g.node],
        "edges": sorted({i.type for n in g.node for i in n.input}),
        "attributes": [{a.name: value(a.value) for a in n.attribute} for n in g.node],
        "outputs": [[o.name, *shape(o.type)] for o in g.outputs],
        "constants": {c.key: value(c.value) for c in g.const_vals},
        "same": model.SerializeToString(deterministic=True) == data,
    }), flush=True)
"""


class MindSporeReader:
    """A process with MindSpore's anf_ir messages."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, "GLOG_v": "4"},
        )  # fmt: skip
        assert self.process.stdout is not None
        while self.process.stdout.readline().strip() != "READY":
            assert self.process.poll() is None

    def read(self, path: Path) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def reader() -> Iterator[MindSporeReader]:
    made = MindSporeReader()
    yield made
    made.close()


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, (3, 2), padding=1)
        self.head = nn.Linear(4, 2, dtype=torch.float64)

    def forward(self, image: torch.Tensor, scale: torch.Tensor) -> Any:
        x = torch.relu(self.conv(image)) * scale
        values, places = x.flatten(2).max(dim=-1)
        return self.head(values.double()), places


def outline() -> GraphOutline:
    recorder = GraphRecorder(Branches())
    recorder.run(torch.randn(2, 3, 5, 6), torch.tensor([1, 2, 3, 4]).reshape(4, 1, 1))
    assert recorder.outline is not None
    return recorder.outline


@pytest.mark.mindspore
@pytest.mark.xdist_group("anf_ir")
def test_real_mindspore_parses_ours_and_sees_the_graph(reader: MindSporeReader, tmp_path: Path) -> None:
    graph = outline()
    commit(tmp_path / "net-graph.meta", write(graph))
    seen = reader.read(tmp_path / "net-graph.meta")
    assert (seen["ir_version"], seen["name"], seen["same"]) == (1, "Branches", True)
    assert seen["parameters"] == [
        ["image", "DT_FLOAT32", [2, 3, 5, 6]],
        ["scale", "DT_INT64", [4, 1, 1]],
        ["conv.weight", "DT_FLOAT32", [4, 3, 3, 2]],
        ["conv.bias", "DT_FLOAT32", [4]],
        ["head.weight", "DT_FLOAT64", [2, 4]],
        ["head.bias", "DT_FLOAT64", [2]],
    ]
    assert [n[0] for n in seen["nodes"]] == [
        "Conv2D", "ReLU", "Mul", "Flatten", "Max", "TupleGetItem", "TupleGetItem", "Double", "Dense",
    ]  # fmt: skip
    assert seen["nodes"][0] == [
        "Conv2D", ["image", "conv.weight", "conv.bias"], "1", "DT_FLOAT32", [2, 4, 5, 7],
        "Default/network-Branches/conv-Conv2d", "Default/network-Branches/conv-Conv2d/Conv2D-op0",
    ]  # fmt: skip
    assert seen["edges"] == [0]
    assert seen["outputs"] == [["9", "DT_FLOAT64", [2, 2]], ["7", "DT_INT64", [2, 4]]]
    assert seen["constants"] == {"cst1": ["DT_INT64", 0], "cst2": ["DT_INT64", 1]}


@pytest.mark.mindspore
@pytest.mark.xdist_group("anf_ir")
def test_real_mindspore_sees_every_kind_of_constant(reader: MindSporeReader, tmp_path: Path) -> None:
    constants = {"a": True, "b": -3, "c": 0.1, "d": "tëxt", "e": (1, 2), "f": None, "g": 1 << 80, "h": [0.5, 2]}
    commit(tmp_path / "c-graph.meta", write(GraphOutline("c", constants=constants)))
    assert reader.read(tmp_path / "c-graph.meta")["constants"] == {
        "a": ["DT_BOOL", True],
        "b": ["DT_INT64", -3],
        "c": ["DT_FLOAT64", 0.1],
        "d": ["DT_STRING", "tëxt"],
        "e": [["DT_INT64", 1], ["DT_INT64", 2]],
        "f": ["DT_NONE", "None"],
        "g": ["DT_STRING", str(1 << 80)],
        "h": [["DT_FLOAT64", 0.5], ["DT_INT64", 2]],
    }


@pytest.mark.mindspore
@pytest.mark.xdist_group("anf_ir")
@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda p: p.name)
def test_we_see_what_mindspore_sees_in_its_own_files(reader: MindSporeReader, path: Path) -> None:
    seen = reader.read(path)
    graph = decoded(memoryview(path.read_bytes())).graph
    assert [p.name for p in graph.parameters] == [p[0] for p in seen["parameters"]]
    nodes = [[n.op_type, [i.name for i in n.input], n.name] for n in graph.node]
    assert nodes == [n[:3] for n in seen["nodes"]]
    assert [o.name for o in graph.outputs] == [o[0] for o in seen["outputs"]]
    assert len(graph.const_vals) == len(seen["constants"])


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda p: p.name)
def test_mindspores_files_are_written_back_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    assert b"".join(encode(decoded(memoryview(data)))) == data


def test_inspect_shows_operators_inputs_and_outputs(tmp_path: Path) -> None:
    commit(tmp_path / "net-graph.meta", write(outline()))
    seen = mindport.inspect(tmp_path / "net-graph.meta")
    assert (seen.format, seen.kind) == ("graph_meta", "graph")
    assert seen.graph is not None
    assert seen.graph.ops["Conv2D"] == 1
    assert [(v.name, v.dtype, v.shape) for v in seen.graph.inputs][:2] == [
        ("image", "float32", (2, 3, 5, 6)),
        ("scale", "int64", (4, 1, 1)),
    ]
    assert [(v.name, v.shape) for v in seen.graph.outputs] == [("9", (2, 2)), ("7", (2, 4))]


def test_inspect_shows_mindspores_own_file() -> None:
    seen = mindport.inspect(GOLDEN / "add-graph.meta")
    assert seen.graph is not None
    assert seen.graph.ops == {"Add": 1, "Depend": 1, "Load": 1, "UpdateState": 1}
    model = read(GOLDEN / "conv_sgd-graph.meta")
    assert {node.domain for node in model.graph} == {"mindspore"}


def test_parameters_alone_are_a_valid_file(tmp_path: Path) -> None:
    weights = {"w": ArrayRef("w", np.zeros((2, 3), np.float16)), "n": ArrayRef("n", np.array(1))}
    data = b"".join(write(of_weights("Net", weights)))
    graph = decoded(memoryview(data)).graph
    assert [(p.name, p.type.tensor_type.elem_type) for p in graph.parameters] == [("w", 10), ("n", 5)]
    assert [[d.size for d in p.type.tensor_type.shape.dim] for p in graph.parameters] == [[2, 3], []]


def test_a_type_mindspore_has_no_number_for_is_left_open() -> None:
    data = b"".join(write(GraphOutline("g", inputs=(Port("x", "float8_e5m2", (1,)), Port("y", None, (2,))))))
    assert [p.type.tensor_type.elem_type for p in decoded(memoryview(data)).graph.parameters] == [0, 0]


def test_nothing_but_the_structure_is_in_the_file() -> None:
    net = nn.Linear(300, 200)
    recorder = GraphRecorder(net)
    recorder.run(torch.zeros(1, 300))
    assert recorder.outline is not None
    assert len(b"".join(write(recorder.outline))) < 600


@pytest.mark.parametrize(
    "data", [b"", b"\x08", b"\x08\x01", b"\x08\x02\x22\x00", b"\x22\x00", b"PK\x03\x04abc", b"\x08\x01\x22\x7f"]
)
def test_damaged_files(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x-graph.meta"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"x-graph\.meta"):
        read(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        read(tmp_path / "none-graph.meta")


WHOLE = (GOLDEN / "add-graph.meta").read_bytes()


@given(st.integers(0, len(WHOLE) - 1))
def test_every_truncation_is_a_format_error_or_a_shorter_graph(cut: int) -> None:
    try:
        decoded(memoryview(WHOLE[:cut]))
    except FormatError:
        return
    raise AssertionError(cut)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_raise_nothing_but_our_errors(tmp_path_factory: Any, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    path = tmp_path_factory.mktemp("meta") / "x-graph.meta"
    path.write_bytes(data)
    try:
        model = read(path)
    except CorruptFile:
        return
    except FormatError:
        return
    assert model.graph is not None


@pytest.mark.mindspore
@pytest.mark.xdist_group("ms_ckpt")
def test_real_mindspore_loads_a_checkpoint_of_training_with_its_state(
    mindspore: MindSporeCheckpoints, tmp_path: Path
) -> None:
    world = World("adamw-cosine")
    checkpoint = ModelCheckpoint("net", tmp_path, CheckpointConfig(append_info=["epoch_num", {"note": "tëxt"}]))
    world.model.train(1, world.loader, [checkpoint])
    theirs = mindspore.load(Path(checkpoint.latest_ckpt_file_name))
    names = list(world.network.state_dict())
    assert list(theirs)[: len(names)] == names
    for name, tensor in world.network.state_dict().items():
        assert (theirs[name]["content"], theirs[name]["shape"]) == (tensor.numpy().tobytes(), list(tensor.shape))
    assert theirs["note"]["text"] == "tëxt"
    state = [name for name in theirs if name.startswith("__mindport__.")]
    assert "__mindport__.optimizer.state.0.exp_avg" in state
    assert list(load_checkpoint(checkpoint.latest_ckpt_file_name)) == [*names, "epoch_num", "note"]


def test_node_defaults() -> None:
    node = Node("ReLU", ("x",), Port("1", "float32", ()))
    message = decoded(memoryview(b"".join(write(GraphOutline("g", nodes=(node,)))))).graph.node[0]
    assert (message.scope, message.full_name, message.op_type) == ("Default", None, "ReLU")
