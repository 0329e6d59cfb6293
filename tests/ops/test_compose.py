"""Composed operators: what is refused, and lifts of MindSpore's own forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mindport.conversion.pipeline import to_target
from mindport.errors import UnsupportedOps
from mindport.ops.samples import build, f32, i16, sample
from oracles.primitive import check, numbers


@pytest.mark.parametrize(
    ("op", "case", "says"),
    [
        ("Einsum", sample(f32(2, 2), equation="ii->i"), "diagonal"),
        ("Einsum", sample(f32(2, 3, 4), equation="...ij->...ji"), "ellipsis"),
        ("LpPool", sample(f32(1, 2, 6, 5), kernel_shape=[3, 2], pads=[1, 0, 1, 0]), "Lp pool"),
        ("Range", sample(i16(), i16(), i16()), "range of int16"),
        ("Hardmax", sample(f32(2, 3)), "unknown size"),
    ],
)
def test_what_has_no_form_is_refused(op: str, case: Any, says: str) -> None:
    model = build(op, case)
    if says == "unknown size":
        model.graph.inputs[0].shape = ir.Shape([2, None])
    with pytest.raises(UnsupportedOps, match=says):
        to_target(model, "mindspore")


@pytest.mark.mindspore
def test_reverse_sequence_with_short_lengths_lifts(tmp_path: Path) -> None:
    lengths = np.asarray([1, 4, 2], np.int32)
    check(tmp_path, lambda b, x: b.ReverseSequence(x, b.literal(lengths), seq_dim=1, batch_dim=0), numbers(3, 4))


@pytest.mark.mindspore
@pytest.mark.parametrize("op", ["LeftShift", "RightShift"])
def test_shifts_of_signed_numbers_lift(op: str, tmp_path: Path) -> None:
    values = np.asarray([-9, -1, 0, 5, 100], np.int32)
    by = np.asarray([1, 3, 2, 0, 4], np.int32)
    check(tmp_path, lambda b, x, y: b.call(op, x, y), values, by)
