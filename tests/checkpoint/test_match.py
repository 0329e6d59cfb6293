"""Stored tensors meet a network: names, shapes, dtypes, prefixes, tied tensors; all or nothing."""

from __future__ import annotations

import time
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindport.checkpoint.match import Match, match
from mindport.errors import MatchError
from mindport.tensors import ArrayRef


def refs(**arrays: Any) -> dict[str, ArrayRef]:
    return {name: ArrayRef(name, np.asarray(value)) for name, value in arrays.items()}


def named(arrays: dict[str, Any]) -> dict[str, ArrayRef]:
    return refs(**arrays)


F = np.float32


def test_equal_names_shapes_and_dtypes_are_views() -> None:
    stored = np.arange(6, dtype=F).reshape(2, 3)
    report, arrays = match(refs(w=np.zeros((2, 3), F)), refs(w=stored))
    assert np.shares_memory(arrays["w"], stored)
    assert (report.missing, report.unexpected, report.loaded, report.converted) == ((), (), ("w",), ())


def test_the_report_unpacks_like_mindspores() -> None:
    wanted = refs(a=np.zeros(1, F), b=np.zeros(2, F))
    param_not_load, ckpt_not_load = match(wanted, refs(b=np.ones(2, F), z=np.ones(3, F), y=np.ones(1, F)))[0]
    assert (param_not_load, ckpt_not_load) == (["a"], ["z", "y"])
    report = match(wanted, {})[0]
    assert (len(report), report[0], report[1]) == (2, ["a", "b"], [])


@pytest.mark.parametrize(
    ("stored", "wanted", "fits"),
    [
        ((2, 3, 1, 1), (2, 3), True),
        ((3, 1), (3,), True),
        ((1,), (), True),
        ((1, 1), (), True),
        ((2, 3), (2, 3, 1, 1), False),
        ((), (1,), False),
        ((5, 1), (3,), False),
        ((3, 2), (2, 3), False),
        ((6,), (2, 3), False),
        ((2, 3, 2), (2, 3), False),
        ((0,), (), False),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_shapes(stored: Any, wanted: Any, fits: bool, strict: bool) -> None:
    values = np.arange(np.prod(stored), dtype=F).reshape(stored)
    if not fits:
        with pytest.raises(MatchError, match="float32"):
            match(refs(w=np.zeros(wanted, F)), refs(w=values), strict=strict)
        return
    report, arrays = match(refs(w=np.zeros(wanted, F)), refs(w=values), strict=strict)
    assert arrays["w"].shape == wanted
    assert arrays["w"].ravel().tolist() == values.ravel().tolist()
    assert report.converted[0].name == "w"


FLOATS = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]
INTS = [np.int8, np.int16, np.int32, np.int64]
OTHERS = [np.uint8, np.bool_, np.complex64]


@pytest.mark.parametrize("stored", FLOATS + INTS + OTHERS)
@pytest.mark.parametrize("wanted", FLOATS + INTS + OTHERS)
def test_dtypes(stored: Any, wanted: Any) -> None:
    values = np.array([0, 1], stored)
    same_family = stored is wanted or any(stored in f and wanted in f for f in (FLOATS, INTS))
    if not same_family:
        with pytest.raises(MatchError):
            match(refs(w=np.zeros(2, wanted)), refs(w=values))
        return
    report, arrays = match(refs(w=np.zeros(2, wanted)), refs(w=values))
    assert arrays["w"].dtype == np.dtype(wanted)
    assert [complex(v) for v in arrays["w"]] == [0, 1]
    assert bool(report.converted) == (stored is not wanted)
    if stored is not wanted:
        with pytest.raises(MatchError):
            match(refs(w=np.zeros(2, wanted)), refs(w=values), strict=True)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4), st.sampled_from(INTS))
