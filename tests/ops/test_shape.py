"""MindSpore's shape primitives, lifted, with shapes known and unknown; dynamic shapes through the whole chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.pipeline import to_onnx, to_target
from mindport.errors import UnsupportedOps
from mindport.formats import mindir
from oracles import mindspore, ort
from oracles.primitive import check, model, numbers

X = numbers(2, 3, 4, 5)


def _pad(mode: str, pads: tuple[int, ...], value: Any = None, contiguous: bool = True) -> Any:
    def build(b: Any, x: Any) -> Any:
        constant = None if value is None else b.const(value, np.float32)
        return b.PadV3(x, pads, constant, mode=mode, paddings_contiguous=contiguous)

    return build


def _many(pack_of: Any, count: int) -> Any:
    def build(b: Any, *x: Any) -> Any:
        pack = pack_of(b, *x)
        return [b.item(pack, i) for i in range(count)]

    return build


CASES: dict[str, tuple[Any, ...]] = {
    "StridedSlice with masks": (lambda b, x: b.StridedSlice(x, (1, 0, 1, 0), (0, 2, 0, 4), (1, 1, 2, 3), 4, 5), X),
    "StridedSlice shrinks": (
        lambda b, x: b.StridedSlice(x, (1, 0, -1, 0), (2, 2, 0, 4), (1, 1, 1, 1), 0, 0, 0, 0, 5),
        X,
    ),
    "Stack": (lambda b, x, y: b.Stack(b.MakeTuple(x, y), axis=1), X, X + 1),
    "Unstack": (_many(lambda b, x: b.Unstack(x, axis=1, num=3), 3), X),
    "Split": (_many(lambda b, x: b.Split(x, 2, 2), 2), X),
    "Tile with more repeats than axes": (lambda b, x: b.Tile(x, (2, 1, 3)), numbers(2, 3)),
    "BroadcastTo keeps -1": (lambda b, x: b.BroadcastTo(x, (4, -1, 3)), numbers(2, 1)),
    "PadV3 constant": (_pad("constant", (1, 2, 0, 3), 1.5), X),
    "PadV3 all befores first": (_pad("constant", (1, 2, 0, 3), 1.5, False), X),
    "PadV3 reflect": (_pad("reflect", (1, 2, 0, 3)), X),
    "PadV3 edge": (_pad("edge", (1, 2, 0, 3)), X),
    "Pad": (lambda b, x: b.Pad(x, paddings=((0, 0), (1, 0), (2, 3), (0, 1))), X),
    "Meshgrid xy": (_many(lambda b, x, y: b.Meshgrid([x, y], 1), 2), numbers(3), numbers(4)),
    "Meshgrid ij": (_many(lambda b, x, y: b.Meshgrid([x, y], 0), 2), numbers(3), numbers(4)),
    "Squeeze of all": (lambda b, x: b.Squeeze(x, ()), numbers(1, 3, 1)),
    "Flatten": (lambda b, x: b.Flatten(x), X),
    "TensorShape": (lambda b, x: b.TensorShape(x), X),
    "Reshape by a computed shape": (
        lambda b, x: b.Reshape(x, b.MakeTuple(b.scalar(b.Shape(x), 0), b.scalar(b.Shape(x), 3), -1)),
        X,
    ),
}


@pytest.mark.mindspore
@pytest.mark.parametrize("name", CASES)
def test_lifts_agree_with_mindspore(name: str, tmp_path: Path) -> None:
    build, *inputs = CASES[name]
    check(tmp_path, build, *inputs)


def test_a_slice_with_a_new_axis_is_refused() -> None:
    with pytest.raises(UnsupportedOps, match="new axis"):
        to_onnx(model(lambda b, x: b.StridedSlice(x, (0,), (1,), (1,), 0, 0, 0, 1), X))


@pytest.mark.mindspore
@pytest.mark.parametrize("batch", [1, 5])
def test_a_dynamic_batch_survives_lowering_and_lifting(batch: int, tmp_path: Path) -> None:
    graph = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 3, 4] x) => (float[N, 12] flat, float[N, 4, 3] turned, float[M, 3, 4] kept, int64[3] s)
        <int64[2] to = {-1, 12}, int64[3] zero = {0, 4, 3}, int64[1] first = {0}, int64[2] rest = {3, 4}> {
            flat = Reshape(x, to)
            turned = Reshape(x, zero)
            s = Shape(x)
            n = Gather(s, first)
            t = Concat<axis = 0>(n, rest)
            kept = Reshape(x, t)
        }""")
    x = numbers(batch, 3, 4)
    path = tmp_path / "dynamic.mindir"
    path.write_bytes(b"".join(mindir.write(to_target(graph, "mindspore"))))
    want = ort.run(graph, [x])
    ort.agree(None, want, mindspore.run(path, [x]), "MindSpore")
    ort.agree(None, want, ort.run(to_onnx(mindir.read(path)), [x]), "lifted")
