"""The position in the data: the same batches come again, whatever made their order."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from mindport.adapters.torch_data import DataPosition, batch_count, fingerprint
from mindport.errors import StateMismatch, UsageError, WrongTypeError
from train.worlds import BATCHES, Stateful, images, loader, seed


def listed(batches: Any) -> list[Any]:
    return [[part.tolist() for part in batch] for batch in batches]


@pytest.mark.parametrize("kind", ["shuffle", "noisy", "generator", "weighted", "stateful", "list"])
@pytest.mark.parametrize("taken", [1, BATCHES - 1, BATCHES])
def test_the_rest_of_the_epoch_and_the_next_one_come_again(kind: str, taken: int) -> None:
    seed(1)
    position = DataPosition(loader(kind))
    listed(position.epoch(1))
    batches = position.epoch(2)
    for _ in range(taken):
        next(batches)
    torch.rand(3)  # training draws random numbers too
    state = position.state()
    rest = listed(batches), listed(position.epoch(3)), random.random()
    seed(99)
    again = DataPosition(loader(kind))
    assert again.problems(state) == []
    again.load(state)
    assert (listed(again.epoch(2)), listed(again.epoch(3)), random.random()) == rest
    assert again.consumed == BATCHES


def test_consumed_counts_from_the_start_of_the_epoch() -> None:
    position = DataPosition([1, 2, 3])
    batches = position.epoch(1)
    next(batches)
    next(batches)
    state = position.state()
    again = DataPosition([1, 2, 3])
    again.load(state)
    assert [(batch, again.consumed) for batch in again.epoch(1)] == [(3, 3)]


@pytest.mark.parametrize("where", ["sampler", "batch_sampler"])
def test_set_epoch_is_honoured(where: str) -> None:
    sampler = DistributedSampler(images(), num_replicas=2, rank=1, seed=3)
    if where == "sampler":
        data: Any = DataLoader(images(), batch_size=3, sampler=sampler)
    else:
        data = DataLoader(images(), batch_sampler=BatchSampler(sampler, 3, False))
    position = DataPosition(data)
    epochs = [listed(position.epoch(i)) for i in (1, 2)]
    assert epochs[0] != epochs[1]
    assert sampler.epoch == 1
    sampler.set_epoch(0)
    assert listed(data) == epochs[0]


def test_generators_of_loader_and_sampler_are_found_once() -> None:
    one, two = torch.Generator(), torch.Generator()
    sampler = RandomSampler(images(), generator=two)
    assert DataPosition(DataLoader(images(), sampler=sampler, generator=one)).generators() == {
        "loader": one,
        "sampler": two,
    }
    assert list(DataPosition(DataLoader(images(), shuffle=True, generator=one)).generators()) == ["loader"]
    assert DataPosition([1]).generators() == {}


def test_a_shorter_dataset_is_a_problem_before_and_an_error_after() -> None:
    position = DataPosition([1, 2, 3])
    list(position.epoch(1))
    state = position.state()
    assert (
        "an epoch had 3 batches when the checkpoint was saved, here it has 2" in DataPosition([1, 2]).problems(state)[0]
    )

    class Unsized:
        def __iter__(self) -> Any:
            return iter([1, 2])

    other = DataPosition(Unsized())
    other.load(state)
    with pytest.raises(StateMismatch, match="after 3 batches of its epoch, the dataset has only 2"):
        list(other.epoch(1))


def test_a_loader_of_another_kind_is_a_problem() -> None:
    position = DataPosition([1, 2])
    list(position.epoch(1))
    plain = position.state()
    assert "without a state_dict, here is one with" in DataPosition(Stateful()).problems(plain)[0]
    stateful = DataPosition(Stateful())
    list(stateful.epoch(1))
    assert "with a state_dict, here is one without" in DataPosition([1, 2]).problems(stateful.state())[0]


def test_what_is_no_dataset() -> None:
    with pytest.raises(WrongTypeError, match="iterable"):
        DataPosition(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="iterator"):
        DataPosition(iter([1]))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.ones(2), torch.zeros(2)),
        (torch.ones(2), torch.ones(2, dtype=torch.float64)),
        (torch.ones(2, 1), torch.ones(1, 2)),
        (np.ones(2), np.zeros(2)),
        ([1, "a"], [1, "b"]),
        ({"x": 1.0}, {"x": 2.0}),
        ({"x": 1}, {"y": 1}),
        ((torch.ones(1), {"n": [np.ones(1)]}), (torch.ones(1), {"n": [np.zeros(1)]})),
    ],
)
def test_fingerprints_tell_batches_apart(a: Any, b: Any) -> None:
    assert fingerprint(a) == fingerprint(a)
    assert fingerprint(a) != fingerprint(b)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_batch_that_training_changes_in_place_is_known_as_it_was(kind: str) -> None:
    def batches() -> list[Any]:
        made = [(torch.arange(6.0) - 3 + i, torch.tensor(i)) for i in range(4)]
        return made if kind == "torch" else [tuple(part.numpy() for part in batch) for batch in made]

    position = DataPosition(batches())
    states = []
    for data, _ in position.epoch(1):
        data *= 2  # as ReLU(inplace=True) as the first layer does
        states.append(position.state())
    for state in states:
        again = DataPosition(batches())
        again.load(state)
        list(again.epoch(1))
        assert again.inexact == ""
    # only the first one was changed before anybody knew that this can happen
    assert [bool(state["last"]) for state in states] == [kind == "numpy", True, True, True]
    other = DataPosition([(data + 1, label) for data, label in batches()])
    other.load(states[2])
    list(other.epoch(1))
    assert "batch 3 of the epoch is not the one" in other.inexact


def test_random_numbers_drawn_after_the_state_are_noticed() -> None:
    position = DataPosition([1, 2, 3])
    batches = position.epoch(1)
    next(batches)
    random.random()
    position.state()
    next(batches)
    assert not position.drew
    position.state()
    np.random.rand()
    next(batches)
    assert position.drew


def test_batches_that_no_file_can_hold_have_a_fingerprint() -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.zeros(3)], layout=torch.jagged)
    assert fingerprint(nested) == fingerprint(list(nested.unbind()))
    assert fingerprint(torch.eye(2).to_sparse()) != fingerprint(torch.eye(3).to_sparse())


def test_batch_count() -> None:
    assert batch_count([1, 2]) == 2
    assert batch_count(DataLoader(TensorDataset(torch.zeros(5)), batch_size=2)) == 3
    assert batch_count(x for x in ()) is None

    class Endless:
        def __len__(self) -> int:
            raise NotImplementedError

    assert batch_count(Endless()) is None
