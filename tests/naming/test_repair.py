from hypothesis import given
from hypothesis import strategies as st

from mindport.naming.repair import PREFIXES, did_you_mean, mindspore_named, strip_prefixes


def test_a_prefix_that_all_names_carry_is_proposed():
    repair = strip_prefixes(["module.fc.weight", "module.fc.bias"], ["fc.weight", "fc.bias"])
    assert repair is not None
    assert repair.removed == "module."
    assert repair.names == {"module.fc.weight": "fc.weight", "module.fc.bias": "fc.bias"}


def test_a_network_that_really_has_such_a_layer_is_left_alone():
    assert strip_prefixes(["module.fc.weight"], ["module.fc.weight"]) is None
    assert strip_prefixes(["module.a", "b"], ["a", "b"]) is None
    assert strip_prefixes([], ["a"]) is None


@given(st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=4))
def test_prefixes_are_removed_in_any_nesting(prefixes):
    whole = "".join(prefixes)
    repair = strip_prefixes([whole + "fc.weight", whole + "bn.bias"], ["fc.weight", "bn.bias"])
    assert repair is not None
    assert repair.removed == whole


def test_did_you_mean_looks_at_size_and_meaning():
    found = did_you_mean(
        {"layer1.bn.weight": (4,), "head.weight": (10, 4)},
        {"layer1.bn.gamma": (4,), "layer1.bn.moving_mean": (4,), "header.weight": (10, 4), "head.bias": (10,)},
    )
    assert [(s.missing, s.candidates[0]) for s in found] == [
        ("layer1.bn.weight", "layer1.bn.gamma"),
        ("head.weight", "header.weight"),
    ]
    assert did_you_mean({"a.weight": (2,)}, {"a.weights": (3,)}) == []


def test_names_that_only_mindspores_layers_have():
    for name in ("bn1.gamma", "bn1.moving_mean", "embed.embedding_table", "beta"):
        assert mindspore_named(["fc.weight", name])
    assert not mindspore_named(["fc.weight", "bn1.running_mean", "gamma.weight", "alphabeta"])
    assert not mindspore_named([])
