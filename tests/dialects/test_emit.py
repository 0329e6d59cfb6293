"""What all builders share: names, sharing of literals, large literals as parameters."""

from __future__ import annotations

import numpy as np
import pytest

from mindport.dialects.emit import CONSTANT_LIMIT, Emit, Names
from mindport.dialects.emit_mindspore import MindSporeEmit
from mindport.errors import UsageError


def test_names_are_unique_and_predictable() -> None:
    names = Names()
    assert [names.take("a") for _ in range(3)] == ["a", "a_1", "a_2"]
    assert names.take("a_1") == "a_1_1"


def test_equal_literals_share_a_constant_and_different_kinds_do_not() -> None:
    b = MindSporeEmit()
    assert b.literal((1, 2)) is b.literal((1, 2))
    assert b.literal(1) is not b.literal(True)
    assert b.const(1.0, np.float32) is b.const(1.0, np.float32)
    assert b.const(1.0, np.float32) is not b.const(1.0, np.float64)


def test_large_tensors_become_parameters() -> None:
    b = MindSporeEmit()
    small, large = b.literal(np.zeros(CONSTANT_LIMIT - 1)), b.literal(np.zeros(CONSTANT_LIMIT))
    assert small.producer() is not None
    assert b.parameters == [large]
    assert large.const_value is not None


def test_scopes_nest_and_end() -> None:
    b = MindSporeEmit()
    x = b.const(1, np.float32)
    with b.at("outer"):
        with b.at("inner"):
            assert b.ReLU(x).name == "inner/ReLU"
        assert b.ReLU(x).name == "outer/ReLU"
    assert b.ReLU(x).name == "ReLU"


def test_private_names_are_no_operators_and_the_base_builds_nothing() -> None:
    with pytest.raises(AttributeError):
        MindSporeEmit()._nope
    with pytest.raises(UsageError):
        Emit().call("ReLU")
