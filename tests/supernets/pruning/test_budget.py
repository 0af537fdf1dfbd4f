"""Counts of channels: below each share, close to it, nested, in whole vectors where they can be."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import InputError, Ints, resnet_cifar
from supernets.pruning.budget import check_shares, fit_counts

BASE = resnet_cifar()
FULL = np.array([16, 56, 128, 256, 16, 16, 56, 56, 128, 128, 256, 256])
SHARES = (1.0, 0.7, 0.5, 0.35, 0.2, 0.045)


def macs(counts: Ints) -> float:
    return float(BASE.macs(counts[:4], counts[4:]))


def fitted(seed: int) -> Ints:
    rng = np.random.default_rng(seed)
    scores = [np.sort(rng.random(n))[::-1] for n in FULL]
    thresholds = np.cumsum(rng.random((len(SHARES), len(FULL))) * 0.3, axis=0)
    margins = [[s - t for s, t in zip(scores, row, strict=True)] for row in thresholds]
    return fit_counts(margins, SHARES, macs)


@settings(max_examples=8)
@given(st.integers(0, 2**31))
def test_every_ratio_is_reached_within_half_a_point(seed: int) -> None:
    counts = fitted(seed)
    reached = np.array([macs(row) for row in counts]) / macs(FULL)
    assert (reached <= np.array(SHARES)).all()
    np.testing.assert_allclose(reached, SHARES, atol=0.005)
    assert (np.diff(counts, axis=0) <= 0).all()
    assert counts.min() >= 1
    assert counts[0].tolist() == FULL.tolist()


def test_the_whole_network_keeps_channels_that_fill_no_vector() -> None:
    full = np.array([18, 36, 12])
    kept = fit_counts([[np.full(n, np.inf) for n in full]], (1,), lambda n: n[0] + 1000 * n[1])
    assert kept.tolist() == [full.tolist()]


def test_most_counts_are_multiples() -> None:
    counts = np.concatenate([fitted(seed)[:-1] for seed in range(5)])
    vector = np.where(FULL >= 32, 8, 4)
    assert (counts % vector == 0).mean() > 0.9


def test_shares_that_cannot_be_are_refused_by_name() -> None:
    groups = {"stem_norm": 16, "stages.1.0.norm1": 56}
    check_shares((1, 0.5, 0.01), groups)
    for shares, words in {
        (): "`ratios` must be above 0 and at most 1, got none",
        (1.0, 0.0): "`ratios` must be above 0 and at most 1, got 1, 0",
        (1.2, 0.5): "must be above 0",
        (1.0, 0.5, 0.5): "`ratios` has 0.5 twice; give every ratio once",
        (1.0, 0.2, 0.5): "`ratios` must fall, got 1, 0.2, 0.5",
        (1.0, 0.003): "`ratios`: 0.003 removes the layer stem_norm of 16 channels; the smallest",
    }.items():
        with pytest.raises(InputError, match=re.escape(words)):
            check_shares(shares, groups)
