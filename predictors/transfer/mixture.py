"""Hypotheses weighed by what they say of the rows, and ways of predicting mixed into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import nnls
from scipy.special import logsumexp

from predictors.transfer.hypotheses import of_proxies_alone
from predictors.transfer.posterior import OUTLIER, Design, Link, Posterior
from search_spaces import Floats

LEAST_WEIGHT = 0.01  # of a hypothesis that takes part in predictions
DOUBT, SURE = 10.0, 1e4  # rows that usual shares are worth; weight of a sum of 1


@dataclass(frozen=True)
class Mixture:
    """Posteriors that count, and how much each does."""

    posteriors: tuple[Posterior, ...]
    weights: Floats  # (posteriors,), sum 1

    @classmethod
    def of(cls, seen: Sequence[Posterior]) -> Self:
        """Weighed by evidence."""
        evidence = np.array([p.log_evidence for p in seen])
        weights = np.exp(evidence - logsumexp(evidence))
        kept = weights >= min(LEAST_WEIGHT, weights.max())
        posteriors = tuple(p for p, keep in zip(seen, kept, strict=True) if keep)
        return cls(posteriors, weights[kept] / weights[kept].sum())

    def mean(self, design: Design, link: Link) -> Floats:
        """(m,) expected log cost of `design`, which `link` ties to the fitted rows."""
        mean: Floats = self.weights @ np.array([p.mean(design, link) for p in self.posteriors])
        return mean

    def belief(self, design: Design, link: Link) -> tuple[Floats, Floats]:
        """(m,) expected log cost, and the standard deviation of a measured one."""
        means = np.array([p.mean(design, link) for p in self.posteriors])
        variances = np.array([p.variance(design, link) for p in self.posteriors])
        mean = self.weights @ means
        return mean, np.sqrt(self.weights @ (variances + (means - mean) ** 2))

    def left_out(self, groups: Floats | None) -> Floats:
        """(k,) residuals of the fitted rows, each predicted without its group."""
        residuals = [p.left_out(groups) for p in self.posteriors]
        left_out: Floats = self.weights @ np.array(residuals)
        return left_out


def proxies_alone(design: Design, log_y: Floats) -> Mixture:
    """What the proxies' costs say of rows that cost `log_y` (k,); features say nothing."""
    link = Link(design, design)
    hypotheses = of_proxies_alone(len(design.rows.blocks))
    return Mixture.of([Posterior.of(h, design, link, log_y) for h in hypotheses])


def stacked(parts: Sequence[Mixture], shares: Floats) -> Mixture:
    """All `parts`, each with its share (parts,) of the weights."""
    weights = [share * part.weights for share, part in zip(shares, parts, strict=True)]
    return Mixture(tuple(p for part in parts for p in part.posteriors), np.concatenate(weights))


def shares_of(
    left_out: Sequence[Floats],
    usual: Sequence[float],
    groups: Floats | None,
    *,
    doubt: float = DOUBT,
) -> Floats:
    """(parts,) shares that predict left-out rows best (stacking, Wolpert, 1992), sum 1.

    `left_out` are the residuals (k,) of every part, each row predicted without its group. Evidence
    cannot choose between them: it compares what was assumed, and few rows make a wrong
    assumption certain. Shares are drawn to the `usual` ones as by `doubt` rows.
    """
    errors = np.array(left_out)
    if groups is not None:  # rows of one subnet are one row
        own = [errors[:, groups == name].mean(axis=1) for name in np.unique(groups)]
        errors = np.array(own).T
    far = OUTLIER * np.median(np.abs(errors))
    errors = np.clip(errors, -far, far)
    noise = max(float(np.mean(errors**2, axis=1).min()), np.finfo(float).tiny)
    # at least 0 and of sum 1, the last as a row that weighs more than all others
    one = np.full(len(errors), SURE)
    rows = [errors.T / np.sqrt(noise), np.sqrt(doubt) * np.eye(len(errors)), one]
    wanted = [np.zeros(errors.shape[1]), np.sqrt(doubt) * np.array(usual), [SURE]]
    shares: Floats = nnls(np.vstack(rows), np.concatenate(wanted))[0]
    total: Floats = shares / shares.sum()
    return total
