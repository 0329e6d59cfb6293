"""Real data: scikit-learn's 1,797 handwritten digits, as images of 32×32 pixels.

The images come with scikit-learn (8×8 pixels, 17 grey levels; the test part of the UCI "Optical Recognition of
Handwritten Digits" data), so nothing is downloaded.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 10
IMAGE_SIZE = 32
TEST_IMAGES = 360


def load(channels: int = 1) -> tuple[TensorDataset, TensorDataset]:
    """Return the training set (1,437 images) and the test set (360 images); the split is always the same.

    Each item is an image `(channels, 32, 32)`, float32 with mean 0 and variance 1 over the training set, and its label,
    an int64 from 0 to 9. Both sets hold the classes in equal proportions. More channels repeat the grey values.
    """
    digits = load_digits()
    train, test = train_test_split(
        range(len(digits.target)), test_size=TEST_IMAGES, stratify=digits.target, random_state=0
    )
    images = torch.from_numpy(digits.images).to(torch.float32).unsqueeze(1)
    images = interpolate(images, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
    images = (images - images[train].mean()) / images[train].std()
    images = images.repeat(1, channels, 1, 1)
    labels = torch.from_numpy(digits.target).to(torch.int64)
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])


def batches(dataset: TensorDataset, batch_size: int = 32, seed: int = 0) -> DataLoader:
    """Return a loader that shuffles with a generator of its own, so that `seed` alone decides the order."""
    return DataLoader(dataset, batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed))
