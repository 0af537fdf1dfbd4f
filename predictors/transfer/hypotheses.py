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
    """The linear predictor of each proxy, with weights of features that the rows adapt."""
    return [h for base, weights in enumerate(prior.linear) for h in _adapted(base, weights)]


def of_nobody(prior: CostPrior) -> list[Hypothesis]:
    """A line near no proxy's: features weigh as much as they usually do."""
    return _adapted(None, np.sqrt((prior.linear**2).mean(axis=0)))


def of_proxies_alone(n_blocks: int) -> list[Hypothesis]:
    """The proxies' costs, weighed as the rows ask; the blocks of features say nothing."""
    nothing = np.full(2 * n_blocks, NOTHING)
    return [
        Hypothesis(np.array([ALONE_SLOPE, mix, *nothing, 0.0, noise]), 0.0)
        for mix in np.log(ALONE_MIX)
        for noise in np.log(LINE_NOISE)
    ]


def _adapted(base: int | None, weights: Floats) -> list[Hypothesis]:
    return [
        Hypothesis.line(base, weights, share, noise)
        for share in LINE_SHARES
        for noise in LINE_NOISE
    ]


def _sizes(theta: Floats) -> Floats:
    """1 for the log variances of deviations, 0 for length and noise."""
    return np.array([1.0] * (len(theta) - 2) + [0.0, 0.0])


def _noisier(theta: Floats, factor: float) -> Floats:
    return np.append(theta[:-1], theta[-1] + np.log(factor))
