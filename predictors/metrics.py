"""How good predictions are: relative error and rank correlation, within DVFS levels.

Ranks are never pooled over levels: the clock alone orders those rows, which flatters any model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, spearmanr

from search_spaces import Floats, InputError, Ints


def _beside(y: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    """Both as floats; InputError unless they are alike: a row beside a column makes all pairs."""
    y, predicted = np.asarray(y, dtype=float), np.asarray(predicted, dtype=float)
    if y.shape != predicted.shape or not y.size:
        raise InputError(
            "measured and predicted values must be one or more, (n,) alike, got "
            f"{y.shape} and {predicted.shape}"
        )
    return y, predicted


def mape_pct(y: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error of `predicted`, in percent of `y` (n,)."""
    y, predicted = _beside(y, predicted)
    return float(100 * np.mean(np.abs(predicted / y - 1)))


def srcc(y: ArrayLike, predicted: ArrayLike) -> float:
    """Spearman rank correlation of (n,) values; NaN where either side is constant."""
    y, predicted = _beside(y, predicted)
    if np.ptp(y) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(spearmanr(y, predicted).statistic)


def kendall_tau(y: ArrayLike, predicted: ArrayLike) -> float:
    """Kendall's tau-b of (n,) values; NaN where either side is constant."""
    y, predicted = _beside(y, predicted)
    if np.ptp(y) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(kendalltau(y, predicted).statistic)


def srcc_within(y: ArrayLike, predicted: ArrayLike, groups: ArrayLike) -> float:
    """Mean over `groups` (n,), the DVFS levels, of the rank correlation within each.

    A group counts by its rows less one, for a group of two says little. Groups in which `y` or
    `predicted` does not vary say nothing and are left out; NaN if all are.
    """
    correlations = _weighted_srcc(y, predicted, groups, np.ones((1, len(np.asarray(y)))))[0]
    known = np.isfinite(correlations)
    weights = _group_weights(groups)[known]
    return float(np.average(correlations[known], weights=weights)) if known.any() else float("nan")


def srcc_within_interval(
    y: ArrayLike,
    predicted: ArrayLike,
    groups: ArrayLike,
    subnets: ArrayLike,
    *,
    n_resamples: int = 1000,
    confidence: float = 0.9,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `srcc_within` over `subnets` (n,), each with all its rows.

    Groups that `srcc_within` leaves out are left out; then resamples in which a remaining group
    does not vary are skipped. NaN if nothing is left.
    """
    unique, subnet = np.unique(np.asarray(subnets), return_inverse=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=n_resamples)
    weights = np.concatenate([np.ones((1, len(subnet))), draws[:, subnet]])
    correlations = _weighted_srcc(y, predicted, groups, weights)
    known = np.isfinite(correlations[0])  # the first row is the sample itself
    if not known.any():
        return float("nan"), float("nan")
    means = np.average(correlations[1:, known], axis=1, weights=_group_weights(groups)[known])
    means = means[np.isfinite(means)]
    if not len(means):
        return float("nan"), float("nan")
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def _group_weights(groups: ArrayLike) -> Ints:
    """Rows less one of each group, as `_weighted_srcc` orders them."""
    counts: Ints = np.unique(np.asarray(groups), return_counts=True)[1] - 1
    return counts


def _weighted_srcc(
    y: ArrayLike, predicted: ArrayLike, groups: ArrayLike, weights: Ints | Floats
) -> Floats:
    """Rank correlation `(resamples, groups)` when row i occurs `weights[:, i]` times."""
    y, predicted = _beside(y, predicted)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if group.shape != y.shape:
        raise InputError(f"`groups` must be {y.shape} as `y` is, got {group.shape}")
    columns = []
    for g in range(len(names)):
        row, w = group == g, weights[:, group == g].astype(float)
        columns.append(
            _weighted_correlation(_mid_ranks(y[row], w), _mid_ranks(predicted[row], w), w)
        )
    return np.stack(columns, axis=1)


def _mid_ranks(values: Floats, weights: Floats) -> Floats:
    """Mid-ranks `(resamples, n)`, up to a constant, of values that occur `weights` times."""
    _, first, tie = np.unique(np.sort(values), return_index=True, return_inverse=True)
    order = np.argsort(values)
    equal = np.add.reduceat(weights[:, order], first, axis=1)
    ranks = np.empty_like(weights)
    ranks[:, order] = (np.cumsum(equal, axis=1) - equal / 2)[:, tie]
    return ranks


def _weighted_correlation(a: Floats, b: Floats, weights: Floats) -> Floats:
    """Pearson correlation of each row of `a` and `b` (resamples, n); NaN where one is constant."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    a = a - (weights * a).sum(axis=1, keepdims=True) / total
    b = b - (weights * b).sum(axis=1, keepdims=True) / total
    aa, bb, ab = ((weights * x).sum(axis=1) for x in (a * a, b * b, a * b))
    varies = (aa > 1e-9) & (bb > 1e-9)  # ranks differ by halves; anything less is rounding
    return np.where(varies, ab / np.sqrt(np.where(varies, aa * bb, 1)), np.nan)
