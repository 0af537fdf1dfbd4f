"""Hypotheses weighed by what they say of the rows, and two ways of predicting mixed into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import logsumexp

from predictors.transfer.posterior import OUTLIER, Design, Link, Posterior
from search_spaces import Floats

LEAST_WEIGHT = 0.01  # of a hypothesis that takes part in predictions
DOUBT = 10.0  # rows that "both count alike" is worth


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


def stacked(a: Mixture, b: Mixture, groups: Floats | None) -> Mixture:
    """Both, with the shares that predict left-out rows best (stacking, Wolpert, 1992).

    Evidence cannot choose between them: it compares what was assumed, and few rows make a wrong
    assumption certain. Shares are drawn to a half as by `DOUBT` rows.
    """
    errors = np.array([a.left_out(groups), b.left_out(groups)])
    usual = np.median(np.abs(errors))
    e, f = np.clip(errors, -OUTLIER * usual, OUTLIER * usual)
    noise = max(min(float(np.mean(e**2)), float(np.mean(f**2))), np.finfo(float).tiny)
    gain = float(f @ (f - e)) / noise + DOUBT
    share = float(np.clip(gain / (float((f - e) @ (f - e)) / noise + 2 * DOUBT), 0, 1))
    weights = np.concatenate([share * a.weights, (1 - share) * b.weights])
    return Mixture((*a.posteriors, *b.posteriors), weights)
