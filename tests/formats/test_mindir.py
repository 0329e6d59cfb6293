"""MindIR files: lossless for MindSpore's own, read by MindSpore when ours, one clear error when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import CorruptFile, MindportError, MissingFile, NotAFile, TruncatedFile, Unsupported
from mindport.formats import mindir
from mindport.ops.samples import build, const, f32, feeds, sample, weight
from oracles import mindspore, ort

GOLDEN = Path(__file__).parents[1] / "golden" / "mindir"
FILES = sorted(GOLDEN.glob("*.mindir"))
CASE = sample(f32(2, 3, 9, 8), weight(4, 3, 3, 2), weight(4), pads=[1, 0, 2, 3], strides=[1, 2])


def lowered() -> ir.Model:
    return to_target(build("Conv", CASE), "mindspore")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_files_of_mindspore_are_written_back_byte_for_byte(path: Path) -> None:
    assert b"".join(mindir.write(mindir.read(path))) == path.read_bytes()


# what MindSpore itself cannot run on a CPU, or computes from a coarse table
NOT_HERE = {"inst", "m52", "int_bicubic_False", "n4"}


@pytest.mark.mindspore
@pytest.mark.parametrize("path", [p for p in FILES if p.stem not in NOT_HERE], ids=lambda p: p.stem)
def test_files_of_mindspore_lift_to_onnx_that_computes_the_same(path: Path) -> None:
    model = mindir.read(path)
    rng = np.random.default_rng(3)
    inputs = []
    for value in model.graph.inputs:
        assert value.shape is not None
        shape = [d if isinstance(d, int) else 2 for d in value.shape]
        integer = value.dtype == ir.DataType.INT64
        inputs.append(rng.integers(0, 2, shape) if integer else rng.normal(size=shape).astype(np.float32))
    lifted = to_onnx(model)
    by_name = dict(zip([v.name for v in model.graph.inputs], inputs, strict=True))
    actual = ort.run(lifted, {str(v.name): by_name[v.name] for v in lifted.graph.inputs})
    for e, a in zip(mindspore.run(path, inputs), actual, strict=True):
        assert (a.shape, a.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(a, e, rtol=1e-3, atol=1e-4)


def test_weights_keep_their_names_and_are_views_of_the_file() -> None:
    model = mindir.read(GOLDEN / "bn1.mindir")
    assert list(model.graph.initializers) == ["gamma", "beta", "mean", "variance"]
    content = model.graph.initializers["gamma"].const_value
    assert content is not None
    assert not content.numpy().flags.owndata


@pytest.mark.mindspore
def test_weights_in_data_files_are_read_by_mindspore_and_by_us(tmp_path: Path) -> None:
    model = lowered()
    for name, chunks in mindir.files(model, "net", split_bytes=100).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"".join(chunks))
    path = tmp_path / "net_graph.mindir"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net_graph.mindir", "net_variables"]
    content = feeds(CASE)
    want = ort.run(build("Conv", CASE), content)
    ort.agree(None, want, mindspore.run(path, content.values()), "MindSpore")
    ort.agree(None, want, ort.run(to_onnx(mindir.read(path)), list(content.values())), "lifted")


def test_a_large_model_does_not_fit_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lowered()
    monkeypatch.setattr(mindir, "SPLIT_BYTES", 100)
    with pytest.raises(Unsupported, match="several files"):
        list(mindir.write(model))


@pytest.mark.slow
@pytest.mark.mindspore
def test_more_than_2_gib_of_weights_go_beside_the_graph_and_run(tmp_path: Path) -> None:
    from mindport.conversion.export import write_model

    rows = (1 << 29) // 4096 + 5  # of 4096 numbers: more than 2 GiB, of which the system keeps only what is touched
    table = np.zeros((rows, 4096), np.float32)
    table[[0, 7, rows - 1]] = np.random.default_rng(0).normal(size=(3, 4096))
    model = build("Gather", sample(f32(2, 2), const([7, rows - 1, 0])))
    node = next(iter(model.graph))
    weights = ir.Value(name="table", const_value=ir.Tensor(table), shape=ir.Shape(table.shape))
    weights.type = ir.TensorType(ir.DataType.FLOAT)
    model.graph.inputs.clear()
    node.replace_input_with(0, weights)
    model.graph.register_initializer(weights)
    node.outputs[0].shape = ir.Shape([3, 4096])
    paths, nbytes = write_model(to_target(model, "mindspore"), tmp_path / "big.mindir", "mindir")
    assert [Path(p).name for p in paths] == ["data_0", "big_graph.mindir"]
    assert nbytes > 2 << 30
    want = table[[7, rows - 1, 0]]
    back = mindir.read(paths[-1]).graph.initializers["table"].const_value
    assert back is not None
    np.testing.assert_array_equal(back.numpy()[[7, rows - 1, 0]], want)
    np.testing.assert_array_equal(mindspore.run(Path(paths[-1]), [])[0], want)


def split(tmp_path: Path) -> Path:
    for name, chunks in mindir.files(lowered(), "net", split_bytes=100).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"".join(chunks))
    return tmp_path / "net_graph.mindir"


def test_a_missing_or_short_data_file_is_named(tmp_path: Path) -> None:
    path = split(tmp_path)
    data = tmp_path / "net_variables" / "data_0"
    whole = data.read_bytes()
    data.write_bytes(whole[:70])
    with pytest.raises(TruncatedFile, match="data_0"):
        mindir.read(path)
    data.write_bytes(b"\0" + whole[1:])
    with pytest.raises(CorruptFile, match="little-endian"):
        mindir.read(path)
    data.unlink()
    with pytest.raises(MissingFile, match="data_0"):
        mindir.read(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../b", "", "a\\..\\b"])
def test_data_files_never_lie_outside_the_folder(location: str, tmp_path: Path) -> None:
    from mindport.wire.schema_mindir import MODEL
    from mindport.wire.spec import decode, encode

    path = split(tmp_path)
    message = decode(MODEL, memoryview(path.read_bytes()))
    for parameter in message.graph.parameter:
        parameter.external_data.set("location", location)
    path.write_bytes(b"".join(encode(message)))
    with pytest.raises(CorruptFile, match="inside its own folder"):
        mindir.read(path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = split(folder)
    data = folder / "net_variables" / "data_0"
    moved = tmp_path / "elsewhere"
    data.rename(moved)
    data.symlink_to(moved)
    with pytest.raises(CorruptFile, match="link out of"):
        mindir.read(path)


@pytest.mark.parametrize("mark", [b"\xd8\x5e\x3a\x7f", b"\xd9\x5e\x3a\x7f", b"\xda\x5e\x3a\x7f"])
def test_encrypted_files_are_recognised(mark: bytes) -> None:
    with pytest.raises(Unsupported, match="encrypted MindIR"):
        mindir.loads(mark + bytes(40))


def test_missing_files_folders_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        mindir.read(tmp_path / "none.mindir")
    with pytest.raises(NotAFile):
        mindir.read(tmp_path)
    (tmp_path / "empty.mindir").write_bytes(b"")
    with pytest.raises(TruncatedFile, match="empty") as caught:
        mindir.read(tmp_path / "empty.mindir")
    assert caught.value.path == str(tmp_path / "empty.mindir")


DATA = b"".join(mindir.write(lowered()))


@pytest.mark.parametrize("cut", range(1, len(DATA), 37))
def test_every_truncation_is_one_clear_error(cut: int) -> None:
    with pytest.raises(MindportError):
        mindir.loads(DATA[:cut])


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), min_size=1, max_size=4), st.sampled_from(FILES))
def test_damage_ends_in_our_error_or_in_another_sound_model(flips: list[tuple[int, int]], path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at, value in flips:
        data[at % len(data)] = value
    try:
        model = mindir.loads(bytes(data))
    except MindportError:
        return
    assert model.graph.outputs
