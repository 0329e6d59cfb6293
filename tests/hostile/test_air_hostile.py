"""Damaged and malicious `.air` files: one clear FormatError each, nothing else, and nothing large is made of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.conversion import air_check
from mindport.conversion.pipeline import to_onnx, to_target
from mindport.dialects.literals import GE
from mindport.errors import CorruptFile, FormatError, MissingFile, NotAFile, TruncatedFile, Unsupported
from mindport.formats import air
from mindport.ops.samples import build, f32, sample, weight
from oracles.ge_proto import ModelDef

DATA = b"".join(
    air.write(to_target(build("Conv", sample(f32(1, 2, 5, 6), weight(3, 2, 2, 3), weight(3), pads=[1, 0, 2, 1])), GE))
)


def changed(change: Callable[[Any], None]) -> bytes:
    message = ModelDef.FromString(DATA)
    change(message)
    return message.SerializeToString()


def ops(message: Any) -> dict[str, Any]:
    return {op.type: op for op in message.graph[0].op}


def no_graph(m: Any) -> None:
    del m.graph[:]


def no_name(m: Any) -> None:
    ops(m)["Conv2D"].name = ""


def no_type(m: Any) -> None:
    ops(m)["Conv2D"].type = ""


def same_names(m: Any) -> None:
    for op in m.graph[0].op:
        op.name = "same"


def missing_producer(m: Any) -> None:
    ops(m)["Conv2D"].input[0] = "nobody:0"


def missing_output(m: Any) -> None:
    ops(m)["Conv2D"].input[0] = "x0:1"


def huge_index(m: Any) -> None:
    ops(m)["Conv2D"].input[0] = "x0:" + "9" * 5000


def odd_index(m: Any) -> None:
    ops(m)["Conv2D"].input[0] = "x0:-2"


def no_index(m: Any) -> None:
    ops(m)["Conv2D"].input[0] = "x0"


def cycle(m: Any) -> None:
    conv = ops(m)["Conv2D"]
    conv.input[0] = f"{conv.name}:0"


def control_cycle(m: Any) -> None:
    conv = ops(m)["Conv2D"]
    conv.input.append(f"{conv.name}:-1")


def missing_control(m: Any) -> None:
    ops(m)["Conv2D"].input.append("nobody:-1")


def too_many_inputs(m: Any) -> None:
    ops(m)["Conv2D"].input.append("x0:0")


def missing_result(m: Any) -> None:
    m.graph[0].output[0] = "nobody:0"


def control_result(m: Any) -> None:
    m.graph[0].output[0] = "y0:-1"


def short_constant(m: Any) -> None:
    tensor = ops(m)["Const"].attr["value"].t
    tensor.data = tensor.data[:-1]


def long_shape(m: Any) -> None:
    tensor = ops(m)["Const"].attr["value"].t
    tensor.desc.shape.dim[:] = [1 << 40, 1 << 40]


def negative_shape(m: Any) -> None:
    ops(m)["Const"].attr["value"].t.desc.shape.dim[:] = [-1]


def many_dimensions(m: Any) -> None:
    ops(m)["Data"].output_desc[0].shape.dim[:] = [1] * 10_000


def impossible_dimension(m: Any) -> None:
    ops(m)["Conv2D"].output_desc[0].shape.dim[:] = [-7]


def no_value(m: Any) -> None:
    del ops(m)["Const"].attr["value"]


def no_constant_output(m: Any) -> None:
    del ops(m)["Const"].output_desc[:]


def undescribed_input(m: Any) -> None:
    del ops(m)["Data"].output_desc[:]
    del ops(m)["Data"].input_desc[:]


def nameless_attribute(m: Any) -> None:
    ops(m)["Conv2D"].attr[""].i = 1


CHANGES = [
    no_graph,
    no_name,
    no_type,
    same_names,
    missing_producer,
    missing_output,
    huge_index,
    odd_index,
    no_index,
    cycle,
    control_cycle,
    missing_control,
    too_many_inputs,
    missing_result,
    control_result,
    short_constant,
    long_shape,
    negative_shape,
    many_dimensions,
    impossible_dimension,
    no_value,
    no_constant_output,
    undescribed_input,
    nameless_attribute,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
def test_a_contradiction_is_one_clear_error(change: Callable[[Any], None], tmp_path: Path) -> None:
    path = tmp_path / "net.air"
    path.write_bytes(changed(change))
    with pytest.raises(CorruptFile) as caught:
        air.read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700


def test_an_attribute_with_two_values_is_refused() -> None:
    # an AttrDef that holds both i (field 3) and b (field 5); protobuf itself never writes that
    entry = b"\x0a\x05index\x12\x04\x18\x01\x28\x01"
    op = b"\x0a\x01a\x12\x04Data" + b"\x52" + bytes([len(entry)]) + entry
    graph = b"\x32" + bytes([len(op)]) + op
    with pytest.raises(CorruptFile, match="2 values"):
        air.parse(b"\x3a" + bytes([len(graph)]) + graph)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "sub/../../secret", "", ".", "a\0b"])
def test_weight_files_stay_in_the_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(12))
    folder = tmp_path / "model"
    folder.mkdir()

    def move_out(m: Any) -> None:
        const = next(op for op in m.graph[0].op if op.name == "c2")
        const.attr["value"].t.data = b""
        const.attr["location"].s = location.encode()

    (folder / "net.air").write_bytes(changed(move_out))
    with pytest.raises(CorruptFile, match=r"outside the model's folder|where float32"):
        air.read(folder / "net.air")


def test_weight_files_behind_a_link_that_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(12))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").symlink_to(tmp_path / "secret")

    def move_out(m: Any) -> None:
        const = next(op for op in m.graph[0].op if op.name == "c2")
        const.attr["value"].t.data = b""
        const.attr["location"].s = b"w.bin"

    (folder / "net.air").write_bytes(changed(move_out))
    with pytest.raises(CorruptFile, match="outside the model's folder"):
        air.read(folder / "net.air")


@pytest.mark.parametrize(("present", "length"), [(None, 12), (12, 13), (13, 13), (0, 12)])
def test_missing_and_lying_weight_files(present: int | None, length: int, tmp_path: Path) -> None:
    def move_out(m: Any) -> None:
        const = next(op for op in m.graph[0].op if op.name == "c2")
        const.attr["value"].t.data = b""
        const.attr["location"].s = b"w.bin"
        const.attr["length"].i = length

    if present is not None:
        (tmp_path / "w.bin").write_bytes(bytes(present))
    (tmp_path / "net.air").write_bytes(changed(move_out))
    with pytest.raises(CorruptFile):
        air.read(tmp_path / "net.air")


def test_every_truncation_is_a_format_error_or_a_shorter_sound_file() -> None:
    for end in range(len(DATA)):
        try:
            air.parse(DATA[:end])
        except FormatError:
            continue
        raise AssertionError(f"the first {end} of {len(DATA)} bytes were taken for a whole file")


@settings(max_examples=300)
@given(st.data())
def test_flipped_bits_never_end_in_another_exception(data: Any) -> None:
    broken = bytearray(DATA)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        model = air.parse(bytes(broken))
    except FormatError:
        return
    air_check.check(model)  # whatever was read can be judged
    with contextlib.suppress(Unsupported):
        to_onnx(model)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_noise_never_ends_in_another_exception(noise: bytes) -> None:
    with contextlib.suppress(FormatError):
        air.check(air.parse(noise))


def test_deep_nesting_is_refused() -> None:
    content = b"\x0a\x01x"
    for _ in range(2000):  # GraphDef in AttrDef in an entry in OpDef in GraphDef …
        content = bytes([0x6A]) + _varint(len(content)) + content
        content = bytes([0x12]) + _varint(len(content)) + content
        content = bytes([0x5A]) + _varint(len(content)) + content
    with pytest.raises(CorruptFile, match="nested deeper"):
        air.parse(b"\x3a" + _varint(len(content)) + content)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_a_large_chain_is_read_without_recursion() -> None:
    message = ModelDef()
    graph = message.graph.add(name="g")
    last = graph.op.add(name="x", type="Data")
    last.output_desc.add(name="y", dtype=1).shape.dim.append(2)
    for i in range(3000):
        op = graph.op.add(name=f"r{i}", type="Relu", input=[f"{last.name}:0"])
        op.input_desc.add(name="x", dtype=1).shape.dim.append(2)
        op.output_desc.add(name="y", dtype=1).shape.dim.append(2)
        last = op
    graph.output.append(f"{last.name}:0")
    assert len(air.parse(message.SerializeToString()).graph) == 3000


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        air.read(tmp_path / "none.air")
    with pytest.raises(NotAFile):
        air.read(tmp_path)
    os.mkfifo(tmp_path / "pipe.air")
    with pytest.raises(NotAFile):
        air.read(tmp_path / "pipe.air")
    (tmp_path / "empty.air").touch()
    with pytest.raises(TruncatedFile, match="empty"):
        air.read(tmp_path / "empty.air")


def test_writing_to_a_weight_changes_memory_only(tmp_path: Path) -> None:
    path = tmp_path / "net.air"
    path.write_bytes(DATA)
    found = air.read(path).graph.initializers["c1"].const_value
    assert found is not None
    array = found.numpy()
    assert array.flags.writeable
    array[...] = np.float32(7)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("text", [b"Conv2D", ops(ModelDef.FromString(DATA))["Conv2D"].name.encode()])
def test_text_that_is_no_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(CorruptFile, match="not UTF-8 text"):
        air.parse(DATA.replace(text, b"\xff" + text[1:]))
