import numpy as np
import pytest
import torch
from torch import nn

from mindport.errors import MatchError, UsageError, WrongTypeError
from mindport.naming.network import map_names


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.norm = nn.BatchNorm2d(3)


def test_batch_norm_statistics_are_renamed_and_the_counter_is_dropped_with_a_report():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    weights, report = map_names(net).to_mindspore(net.state_dict())
    assert list(weights) == ["0.weight", "0.bias", "1.gamma", "1.beta", "1.moving_mean", "1.moving_variance"]
    assert report.renamed == [
        ("1.weight", "1.gamma"),
        ("1.bias", "1.beta"),
        ("1.running_mean", "1.moving_mean"),
        ("1.running_var", "1.moving_variance"),
    ]
    assert report.dropped == [("1.num_batches_tracked", "BatchNorm2d has no counterpart")]


@pytest.mark.parametrize("kind", [nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d])
def test_parameters_that_only_the_cell_has_are_created_and_reported(kind):
    net = nn.Sequential(kind(5))
    weights, report = map_names(net).to_mindspore(net.state_dict())
    names = [f"0.{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")]
    assert list(weights) == names
    assert report.created == list(zip(names, (1.0, 0.0, 0.0, 1.0), strict=True))
    np.testing.assert_array_equal(weights[names[0]].numpy(), np.ones(5, np.float32))
    back, _ = map_names(net).to_torch(weights)
    assert back == {}


def test_subclasses_are_mapped_like_their_layer_and_unknown_layers_are_reported_as_assumed():
    class MyConv(nn.Conv1d):
        pass

    net = nn.Sequential(MyConv(2, 3, 4), Custom())
    weights, report = map_names(net).to_mindspore(net.state_dict())
    assert weights["0.weight"].shape == (3, 2, 1, 4)
    assert report.reshaped == [("0.weight", (3, 2, 4), (3, 2, 1, 4))]
    assert report.assumed == ["1.scale"]
    assert "1.norm.gamma" in weights


def test_values_are_views_of_the_given_ones():
    net = nn.Sequential(nn.Linear(3, 2))
    weights, _ = map_names(net).to_mindspore(net.state_dict())
    with torch.no_grad():
        net[0].weight.fill_(4.0)
    assert float(weights["0.weight"].numpy()[1, 2]) == 4.0


def test_tied_weights_are_stored_once_and_come_back_under_both_names():
    net = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    net[1].weight = net[0].weight
    names = map_names(net)
    weights, report = names.to_mindspore(net.state_dict())
    assert list(weights) == ["0.embedding_table"]
    assert report.aliases == [("1.weight", "0.weight")]
    back, _ = names.to_torch(weights)
    np.testing.assert_array_equal(back["1.weight"].numpy(), net[0].weight.detach().numpy())


def test_mint_keeps_the_names_of_pytorch():
    net = nn.Sequential(nn.BatchNorm2d(4))
    weights, report = map_names(net, target="mint").to_mindspore(net.state_dict())
    assert list(weights) == list(net.state_dict())
    assert not report.renamed


def test_bfloat16_weights_keep_their_type():
    net = nn.Sequential(nn.LayerNorm(4)).bfloat16()
    weights, _ = map_names(net).to_mindspore(net.state_dict())
    assert weights["0.gamma"].dtype.name == "bfloat16"


def test_all_problems_are_listed_at_once():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    weights, _ = map_names(net).to_mindspore(net.state_dict())
    del weights["1.gamma"]
    weights["0.weight"] = weights["0.bias"]
    with pytest.raises(MatchError, match=r"0\.weight has shape \(2,\), expected \(2, 3\); 1\.gamma .* is missing"):
        map_names(net).to_torch(weights)


def test_wrong_arguments():
    with pytest.raises(WrongTypeError, match="PyTorch network"):
        map_names({"a": 1})
    with pytest.raises(UsageError, match="target"):
        map_names(nn.Linear(1, 1), target="paddle")
    with pytest.raises(UsageError, match="no parameter"):
        map_names(nn.Linear(1, 1)).mindspore_name("x")
