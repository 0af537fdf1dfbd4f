"""What a target may be like: like all proxies, one of them, its line, or like nobody."""

from __future__ import annotations

import numpy as np

from predictors.transfer.posterior import Hypothesis
from predictors.transfer.prior import CostPrior
from search_spaces import Floats

NOISE_FACTORS = (1.0, 5.0, 25.0)  # devices whose measurements are noisier than the proxies'
TWIN_FACTORS = (0.05, 0.3)  # of the usual variances: how far a twin is from its proxy
LINE_SHARES = (0.03, 0.3, 3.0)  # variances of feature weights, of their square
LINE_NOISE = (1e-4, 1e-3, 1e-2)  # variances of log costs around a line
LINE_SCALES = (1.0, 0.5, 0.25)  # of log costs: where starting kernels takes long, all cost alike
ALONE_SLOPE, ALONE_MIX = np.log(0.1), (0.01, 0.1, 1.0, 10.0)  # of proxies without features
NOTHING = -30.0  # log variance


def of_costs(prior: CostPrior, *, twins: bool) -> list[Hypothesis]:
    """All proxies together, each as it was seen, and with `twins` the twin of each.

    Each kind is as likely as the others, whatever its number.
    """
    together, *each = prior.candidates
    found = [
        Hypothesis(_noisier(theta, factor), -np.log(len(kind)))
        for kind in ([together], each)
        for theta in kind
        for factor in NOISE_FACTORS
    ]
    n_proxies = len(prior.proxy_columns)
    if twins and n_proxies > 1:
        log_prior = -np.log(n_proxies * len(TWIN_FACTORS))
        found += [
            Hypothesis(
                _noisier(together + np.log(factor) * _sizes(together), noise), log_prior, base
            )
            for base in range(n_proxies)
            for factor in TWIN_FACTORS
            for noise in NOISE_FACTORS[:2]
        ]
    return found


def of_lines(prior: CostPrior) -> list[Hypothesis]:
    """The linear predictors of each proxy, as they are and flatter; half as flat, half as likely.

    Their weights of features deviate as they usually do; `around` has what the rows choose from.
    """
    return [
        Hypothesis.line(base, weights, LINE_SHARES[1], LINE_NOISE[1], scale)
        for predictors in prior.linear
        for base, weights in enumerate(predictors)
        for scale in LINE_SCALES
    ]


def around(h: Hypothesis) -> list[Hypothesis]:
    """A line whose weights of features deviate less and more, with less and more noise."""
    assert h.weights is not None
    return [
        Hypothesis.line(h.base, h.weights, share, noise, h.scale)
        for share in LINE_SHARES
        for noise in LINE_NOISE
    ]


def of_nobody(prior: CostPrior) -> Hypothesis:
    """A line near no proxy's: features weigh as much as they usually do."""
    usual = np.sqrt((prior.linear[-1] ** 2).mean(axis=0))
    return Hypothesis.line(None, usual, LINE_SHARES[1], LINE_NOISE[1])


def of_proxies_alone(n_blocks: int) -> list[Hypothesis]:
    """The proxies' costs, weighed as the rows ask; the blocks of features say nothing."""
    nothing = np.full(2 * n_blocks, NOTHING)
    return [
        Hypothesis(np.array([ALONE_SLOPE, mix, *nothing, 0.0, noise]), 0.0)
        for mix in np.log(ALONE_MIX)
        for noise in np.log(LINE_NOISE)
    ]


def _sizes(theta: Floats) -> Floats:
    """1 for the log variances of deviations, 0 for length and noise."""
    return np.array([1.0] * (len(theta) - 2) + [0.0, 0.0])


def _noisier(theta: Floats, factor: float) -> Floats:
    return np.append(theta[:-1], theta[-1] + np.log(factor))
