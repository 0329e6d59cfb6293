"""The digits: real images, one fixed split, and an order that the seed alone decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import digits


def test_sizes_types_and_normalisation() -> None:
    train, test = digits.load()
    images, labels = train.tensors
    assert images.shape == (1437, 1, 32, 32)
    assert test.tensors[0].shape == (360, 1, 32, 32)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert abs(float(images.mean())) < 1e-4
    assert float(images.std()) == pytest.approx(1.0, abs=1e-4)


def test_classes_are_in_equal_proportions() -> None:
    train, test = digits.load()
    counts = torch.bincount(test.tensors[1], minlength=10)
    assert counts.tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    share = torch.bincount(train.tensors[1]) / len(train)
    assert torch.allclose(share, counts / len(test), atol=0.002)


def test_images_are_the_real_ones_and_none_is_in_both_sets() -> None:
    train, test = digits.load()
    images = torch.cat([train.tensors[0], test.tensors[0]])
    labels = torch.cat([train.tensors[1], test.tensors[1]])
    # averaging 4×4 pixels undoes the upsampling well enough to find the original
    small = torch.nn.functional.avg_pool2d(images, 4).reshape(1797, 64)
    bunch = load_digits()
    real = torch.from_numpy(bunch.data).float()
    real = (real - real.mean()) / real.std()
    nearest = torch.cdist(small - small.mean(), real).argmin(1)
    assert len(set(nearest.tolist())) > 1700
    assert float((torch.from_numpy(bunch.target)[nearest] == labels).float().mean()) > 0.99
    assert len(np.unique(images.reshape(1797, -1).numpy(), axis=0)) == 1797


def test_channels_repeat_the_grey_values() -> None:
    (grey, _), (colour, _) = digits.load()[1].tensors, digits.load(channels=3)[1].tensors
    assert colour.shape == (360, 3, 32, 32)
    assert torch.equal(colour, grey.expand(-1, 3, -1, -1))


def test_the_seed_decides_the_order_and_epochs_differ() -> None:
    train, _ = digits.load()
    first, again, other = (digits.batches(train, seed=s) for s in (7, 7, 8))
    epochs = [torch.cat([labels for _, labels in first]) for _ in range(2)]
    assert len(first) == 45
    assert torch.equal(epochs[0], torch.cat([labels for _, labels in again]))
    assert not torch.equal(epochs[0], torch.cat([labels for _, labels in other]))
    assert not torch.equal(*epochs)