def test_integers_never_wrap(values: list[int], wanted: Any) -> None:
    limits = np.iinfo(wanted)
    stored = refs(w=np.array(values, np.int64))
    if all(limits.min <= v <= limits.max for v in values):
        assert match(refs(w=np.zeros(len(values), wanted)), stored)[1]["w"].tolist() == values
    else:
        with pytest.raises(MatchError, match="cannot hold all of its values"):
            match(refs(w=np.zeros(len(values), wanted)), stored)


def test_floats_never_become_infinite_and_infinity_stays() -> None:
    wanted = refs(w=np.zeros(2, np.float16))
    with pytest.raises(MatchError, match="cannot hold"):
        match(wanted, refs(w=np.array([1e6, 1], F)))
    assert match(wanted, refs(w=np.array([np.inf, np.nan], F)))[1]["w"][0] == np.inf


def test_all_problems_are_listed() -> None:
    wanted = refs(a=np.zeros(2, F), b=np.zeros(3, F), c=np.zeros(1, F))
    with pytest.raises(MatchError) as caught:
        match(wanted, refs(a=np.zeros(5, F), b=np.zeros(3, np.int32), c=np.zeros(1, F)))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 parameter(s) do not fit the network; nothing was loaded")
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["a", "b"]


def test_a_prefix_is_found_at_whole_components_only() -> None:
    wanted = named({"fc.weight": np.zeros(2, F), "fc.bias": np.zeros(1, F)})
    given_ = named({"network.fc.weight": np.ones(2, F), "network.fc.bias": np.ones(1, F)})
    report, arrays = match(wanted, given_)
    assert set(arrays) == {"fc.weight", "fc.bias"}
    assert report.renamed == {"network.fc.weight": "fc.weight", "network.fc.bias": "fc.bias"}
    assert (report.missing, report.unexpected) == ((), ())
    glued = named({"networkfc.weight": np.ones(2, F)})
    assert match(wanted, glued)[0].missing == ("fc.weight", "fc.bias")
    assert match(wanted, given_, strict=True)[0].missing == ("fc.weight", "fc.bias")


WRAPPERS = ["module.", "_orig_mod.", "_backbone.", "network.", "module._orig_mod."]


@pytest.mark.parametrize("prefix", WRAPPERS)
@pytest.mark.parametrize("side", ["checkpoint", "network"])
def test_a_wrappers_prefix_is_taken_off_either_side_and_said(prefix: str, side: str) -> None:
    plain = {"fc.weight": np.ones((2, 3), F), "fc.bias": np.full(2, 3, F)}
    wrapped = {prefix + name: value for name, value in plain.items()}
    network, stored = (plain, wrapped) if side == "checkpoint" else (wrapped, plain)
    wanted = named({name: np.zeros_like(value) for name, value in network.items()})
    report, arrays = match(wanted, named(stored))
    assert {name: a.tolist() for name, a in arrays.items()} == {n: v.tolist() for n, v in network.items()}
    assert (report.missing, report.unexpected) == ((), ())
    assert report.renamed == dict(zip(stored, network, strict=True))
    assert report.repairs == (f"took the prefix '{prefix}' off 2 name(s) of the {side} to match them",)
    assert report.warnings() == list(report.repairs)
    strict = match(wanted, named(stored), strict=True)[0]
    assert (strict.missing, strict.unexpected, strict.repairs) == (tuple(network), tuple(stored), ())


def test_no_repair_is_reported_where_none_is_needed() -> None:
    report = match(refs(w=np.zeros(1, F)), named({"w": np.ones(1, F), "module.w": np.ones(1, F)}))[0]
    assert (report.repairs, report.renamed, report.warnings()) == ((), {}, [])


def test_a_stored_tensor_is_never_used_for_two_names() -> None:
    wanted = named({"a.w": np.zeros(1, F), "w": np.zeros(1, F)})
    report, arrays = match(wanted, named({"a.w": np.ones(1, F)}))
    assert (list(arrays), report.missing, report.repairs) == (["a.w"], ("w",), ())


