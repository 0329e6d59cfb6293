"""The AIR codec against google.protobuf: what we write it reads, what it writes we read and give back unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindport.conversion.pipeline import to_target
from mindport.dialects.emit_ge import GeEmit
from mindport.dialects.literals import GE, attribute
from mindport.dtypes import DTYPES, named
from mindport.errors import UnsupportedDType, UsageError
from mindport.formats import air, air_write
from mindport.formats.air_attrs import attr_message, to_ir
from mindport.ops.samples import build, f32, sample, weight
from mindport.wire.schema_ge import ATTR_DEF
from mindport.wire.spec import decode, encode
from oracles.ge_proto import CLASSES, ModelDef


def written(model: ir.Model) -> bytes:
    return b"".join(air.write(model))


def conv_model() -> ir.Model:
    case = sample(f32(1, 2, 5, 6), weight(4, 2, 3, 2), weight(4), strides=[2, 1], pads=[1, 0, 2, 1])
    return to_target(build("Conv", case), GE)


def tensor_model(array: np.ndarray[Any, Any], dtype: ir.DataType | None = None) -> ir.Model:
    """A graph that is one initializer, given out by an Identity."""
    weight = ir.Value(name="w", const_value=ir.Tensor(array, dtype=dtype))
    weight.shape, weight.type = ir.Shape(array.shape), ir.TensorType(weight.const_value.dtype)
    b = GeEmit()
    out = b.Identity(weight)
    out.shape, out.type = weight.shape, weight.type
    return ir.Model(
        ir.Graph([], [out], nodes=b.nodes, initializers=[weight], name="g", opset_imports={GE: 1}), ir_version=10
    )


def test_protobuf_reads_what_we_write_and_would_write_the_same_bytes() -> None:
    data = written(conv_model())
    message = ModelDef.FromString(data)
    assert message.SerializeToString(deterministic=True) == data
    (graph,) = message.graph
    assert list(graph.input) == ["x0:0"]
    assert list(graph.output) == ["y0:0"]
    ops = {op.type: op for op in graph.op}
    conv = ops["Conv2D"]
    assert list(conv.input) == ["x0:0", "c1:0", "c2:0"]
    assert list(conv.attr["pads"].list.i) == [1, 2, 0, 1]
    assert conv.attr["data_format"].s == b"NCHW"
    assert [k.decode() for k in conv.attr["_input_name_key"].list.s] == ["x", "filter", "bias"]
    assert list(conv.attr["_input_name_value"].list.i) == [0, 1, 2]
    assert conv.attr["_opt_input"].list.s == [b"bias"]
    assert [(d.name, d.dtype, list(d.shape.dim), d.layout) for d in conv.input_desc] == [
        ("x", 1, [1, 2, 5, 6], "NCHW"),
        ("filter", 1, [4, 2, 3, 2], "NCHW"),
        ("bias", 1, [4], "ND"),
    ]
    assert all(v.list.val_type for op in graph.op for v in op.attr.values() if v.WhichOneof("value") == "list"), (
        "a list without its kind is skipped by the loader"
    )
    assert not any(name.startswith("_ir_") for op in graph.op for name in op.attr)
    assert ops["Data"].attr["index"].WhichOneof("value") == "i"  # 0 is the default, and written all the same


def test_weights_are_not_copied() -> None:
    array = np.arange(1 << 14, dtype=np.float32)
    model = tensor_model(array)
    large = [c for c in air.write(model) if isinstance(c, memoryview)]
    assert [c.nbytes for c in large] == [array.nbytes]
    assert np.shares_memory(np.frombuffer(large[0], np.float32), array)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.ge is not None and d.onnx is not None], ids=lambda d: d.name)
def test_constants_of_every_type_survive(dtype: Any) -> None:
    array = np.zeros((2, 3), dtype.numpy)
    array[1] = np.asarray([1, 0, 1]).astype(dtype.numpy)
    data = written(tensor_model(array, ir.DataType(dtype.onnx)))
    if dtype.ge <= 27:
        const = next(op for op in ModelDef.FromString(data).graph[0].op if op.type == "Const")
        assert const.attr["value"].t.desc.dtype == dtype.ge
        assert const.attr["value"].t.data == array.tobytes()
    back = air.parse(data).graph.initializers["w"].const_value
    assert back is not None
    assert back.dtype == ir.DataType(dtype.onnx)
    assert back.numpy().tobytes() == array.tobytes()


def test_scalars_and_empty_tensors_survive() -> None:
    for array in (np.asarray(3.5, np.float32), np.zeros((0, 3), np.int64), np.asarray(1.5, ml_dtypes.bfloat16)):
        model = air.parse(written(tensor_model(array)))
        found = model.graph.initializers["w"].const_value
        assert found is not None
        assert found.numpy().shape == array.shape
        assert found.numpy().tobytes() == array.tobytes()


def test_types_without_a_number_are_refused() -> None:
    with pytest.raises(UnsupportedDType, match=r"w: AIR has no|not a tensor element type"):
        written(tensor_model(np.zeros(2, ml_dtypes.float8_e4m3fnuz), ir.DataType.FLOAT8E4M3FNUZ))


def foreign() -> Any:
    """A file as other producers write it: everything we never write, and unknown fields."""
    model = ModelDef(name="theirs", version=3, custom_version="c")
    model.attr["target_type"].s = b"MINI"
    graph = model.graph.add(name="root")
    graph.attr["g"].list_list_int.list_list_i.add(list_i=[1, 2])
    graph.attr["h"].list_list_float.list_list_f.add(list_f=[0.5])
    const = graph.op.add(name="w", type="Constant", id=7, has_out_attr=True)
    desc = const.output_desc.add(name="y", dtype=1, layout="ND", device_type="NPU", size=8, real_dim_cnt=1)
    desc.shape.dim.append(2)
    desc.attr["format_for_int"].i = 2
    tensor = const.attr["value"].t
    tensor.desc.CopyFrom(desc)
    tensor.data = np.float32([1, 2]).tobytes()
    graph.op.add(name="late", type="Add", input=["in:0", "w:0", "first:-1"], is_input_const=[False, True])
    late = graph.op[-1]
    for name in ("x1", "x2"):
        late.input_desc.add(name=name, dtype=1, layout="ND").shape.dim.append(2)
    late.output_desc.add(name="y", dtype=1, layout="ND").shape.dim.append(2)
    late.attr["_input_name_key"].list.s.extend([b"x1", b"x2"])
    late.attr["_input_name_value"].list.i.extend([0, 1])
    late.attr["nested"].func.name = "f"
    late.attr["kind"].dt = 9
    late.attr["kinds"].list.dt.extend([0, 9])
    late.attr["kinds"].list.val_type = 10
    late.attr["empty"].list.val_type = 3
    late.attr["bytes"].bt = b"\xff"
    late.attr["text"].s = b"\xff\xfe"
    late.attr["flags"].list.b.extend([True, False])
    late.attr["flags"].list.val_type = 4
    first = graph.op.add(name="first", type="NoSuchOp", input=[""])
    first.input_desc.add(name="x", dtype=23)
    first.output_desc.add(name="y", dtype=30).shape.dim.append(-2)
    data = graph.op.add(name="in", type="Data", input=[""])
    data.attr["index"].i = 0
    for descs in (data.input_desc, data.output_desc):
        descs.add(dtype=1, layout="NCHW").shape.dim.append(-1)
    out = graph.op.add(name="Node_Output", type="NetOutput", input=["late:0"])
    out.input_desc.add(name="__input0", dtype=1).shape.dim.append(2)
    model.graph.add(name="branch").op.add(name="inner", type="Relu")
    return model


UNKNOWN = bytes([0xFA, 0x07, 3]) + b"new"  # field 127, which no schema knows


def test_a_foreign_file_comes_back_byte_for_byte() -> None:
    message = foreign()
    message.graph[0].op[1].MergeFromString(UNKNOWN)
    message.graph[0].MergeFromString(UNKNOWN)
    message.MergeFromString(UNKNOWN)
    data = message.SerializeToString(deterministic=True)
    assert data.count(b"new") == 3
    assert written(air.parse(data)) == data


def test_a_foreign_file_is_understood() -> None:
    model = air.parse(foreign().SerializeToString())
    graph = model.graph
    assert [v.name for v in graph.inputs] == ["in"]
    assert graph.inputs[0].shape is not None
    assert not isinstance(graph.inputs[0].shape[0], int)
    assert list(graph.initializers) == ["w"]
    assert [n.name for n in graph] == ["first", "late"]  # sorted: a producer comes before its consumers
    assert [v.name for v in graph.outputs] == ["late"]
    late = graph[1]
    values = {a.name: a.value for a in late.attributes.values()}
    assert values["kind"] is named("int64")
    assert values["kinds"] == (named("float32"), named("int64"))
    assert values["empty"] == ()
    assert values["flags"] == (True, False)
    assert values["text"] == b"\xff\xfe"
    assert late.meta["ge.control"] == ("first",)
    assert graph[0].outputs[0].shape is None
    assert graph[0].outputs[0].type is None


def test_a_changed_operator_is_written_anew_and_the_rest_is_kept() -> None:
    model = air.parse(foreign().SerializeToString(deterministic=True))
    late = model.graph[1]
    late.attributes.add(attribute("more", True))
    message = ModelDef.FromString(written(model))
    ops = {op.name: op for op in message.graph[0].op}
    assert [op.name for op in message.graph[0].op] == ["w", "late", "first", "in", "Node_Output"]
    assert ops["w"].id == 7
    assert ops["late"].attr["more"].b is True
    assert ops["late"].attr["bytes"].bt == b"\xff"
    assert list(ops["late"].input) == ["in:0", "w:0", "first:-1"]
    assert ops["late"].input_desc[0].attr["origin_format"].s == b"ND"


LITERALS = st.one_of(
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(width=32, allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from([d for d in DTYPES if d.ge_attr is not None]),
)


@given(st.one_of(LITERALS, *(st.lists(s, min_size=1).map(tuple) for s in [st.booleans(), st.integers(-5, 5)])))
def test_literals_survive_and_protobuf_agrees(value: Any) -> None:
    data = b"".join(encode(attr_message(value)))
    message = CLASSES["AttrDef"].FromString(data)
    assert message.SerializeToString(deterministic=True) == data
    back = to_ir("a", decode(ATTR_DEF, memoryview(data))).value
    assert back == value
    assert type(back) is type(value)
    if isinstance(value, bool):
        assert message.b is value
    if isinstance(value, tuple) and isinstance(value[0], bool):
        assert list(message.list.b) == list(value)


@given(st.lists(st.lists(st.integers(-9, 9), max_size=3).map(tuple), min_size=1, max_size=3).map(tuple))
def test_lists_of_lists_survive(value: Any) -> None:
    message = attr_message(value, "list_list_int")
    back = CLASSES["AttrDef"].FromString(b"".join(encode(message)))
    assert [tuple(row.list_i) for row in back.list_list_int.list_list_i] == list(value)
    assert to_ir("a", message).value == value


def test_what_is_no_literal_is_refused() -> None:
    model = conv_model()
    node = next(n for n in model.graph if n.op_type == "Conv2D")
    node.attributes.add(ir.Attr("odd", ir.AttributeType.UNDEFINED, object()))
    with pytest.raises(UsageError, match="odd"):
        written(model)


def test_graphs_of_other_dialects_are_refused() -> None:
    with pytest.raises(UsageError, match="not a GE operator"):
        written(build("Relu", sample(f32(2))))


def test_names_are_unique_and_outputs_keep_theirs() -> None:
    b = GeEmit()
    x = ir.Value(name="x", shape=ir.Shape([2]), type=ir.TensorType(ir.DataType.FLOAT))
    outs = [b.Relu(x), b.Sigmoid(x)]
    for node, out, name in zip(b.nodes, outs, ("logits", "x"), strict=True):
        node.name, out.name, out.shape, out.type = "same", name, x.shape, x.type
    model = ir.Model(ir.Graph([x], outs, nodes=b.nodes, name="g", opset_imports={GE: 1}), ir_version=10)
    names = [op.name for op in ModelDef.FromString(written(model)).graph[0].op]
    assert names == ["x", "logits", "x_1"]


def test_weights_beside_a_large_model(tmp_path: Path) -> None:
    array = np.arange(1 << 15, dtype=np.float32)
    model = tensor_model(array)
    pieces = air.files(model, "net", split_bytes=1000)
    assert list(pieces) == ["net_weights/00000.bin", "net.air"]
    (tmp_path / "net_weights").mkdir()
    for name, chunks in pieces.items():
        (tmp_path / name).write_bytes(b"".join(chunks))
    message = ModelDef.FromString((tmp_path / "net.air").read_bytes())
    const = next(op for op in message.graph[0].op if op.type == "Const")
    assert const.attr["location"].s == b"net_weights/00000.bin"
    assert const.attr["length"].i == array.nbytes
    assert const.attr["value"].t.data == b""
    back = air.read(tmp_path / "net.air")
    found = back.graph.initializers["w"].const_value
    assert found is not None
    assert np.array_equal(found.numpy(), array)
    assert air.check(back) == []
    # written elsewhere, the model carries its weights again
    assert written(back) == written(model)


def test_too_large_for_protobuf_is_told_before_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(air_write, "LIMIT_BYTES", 1000)
    with pytest.raises(ValueError, match="protobuf readers stop at 1000"):
        air.write(tensor_model(np.zeros(1000, np.float32)))


def test_the_bytes_of_a_file_do_not_change_from_release_to_release() -> None:
    golden = Path(__file__).parents[1] / "golden" / "air" / "conv.air"
    assert written(conv_model()) == golden.read_bytes()


def test_constants_of_types_that_onnx_lacks_are_kept() -> None:
    message = foreign()
    const = next(op for op in message.graph[0].op if op.name == "w")
    for desc in (const.output_desc[0], const.attr["value"].t.desc):
        desc.dtype = 18  # QINT8
    const.attr["value"].t.data = b"\x01\x02"
    data = message.SerializeToString(deterministic=True)
    model = air.parse(data)
    assert "w" not in model.graph.initializers
    assert next(n for n in model.graph if n.name == "w").op_type == "Constant"
    assert written(model) == data
