"""Model files among ONNX, MINDIR and AIR, each way, with proof; nothing written when it cannot be."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion import files
from mindport.conversion.files import convert_model, converted
from mindport.conversion.run import run_model
from mindport.errors import AlreadyExists, CorruptFile, UnsupportedOps, UsageError
from mindport.formats import air, mindir
from mindport.formats import onnx as onnx_format
from mindport.ops.samples import build, f32, feeds, sample, weight

CASE = sample(f32(2, 3, 9, 8), weight(4, 3, 3, 2), weight(4), pads=[1, 0, 2, 3], strides=[1, 2])
MODEL = build("Conv", CASE)
WRITERS = {"onnx": onnx_format, "mindir": mindir, "air": air}


def written(folder: Path, suffix: str, model: ir.Model = MODEL) -> Path:
    path = folder / f"source.{suffix}"
    path.write_bytes(b"".join(WRITERS[suffix].write(converted(model, suffix))))
    return path


@pytest.mark.mindspore
@pytest.mark.parametrize(("source", "target"), list(permutations(WRITERS, 2)))
def test_every_way_is_proved(source: str, target: str, tmp_path: Path) -> None:
    dst = tmp_path / f"result.{target}"
    report = convert_model(written(tmp_path, source), dst)
    assert report.path == str(dst)
    assert report.nbytes == dst.stat().st_size
    assert report.check is not None
    assert report.check.status == "passed", report.check
    assert report.parity is not None
    assert report.weights >= 2
    x = list(feeds(CASE).values())
    np.testing.assert_allclose(
        run_model(dst, x)[0], run_model(tmp_path / f"source.{source}", x)[0], rtol=1e-4, atol=1e-5
    )


def test_the_same_format_is_written_again(tmp_path: Path) -> None:
    report = convert_model(written(tmp_path, "mindir"), tmp_path / "copy.mindir", check=False)
    assert Path(report.path).read_bytes() == (tmp_path / "source.mindir").read_bytes()
    assert report.check is None


def test_the_target_may_be_named(tmp_path: Path) -> None:
    report = convert_model(written(tmp_path, "mindir"), tmp_path / "plain", to="onnx", check=False)
    assert report.path == str(tmp_path / "plain")
    assert onnx_format.read(report.path).graph.initializers


def test_what_cannot_be_run_is_not_proved(tmp_path: Path) -> None:
    model = build("Relu", sample(f32(1, 3)))
    model.graph.inputs[0].shape = None
    report = convert_model(written(tmp_path, "onnx", model), tmp_path / "r.mindir")
    assert report.check is not None
    assert report.check.status == "not proved"
    assert report.parity is None


def test_nothing_is_written_when_an_operator_has_no_way(tmp_path: Path) -> None:
    model = build("NonMaxSuppression", sample(f32(1, 3, 4), f32(1, 2, 3)))
    with pytest.raises(UnsupportedOps):
        convert_model(written(tmp_path, "onnx", model), tmp_path / "r.mindir")
    assert not (tmp_path / "r.mindir").exists()


def test_existing_files_and_other_formats(tmp_path: Path) -> None:
    source = written(tmp_path, "onnx")
    (tmp_path / "r.mindir").write_bytes(b"mine")
    with pytest.raises(AlreadyExists):
        convert_model(source, tmp_path / "r.mindir", overwrite=False)
    assert (tmp_path / "r.mindir").read_bytes() == b"mine"
    with pytest.raises(UsageError, match="no model format"):
        convert_model(source, tmp_path / "r.ckpt")


def test_a_model_that_onnx_ir_cannot_write_is_a_corrupt_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"".join(onnx_format.write(build("Relu", sample(f32(2, 3))))))

    def fails(*_: object) -> object:
        raise ir.serde.SerdeError("long story") from TypeError("Unsupported attribute type")

    monkeypatch.setattr(files, "converted", fails)
    with pytest.raises(CorruptFile, match="Unsupported attribute type") as caught:
        convert_model(path, tmp_path / "m.mindir")
    assert caught.value.path == str(path)
    assert not (tmp_path / "m.mindir").exists()
