"""The latency of a program at a clock, from its latency on another device.

t = ((e^a h^b / f)^p + (e^c h^d)^p)^(1/p) in ms, with h the proxy's ms and f the clock in GHz: one
term waits for the clock, the other (memory, dispatch) does not, and they overlap. p = 1 adds them,
p = inf takes the larger; fits to clock sweeps of Jetson TX2, Nano and Xavier NX gave 2.1 to 3.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit

Floats = NDArray[np.float64]

# The elasticity of t in h is a weighted mean of b and d: a floor under both leaves no plateau.
MIN_EXPONENT, MAX_EXPONENT = 0.02, 3.0
MAX_P, USUAL_P = 8.0, 2.8
NOISE = 0.03  # log error of a careful measurement; priors count as single rows with this error
OUTLIER = 0.1  # log error from which a row loses weight


@dataclass(frozen=True)
class LatencyLaw:
    """The fitted constants; all arguments broadcast."""

    a: float
    b: float
    c: float
    d: float
    p: float

    def latency_ms(self, h: Floats, f_ghz: Floats) -> Floats:
        clocked, free = self._terms(np.log(h), np.log(f_ghz))
        return np.exp(np.logaddexp(self.p * clocked, self.p * free) / self.p)

    def clocked_share(self, h: Floats, f_ghz: Floats) -> Floats:
        """How far the clock decides, in [0, 1]: minus the elasticity of t in f."""
        clocked, free = self._terms(np.log(h), np.log(f_ghz))
        return expit(self.p * (clocked - free))

    def _terms(self, log_h: Floats, log_f: Floats) -> tuple[Floats, Floats]:
        return self.a + self.b * log_h - log_f, self.c + self.d * log_h


def fit_latency_law(h: Floats, f_ghz: Floats, latency_ms: Floats) -> LatencyLaw:
    """Robust fit on log residuals; `h`, `f_ghz`, `latency_ms` are (n,), all positive.

    Weak priors (b and d near 1, p near 2.8, terms of similar size at the mean clock) decide only
    what the rows leave open, for example the share of the clock when all rows have one level.
    """
    x, log_f, log_t = np.log(h), np.log(f_ghz), np.log(latency_ms)
    x_mean, f_mean, t_mean = x.mean(), log_f.mean(), log_t.mean()
    centred = (x - x_mean, log_f - f_mean, log_t - t_mean)  # so that a and c do not hang on b and d
    fits = [
        least_squares(
            _residuals,
            [clocked, 1.0, free, 1.0, np.log(USUAL_P)],
            jac=_jacobian,
            bounds=(
                [-np.inf, MIN_EXPONENT, -np.inf, MIN_EXPONENT, 0],
                [np.inf, MAX_EXPONENT, np.inf, MAX_EXPONENT, np.log(MAX_P)],
            ),
            loss="soft_l1",
            f_scale=OUTLIER,
            args=centred,
        )
        for clocked, free in ((0.0, -1.0), (-0.25, -0.25), (-1.0, 0.0))
    ]
    a, b, c, d, log_p = min(fits, key=lambda fit: fit.cost).x.tolist()
    a, c = a + t_mean + f_mean - b * x_mean, c + t_mean - d * x_mean
    return LatencyLaw(float(a), b, float(c), d, float(np.exp(log_p)))


# One row per prior: coefficients of (a, b, c, d, log p), divided by its standard deviation.
_PRIOR = NOISE * np.array(
    [[1 / 3, 0, -1 / 3, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 2]]
)
_PRIOR_MEAN = _PRIOR @ np.array([0, 1, 0, 1, np.log(USUAL_P)])


def _residuals(theta: Floats, x: Floats, log_f: Floats, log_t: Floats) -> Floats:
    a, b, c, d, log_p = theta
    p = np.exp(log_p)
    fitted = np.logaddexp(p * (a + b * x - log_f), p * (c + d * x)) / p
    return np.concatenate([fitted - log_t, _PRIOR @ theta - _PRIOR_MEAN])


def _jacobian(theta: Floats, x: Floats, log_f: Floats, log_t: Floats) -> Floats:
    a, b, c, d, log_p = theta
    p = np.exp(log_p)
    clocked, free = a + b * x - log_f, c + d * x
    fitted = np.logaddexp(p * clocked, p * free) / p
    w = expit(p * (clocked - free))
    by_log_p = w * clocked + (1 - w) * free - fitted
    rows = np.column_stack([w, w * x, 1 - w, (1 - w) * x, by_log_p])
    return np.concatenate([rows, _PRIOR])
