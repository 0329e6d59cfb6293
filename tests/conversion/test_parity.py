"""Comparison: what passes, what fails and why, and proofs in real runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindport.conversion.parity import Parity, compare, prove, tolerance
from mindport.conversion.pipeline import to_target
from mindport.errors import CheckFailed, UsageError
from mindport.formats import mindir
from mindport.ops.samples import build, f32, feeds, sample
from oracles import mindspore, ort

E = np.asarray([[1.0, -2.0, 3.0], [0.5, 100.0, 0.0]], np.float32)


def one(actual: np.ndarray, expected: np.ndarray = E, **limits: float):  # type: ignore[no-untyped-def]
    (difference,) = compare([expected], [actual], ["y"], **limits)
    return difference


def test_equal_and_rounded_outputs_pass() -> None:
    assert one(E.copy()).ok
    found = one(E * np.float32(1 + 2e-6))
    assert found.ok
    assert 0 < found.max_abs < 1e-3
    assert found.cosine == pytest.approx(1)


def test_a_difference_says_where_and_how_large() -> None:
    wrong = E.copy()
    wrong[0, 2] = 4
    found = one(wrong)
    assert not found.ok
    assert (found.worst, found.max_abs, found.max_rel) == ((0, 2), 1.0, 0.01)
    assert "1 of 6 elements" in found.problem
    assert one(wrong, atol=2).ok


@pytest.mark.parametrize(
    ("actual", "says"), [(E.T, "shape"), (E.astype(np.float64), "type float64"), (E * np.nan, "elements differ")]
)
def test_other_shapes_types_and_nan_fail(actual: np.ndarray, says: str) -> None:
    assert says in one(actual).problem


def test_special_values_equal_themselves() -> None:
    special = np.asarray([np.nan, np.inf, -np.inf, 1], np.float32)
    assert one(special.copy(), special).ok
    assert not one(-special, special).ok


def test_integers_have_to_be_equal_and_nothing_equals_nothing() -> None:
    whole = np.arange(5)
    assert one(whole.copy(), whole).ok
    assert not one(whole + 1, whole).ok
    assert one(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)).ok
    assert tolerance("int64") == (0.0, 0.0)


def test_a_small_value_beside_large_ones_may_round() -> None:
    expected = np.asarray([1000.0, 1e-7], np.float32)
    assert one(np.asarray([1000.0, 3e-4], np.float32), expected).ok
    assert not one(np.asarray([1000.0, 3e-2], np.float32), expected).ok


def test_the_number_of_outputs_counts() -> None:
    with pytest.raises(UsageError, match="1 outputs are expected, 0"):
        compare([E], [])


def test_a_parity_sums_up() -> None:
    parity = Parity("judge", (one(E.copy()), one(E + 1)), 0.5)
    assert not parity.ok
    assert parity.max_abs == pytest.approx(1)
    assert parity.check().status == "failed"
    assert "judge" in parity.check().detail
    assert parity.to_dict()["ok"] is False
    assert Parity("judge", (), 0.0).ok


@pytest.mark.mindspore
def test_a_mindir_is_proved_in_real_mindspore(tmp_path: Path) -> None:
    case = sample(f32(2, 3), axis=-1)
    model, x = build("Softmax", case), feeds(case)
    path = tmp_path / "m.mindir"
    path.write_bytes(b"".join(mindir.write(to_target(model, "mindspore"))))
    want = ort.run(model, x)
    proved = prove(path, want, list(x.values()), names=["y"], worker=mindspore.worker())
    assert proved.ok
    assert proved.runner.startswith("MindSpore 2.")
    assert not prove(path, [want[0] * 2], list(x.values()), worker=mindspore.worker()).ok
    lifted = prove(path, want, list(x.values()), mindspore=False)
    assert lifted.ok
    assert lifted.runner.startswith("ONNX Runtime")
    with pytest.raises(CheckFailed):
        prove(path, want, [], worker=mindspore.worker())
