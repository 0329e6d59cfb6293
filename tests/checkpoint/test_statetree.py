"""Any state tree becomes JSON plus tensors and comes back exactly, or is refused by the path of what cannot."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter, OrderedDict
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mindport.adapters.base import framework_tensor
from mindport.adapters.torch_state import make_tensor
from mindport.checkpoint.statetree import pack, unpack
from mindport.errors import CorruptFile, Unsupported


def round_trip(tree: Any) -> Any:
    packed, tensors = pack(tree, "p.", framework_tensor)
    text = json.dumps(packed, allow_nan=False)
    assert all(name.startswith("p.") for name in tensors)
    return unpack(json.loads(text), tensors, make_tensor)


def bits(tensor: torch.Tensor) -> list[int]:
    flat = tensor.contiguous().reshape(-1)
    return flat.view(torch.uint8).tolist() if flat.numel() else []


def identical(a: Any, b: Any) -> bool:
    """Equal in type and bits, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes() or (math.isnan(a) and math.isnan(b))
    if isinstance(a, complex):
        return identical(a.real, b.real) and identical(a.imag, b.imag)
    if isinstance(a, dict):
        keys = zip(a, b, strict=True) if len(a) == len(b) else ()
        return len(a) == len(b) and all(identical(x, y) for x, y in keys) and all(identical(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(identical(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape
        return same and bits(a) == bits(b)
    return bool(a == b)


SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text() | st.binary(max_size=9)
    | st.complex_numbers() | st.sampled_from([np.float32(1.5), np.int64(-3), np.bool_(True), np.float64(-0.0)])
)  # fmt: skip
KEYS = (
    st.text(max_size=5)
    | st.integers(-5, 5)
    | st.booleans()
    | st.none()
    | st.tuples(st.integers(0, 3), st.text(max_size=2))
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=20,
)


@given(TREES)
def test_every_tree_comes_back_exactly(tree: Any) -> None:
    assert identical(round_trip(tree), tree)


@pytest.mark.parametrize(
    "tree",
    [
        {0: "int key", "0": "text key", True: "bool key"},
        {"$float": "not a tag"},
        {"$": {"$tuple": 1}},
        [math.inf, -math.inf, math.nan, -0.0, 0.0, 5e-324, 1.7976931348623157e308],
        Counter({3: 2, 7: 1}),
        {"a": frozenset({1, 2}), "b": {"x"}},
        (1, (2, [3, (4,)])),
        {},
        [],
        (),
        "",
        {"nested": {"momentum_buffer": None, "step": 3}},
    ],
)
def test_what_json_alone_would_lose(tree: Any) -> None:
    assert identical(round_trip(tree), tree)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 1)])
def test_torch_tensors(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.randn(shape) * 3).to(dtype)
    assert identical(round_trip({"a": [tensor]}), {"a": [tensor]})


def test_a_transposed_tensor_keeps_its_values() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).t()
    assert torch.equal(round_trip(tensor), tensor)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint32).reshape(2, 3),
        np.array(2.5, np.float16),
        np.zeros((0, 4)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1, 2], ml_dtypes.bfloat16),
    ],
)
def test_numpy_arrays(array: np.ndarray[Any, Any]) -> None:
    back = round_trip([array])[0]
    assert identical(back, np.ascontiguousarray(array).reshape(array.shape))
    back[...] = 0  # memory of its own


def test_one_object_in_two_places_stays_one_object() -> None:
    tensor = torch.ones(2)
    back = round_trip({"a": tensor, "b": [tensor]})
    assert back["a"] is back["b"][0]


def test_names_tell_where_a_tensor_belongs() -> None:
    tree = {"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}, "0": {"exp_avg": torch.zeros(2)}}}}
    _, tensors = pack(tree, "p.", framework_tensor)
    assert list(tensors) == ["p.optimizer.state.0.exp_avg", "p.optimizer.state.0.exp_avg~2"]
    assert identical(round_trip(tree), tree)


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({"a": [1, object()]}, r"'a\.1' is a builtins\.object"),
        ({"f": len}, "'f' is a builtins.builtin_function_or_method"),
        ({"s": np.array(["x"])}, "'s' is a NumPy value of type"),
        ({"d": np.array([1, 2], ">i4")}, "'d' is a big-endian"),
        ({"m": np.ma.masked_array([1], [True])}, "'m' is a MaskedArray"),
        ({"z": {object()}}, r"'z\.\*' is a builtins\.object"),
        ({"x": {1, "a"}}, "'x' is a set of values without order"),
        ({"q": torch.zeros(2).to_sparse()}, r"p\.q is a sparse"),
        (object(), "the state is a builtins.object"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_its_path(tree: Any, where: str) -> None:
    with pytest.raises(Unsupported, match=where):
        pack(tree, "p.", framework_tensor)


def test_a_tree_that_contains_itself_is_refused() -> None:
    tree: list[Any] = []
    tree.append(tree)
    with pytest.raises(Unsupported, match="nested deeper"):
        pack(tree, "p.", framework_tensor)


@pytest.mark.parametrize(
    "damaged",
    [
        1.5,
        {"$float": 3},
        {"$float": "zzz"},
        {"$float": "0x1p99999"},
        {"$bytes": "?"},
        {"$tuple": {}},
        {"$dict": [[1]]},
        {"$dict": [[[], 1]]},
        {"$complex": ["0x1p+0"]},
        {"$tensor": "p.absent"},
        {"$tensor": 1},
        {"$same": "p.absent"},
        {"$later": 1},
        {"$set": [[]]},
    ],
)
def test_damaged_state_is_a_format_error(damaged: Any) -> None:
    with pytest.raises(CorruptFile):
        unpack({"a": damaged}, {}, make_tensor)


def test_damaged_nesting_is_a_format_error() -> None:
    tree: Any = 1
    for _ in range(2000):
        tree = [tree]
    with pytest.raises(CorruptFile, match="deep"):
        unpack(tree, {}, make_tensor)


JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$float", "$dict", "$tuple", "$tensor", "$set", "$same", "a"]), inner, max_size=2
        )
    ),
    max_leaves=10,
)


@given(JSON_TREES)
def test_no_json_raises_anything_but_our_errors(tree: Any) -> None:
    with contextlib.suppress(CorruptFile):
        unpack(tree, {}, make_tensor)
    assert True  # any other exception would have ended the test