def test_missing_names_come_with_what_was_probably_meant() -> None:
    wanted = named({"layer1.conv.weight": np.zeros((2, 3), F), "head.weight": np.zeros(7, F)})
    report = match(wanted, named({"layer_1.conv.weight": np.ones((2, 3), F), "other": np.ones(5, F)}))[0]
    assert [(s.missing, s.candidates) for s in report.suggestions] == [("layer1.conv.weight", ("layer_1.conv.weight",))]
    assert report.warnings() == [
        "2 parameter(s) of the network are not in the checkpoint: layer1.conv.weight, head.weight",
        "for layer1.conv.weight, did you mean layer_1.conv.weight?",
    ]
    assert report.hints == ()


def test_mindspores_names_are_recognised() -> None:
    wanted = named({"bn.weight": np.zeros(3, F), "bn.running_mean": np.zeros(3, F), "conv.weight": np.zeros((2, 3), F)})
    theirs = named({"bn.gamma": np.ones(3, F), "bn.moving_mean": np.ones(3, F), "conv.weight": np.ones((2, 3), F)})
    report = match(wanted, theirs)[0]
    assert report.missing == ("bn.weight", "bn.running_mean")
    assert "mindport.naming.network.map_names" in report.warnings()[-1]
    assert report.suggestions[0].candidates[0] == "bn.gamma"
    with pytest.raises(MatchError, match=r"hint: .*map_names"):
        match(wanted, {**theirs, **named({"conv.weight": np.ones((2, 1, 3), F)})})


def test_a_mismatch_carries_its_report() -> None:
    with pytest.raises(MatchError) as caught:
        match(refs(a=np.zeros(2, F), b=np.zeros(3, F)), refs(a=np.zeros(5, F), b=np.zeros(3, F), z=np.zeros(1, F)))
    report = caught.value.report
    assert isinstance(report, Match)
    assert [m.name for m in report.mismatched] == ["a"]
    assert "(5,)" in report.mismatched[0].reason
    assert (report.loaded, report.unexpected, report.missing) == ((), ("z",), ())


def test_suggestions_of_huge_checkpoints_cost_little() -> None:
    wanted = named({f"encoder.block{i}.weight": np.zeros(2, F) for i in range(3000)})
    given_ = named({f"encoder.layer{i}.kernel": np.ones(2, F) for i in range(30000)})
    started = time.process_time()
    assert len(match(wanted, given_)[0].missing) == 3000
    assert time.process_time() - started < 10


def test_a_prefix_never_replaces_a_name_that_is_there() -> None:
    wanted = named({"w": np.zeros(1, F), "b": np.zeros(1, F)})
    report, arrays = match(wanted, named({"w": np.ones(1, F), "ema.w": np.full(1, 7, F), "ema.b": np.full(1, 8, F)}))
    assert (float(arrays["w"][0]), float(arrays["b"][0])) == (1, 8)
    assert report.unexpected == ("ema.w",)


def test_tied_tensors_need_one_of_their_names() -> None:
    wanted = named({"embed.weight": np.zeros(2, F)})
    aliases = {"head.weight": "embed.weight"}
    for name in ("embed.weight", "head.weight"):
        report, arrays = match(wanted, named({name: np.ones(2, F)}), aliases=aliases)
        assert list(arrays) == ["embed.weight"]
        assert (report.missing, report.unexpected) == ((), ())


def test_tied_tensors_must_agree() -> None:
    wanted = named({"embed.weight": np.zeros(2, F)})
    aliases = {"head.weight": "embed.weight"}
    both = {"embed.weight": np.ones(2, F), "head.weight": np.ones(2, F)}
    assert match(wanted, named(both), aliases=aliases)[0].unexpected == ()
    both["head.weight"] = np.zeros(2, F)
    with pytest.raises(MatchError, match="tied"):
        match(wanted, named(both), aliases=aliases)
