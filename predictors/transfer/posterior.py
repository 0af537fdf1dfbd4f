"""What a target's rows say under one hypothesis of how the target relates to the proxies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from predictors.kernel import squared_distance
from predictors.transfer.learning import Game, most_likely
from predictors.transfer.prior import FREEDOM, OFFSET, Rows, covariance, log_likelihood, parts
from search_spaces import Floats

OUTLIER = 5.0  # standard deviations from what the other rows say, and
WRONG = 1.0  # log units, a factor of 2.7: less is no mistake but a device unlike the proxies
LINE_SLOPE = 0.1  # variance of the slope on a proxy's linear predictor
CLOCK_VARIANCE = (0.25, 0.04)  # of the elasticity in a clock around -1/2, and of what bends it


@dataclass(frozen=True)
class Hypothesis:
    """The target is like `base`, up to deviations of the sizes that `theta` says.

    With `weights` it is like the linear predictor of `base` instead of its costs, and its weight of
    a feature deviates in proportion to that of the base (AdaProxy, Lu et al., 2022). With `weights`
    and no base it is like nobody: a feature weighs as much as it usually does, in either direction.
    """

    theta: Floats  # log variances, as in `CostPrior.candidates`; with `weights` see `line`
    log_prior: float
    base: int | None = None  # a proxy whose twin the target is; None: the mean of all proxies
    weights: Floats | None = None  # (m,) of `Rows.features`
    scale: float = 1.0  # of the target's log costs, in those of what it is like

    @classmethod
    def line(
        cls, base: int | None, weights: Floats, share: float, noise: float, scale: float = 1.0
    ) -> Self:
        """Feature weights deviate by the variance `share` of their square; all is times `scale`."""
        theta = np.log([LINE_SLOPE, share, 1.0, noise])  # there is no smooth part: length unused
        return cls(theta + 2 * np.log(scale), np.log(scale), base, weights, scale)

    def centre(self, rows: Rows) -> Floats:
        """(n,) log cost on what the target is like."""
        if self.weights is not None:
            known = 0.0 if self.base is None else 1.0
            centre: Floats = known * rows.features @ self.weights
            return centre
        return rows.mean if self.base is None else rows.z[:, self.base]

    def others(self, rows: Rows) -> tuple[Floats, ...]:
        """Beside the centre, what enters linearly: each part (n, any) has one variance."""
        if self.weights is not None:
            return (rows.features * self.weights,)
        return (rows.mix, *rows.blocks)


@dataclass(frozen=True)
class Design:
    """Rows as hypotheses see them."""

    rows: Rows
    logs: Floats  # (n, clocks) log clocks, centred on the fitted rows'
    groups: Floats | None  # (n,) subnets, where rows name them
    slope: float  # of the log cost in `centre`, before anything was learned
    still: bool  # whether that slope stays as it is

    def mean(self, h: Hypothesis) -> Floats:
        """Log cost without offset: it falls by half a percent per percent of all clocks."""
        clock = -0.5 * self.logs.mean(axis=1) if self.logs.shape[1] else 0.0
        return self.slope * h.scale * h.centre(self.rows) + clock

    def noise_share(self) -> float:
        """Of what stays unexplained; the other half belongs to the subnet, where it is known."""
        return 1.0 if self.groups is None else 0.5

    def variance(self, h: Hypothesis) -> Floats:
        """(n,) of the rows, with measurement noise."""
        scales, others = np.exp(h.theta), h.others(self.rows)
        n = 1 + len(others)
        squares = [h.centre(self.rows) ** 2, *((b**2).sum(axis=1) for b in others)]
        own: Floats = OFFSET + sum(v * s for v, s in zip(scales[:n], squares, strict=True))
        if self.logs.shape[1]:
            own = own + CLOCK_VARIANCE[0] * (self.logs**2).sum(axis=1) + CLOCK_VARIANCE[1]
        variance: Floats = own + scales[n:-2].sum() + scales[-1]
        return variance


class Link:
    """Covariance between the rows of two designs, in the parts that hypotheses weigh."""

    def __init__(self, a: Design, b: Design) -> None:
        self.a, self.b = a, b
        self.linear, self.distances = parts(a.rows, b.rows)
        if a.still:
            self.linear[-1] = self.distances[-1] = 0
        self._line: tuple[Floats, Floats] | None = None  # the last weights, products with them
        self.clock = np.zeros(())
        if a.logs.shape[1]:
            bend = CLOCK_VARIANCE[1] * np.exp(-squared_distance(a.logs, b.logs))
            self.clock = CLOCK_VARIANCE[0] * a.logs @ b.logs.T + bend
        self.same = np.zeros(())
        if a.groups is not None and b.groups is not None:
            self.same = (a.groups[:, None] == b.groups).astype(float)

    def linear_of(self, h: Hypothesis) -> Floats:
        """`linear` with the products of what the target is like."""
        if self._line and self._line[0] is h.weights:
            return self._line[1]
        centre = np.outer(h.centre(self.a.rows), h.centre(self.b.rows)) * (not self.a.still)
        if h.weights is None:
            return np.concatenate([centre[None], self.linear[1:]])
        ((a,), (b,)) = h.others(self.a.rows), h.others(self.b.rows)
        products = np.array([centre, a @ b.T])
        self._line = (h.weights, products)
        return products

    def covariance(self, h: Hypothesis) -> Floats:
        """(n, m), without what each row has of its own."""
        shared = (1 - self.a.noise_share()) * np.exp(h.theta[-1]) * self.same
        smooth = self.distances if h.weights is None else self.distances[:0]
        total: Floats = covariance(h.theta, self.linear_of(h), smooth) + self.clock + shared
        return total


@dataclass(frozen=True)
class Posterior:
    """A hypothesis after the rows were seen."""

    hypothesis: Hypothesis
    offset: float
    alpha: Floats  # (k,) covariance^-1 residuals
    factor: tuple[Floats, bool]
    extra: Floats  # (k,) noise variance of rows that the others rule out
    amplitude: float
    log_evidence: float

    @classmethod
    def of(cls, h: Hypothesis, design: Design, link: Link, log_y: Floats) -> Self:
        """Of `design`, whose rows cost `log_y` (k,); `link` is of the design with itself."""
        r = log_y - design.mean(h)
        offset = float(np.median(r))
        r = r - offset
        K, noise = link.covariance(h), design.noise_share() * np.exp(h.theta[-1])
        spread = _robust_noise(K, r, noise)
        total = K + np.diag(spread)
        factor = cho_factor(total, lower=True)
        alpha = cho_solve(factor, r)
        square = float(r @ alpha)
        amplitude = (FREEDOM + square) / (FREEDOM + len(r))
        evidence = h.log_prior + log_likelihood(factor[0], square)
        return cls(h, offset, alpha, factor, spread - noise, amplitude, evidence)

    def refined(self, design: Design, link: Link, log_y: Floats) -> Hypothesis:
        """The hypothesis with the log variances, near its own, that explain the rows best."""
        h, share = self.hypothesis, design.noise_share()
        noise = share * np.eye(len(log_y)) + (1 - share) * link.same
        fixed = link.clock + np.diag(self.extra)
        r = log_y - design.mean(h) - self.offset
        game = Game(link.linear_of(h), link.distances, r, noise, fixed)
        return Hypothesis(most_likely([game], h.theta), h.log_prior, h.base)

    def mean(self, design: Design, link: Link) -> Floats:
        """(m,) expected log cost of `design`, which `link` ties to the fitted rows."""
        h = self.hypothesis
        return self.offset + design.mean(h) + link.covariance(h).T @ self.alpha

    def left_out(self, groups: Floats | None) -> Floats:
        """(k,) residuals of the fitted rows, each predicted without its group, or itself alone."""
        inverse = cho_solve(self.factor, np.eye(len(self.alpha)))
        if groups is None:
            alone: Floats = self.alpha / np.diag(inverse)
            return alone
        residuals = np.empty(len(groups))
        for group in np.unique(groups):
            own = np.flatnonzero(groups == group)
            residuals[own] = np.linalg.solve(inverse[np.ix_(own, own)], self.alpha[own])
        return residuals

    def variance(self, design: Design, link: Link) -> Floats:
        """(m,) of a measured log cost."""
        C = link.covariance(self.hypothesis)
        left = design.variance(self.hypothesis) - (C * cho_solve(self.factor, C)).sum(axis=0)
        variance: Floats = self.amplitude * np.maximum(left, np.exp(self.hypothesis.theta[-1]))
        return variance


def _robust_noise(K: Floats, r: Floats, noise: float) -> Floats:
    """Noise variance of every row: `noise`, or more where the other rows rule a row out.

    One row after the other, the one furthest out first, at most a fifth of all.
    """
    spread = np.full(len(r), noise)
    for _ in range(max(1, len(r) // 5)):
        inverse = np.linalg.inv(K + np.diag(spread))
        left_out = (inverse @ r) / np.diag(inverse)  # residual of each row without itself
        far = left_out**2 * np.diag(inverse)
        worst = int(far.argmax())
        if far[worst] < OUTLIER**2 or abs(left_out[worst]) < WRONG:
            break
        spread[worst] += left_out[worst] ** 2
    return spread
