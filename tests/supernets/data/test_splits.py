"""Held-out images by class, and an order of training that evens the classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from supernets.data import HELD_OUT, Split, epoch_order, imbalance, stratified
from tests.supernets.tiny import digits

counts = st.lists(st.integers(1, 60), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)


@given(counts=counts, n_parts=st.integers(0, 2), seed=seeds)
def test_a_stratified_split_is_disjoint_complete_and_by_class(
    counts: list[int], n_parts: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(seed).permutation(labels)
    parts = stratified(labels, n_parts, np.random.default_rng(seed))
    assert len(parts) == n_parts + 1
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for label, n in enumerate(counts):
        *held, kept = [int((labels[part] == label).sum()) for part in parts]
        assert kept >= 1
        assert all(h >= 1 for h in held) or n <= n_parts
        assert held == sorted(held, reverse=True)
        assert all(abs(h - HELD_OUT * n) <= 1 for h in held)


def unbalanced() -> tuple[np.ndarray, object]:
    labels = np.repeat([0, 1, 2], [100, 30, 2])
    train = Split(digits().train.images[: len(labels)], torch.from_numpy(labels))
    return labels, replace(digits(), train=train, class_names=("a", "b", "c"))


@given(seed=seeds)
def test_a_balanced_epoch_draws_every_class_equally_often(seed: int) -> None:
    labels, data = unbalanced()
    order = epoch_order(data, np.random.default_rng(seed), balance=True)
    assert np.bincount(labels[order]).tolist() == [44, 44, 44]
    times = np.bincount(order, minlength=len(labels))
    assert times[labels == 0].max() == 1
    assert set(times[labels == 1]) == {1, 2}
    assert set(times[labels == 2]) == {22}


def test_a_class_without_images_is_not_drawn() -> None:
    labels, data = unbalanced()
    rows = np.flatnonzero(labels != 1)
    some = replace(data, train=Split(data.train.images[rows], data.train.labels[rows]))
    order = epoch_order(some, np.random.default_rng(0), balance=True)
    drawn = np.bincount(some.train.labels[order], minlength=data.n_classes)
    assert drawn[1] == 0
    assert np.ptp(np.delete(drawn, 1)) <= 1


def test_without_balance_an_epoch_is_a_permutation() -> None:
    _, data = unbalanced()
    order = epoch_order(data, np.random.default_rng(5))
    np.testing.assert_array_equal(order, np.random.default_rng(5).permutation(132))


def test_imbalance_is_the_ratio_of_the_ends() -> None:
    assert imbalance([30, 10, 20]) == 3
    assert imbalance(digits().counts("train")) == pytest.approx(1.2, abs=0.05)


def test_resized_images_keep_labels_and_constants() -> None:
    data = digits().resized(16)
    assert data.resolution == 16
    assert data.train.images.dtype == torch.uint8
    assert data.mean == digits().mean
    small = digits().train.images.float().mean(dim=(1, 2, 3))
    large = data.train.images.float().mean(dim=(1, 2, 3))
    assert (small - large).abs().max() < 8
