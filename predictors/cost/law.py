"""The latency of a program at a clock, from its latency on another device.

t = (((e^a h^b + e^u k) / f)^p + (e^c h^d + e^v k)^p)^(1/p) in ms, with h the proxy's ms, k the
number of kernels and f the clock in GHz: one term waits for the clock, the other (memory, dispatch)
does not, and they overlap. p = 1 adds them, p = inf takes the larger; fits to clock sweeps of
Jetson TX2, Nano and Xavier NX gave 2.1 to 3.7. A CPU as the proxy hardly feels the start of a
kernel, a GPU at batch 1 waits for little else (`benchmarks/kernel_starts.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

from search_spaces import Floats, Ints

# The elasticity of t in h is a weighted mean of b and d: a floor under both leaves no plateau.
MIN_EXPONENT, MAX_EXPONENT = 0.02, 3.0
MAX_P, USUAL_P = 8.0, 2.8
STARTS = -1.0  # log share of kernel starts in a term that the prior expects
NOISE = 0.03  # log error of a careful measurement; priors count as single rows with this error
OUTLIER = 0.1  # log error from which a row loses weight


@dataclass(frozen=True)
class LatencyLaw:
    """The fitted constants; all arguments broadcast. `kernels` 0: their terms are left out."""

    a: float
    b: float
    c: float
    d: float
    p: float
    u: float = -np.inf
    v: float = -np.inf

    def latency_ms(self, h: Floats, f_ghz: Floats, kernels: Floats | float = 0.0) -> Floats:
        clocked, free = self._terms(h, f_ghz, kernels)
        latency_ms: Floats = np.exp(np.logaddexp(self.p * clocked, self.p * free) / self.p)
        return latency_ms

    def clocked_share(self, h: Floats, f_ghz: Floats, kernels: Floats | float = 0.0) -> Floats:
        """How far the clock decides, in [0, 1]: minus the elasticity of t in f."""
        clocked, free = self._terms(h, f_ghz, kernels)
        return expit(self.p * (clocked - free))

    def _terms(self, h: Floats, f_ghz: Floats, kernels: Floats | float) -> tuple[Floats, Floats]:
        log_h, log_k = np.log(h), _log(kernels)
        clocked = np.logaddexp(self.a + self.b * log_h, self.u + log_k)
        free = np.logaddexp(self.c + self.d * log_h, self.v + log_k)
        return clocked - np.log(f_ghz), free


def fit_latency_law(
    h: Floats, f_ghz: Floats, latency_ms: Floats, kernels: Floats | float = 0.0
) -> LatencyLaw:
    """Robust fit on log residuals; `h`, `f_ghz`, `latency_ms` are (n,) and positive.

    Weak priors (b and d near 1, p near 2.8, terms of similar size at the mean clock, kernel starts
    a third of them) decide only what the rows leave open, for example the share of the clock when
    all rows have one level. Rows that were fitted before are not fitted again: what looks for
    doubtful rows and what predicts see the same.
    """
    rows = (h, f_ghz, latency_ms, np.broadcast_to(kernels, h.shape))
    return _fitted(*(np.asarray(column, dtype=float).tobytes() for column in rows))


@lru_cache(maxsize=512)
def _fitted(*columns: bytes) -> LatencyLaw:
    """The law of rows; columns are those of `fit_latency_law`, 8 bytes a row."""
    h, f_ghz, latency_ms, kernels = map(np.frombuffer, columns)
    centred, (x_mean, f_mean, k_mean, t_mean) = _centred(h, f_ghz, kernels, latency_ms)
    fits = [
        least_squares(
            residuals,
            [clocked, 1.0, free, 1.0, np.log(USUAL_P), clocked + STARTS, free + STARTS],
            jac=jacobian,
            bounds=(
                [-np.inf, MIN_EXPONENT, -np.inf, MIN_EXPONENT, 0, -np.inf, -np.inf],
                [np.inf, MAX_EXPONENT, np.inf, MAX_EXPONENT, np.log(MAX_P), np.inf, np.inf],
            ),
            loss="soft_l1",
            f_scale=OUTLIER,
            args=centred,
        )
        for clocked, free in ((0.0, -1.0), (-0.25, -0.25), (-1.0, 0.0))
    ]
    a, b, c, d, log_p, u, v = min(fits, key=lambda fit: fit.cost).x.tolist()
    a, c = a + t_mean + f_mean - b * x_mean, c + t_mean - d * x_mean
    u, v = u + t_mean + f_mean - k_mean, v + t_mean - k_mean
    return LatencyLaw(float(a), b, float(c), d, float(np.exp(log_p)), float(u), float(v))


def left_out_errors(
    law: LatencyLaw,
    h: Floats,
    f_ghz: Floats,
    latency_ms: Floats,
    kernels: Floats | float,
    groups: Ints,
) -> Floats:
    """(n,) log errors of the fitted rows, each as if its group had not been fitted.

    To first order, about the fitted constants and with the weights that they leave to the rows.
    """
    centred, (x_mean, f_mean, k_mean, t_mean) = _centred(h, f_ghz, kernels, latency_ms)
    a, c = law.a - t_mean - f_mean + law.b * x_mean, law.c - t_mean + law.d * x_mean
    u, v = law.u - t_mean - f_mean + k_mean, law.v - t_mean + k_mean
    theta = np.array([a, law.b, c, law.d, np.log(law.p), u, v])
    r, J = residuals(theta, *centred), jacobian(theta, *centred)
    weights = 1 / np.sqrt(1 + (r / OUTLIER) ** 2)
    A = np.linalg.inv(J.T @ (weights[:, None] * J))
    errors = np.empty(len(h))
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        leverage = J[own] @ A @ J[own].T * weights[own]
        errors[own] = -np.linalg.solve(np.eye(len(own)) - leverage, r[own])
    return errors


def _centred(
    h: Floats, f_ghz: Floats, kernels: Floats | float, latency_ms: Floats
) -> tuple[tuple[Floats, ...], Floats]:
    """Log rows (h, f, kernels, t), centred so that a and c do not hang on b and d; the centres."""
    columns = [
        np.log(h),
        np.log(f_ghz),
        np.broadcast_to(_log(kernels), h.shape),
        np.log(latency_ms),
    ]
    centres = np.array([c[np.isfinite(c)].mean() if np.isfinite(c).any() else 0 for c in columns])
    return tuple(c - centre for c, centre in zip(columns, centres, strict=True)), centres


# One row per prior: coefficients of (a, b, c, d, log p, u, v), divided by its standard deviation.
_PRIOR = NOISE * np.array(
    [
        [1 / 3, 0, -1 / 3, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 2, 0, 0],
        [-1 / 2, 0, 0, 0, 0, 1 / 2, 0],
        [0, 0, -1 / 2, 0, 0, 0, 1 / 2],
    ]
)
_PRIOR_MEAN = _PRIOR @ np.array([0, 1, 0, 1, np.log(USUAL_P), STARTS, STARTS])


def residuals(theta: Floats, x: Floats, log_f: Floats, log_k: Floats, log_t: Floats) -> Floats:
    """Log errors of the rows (n,), then those of the priors."""
    clocked, free, p = _fitted_terms(theta, x, log_f, log_k)
    fitted = np.logaddexp(p * clocked, p * free) / p
    return np.concatenate([fitted - log_t, _PRIOR @ theta - _PRIOR_MEAN])


def _fitted_terms(
    theta: Floats, x: Floats, log_f: Floats, log_k: Floats
) -> tuple[Floats, Floats, float]:
    a, b, c, d, log_p, u, v = theta
    clocked = np.logaddexp(a + b * x, u + log_k) - log_f
    return clocked, np.logaddexp(c + d * x, v + log_k), np.exp(log_p)


def jacobian(theta: Floats, x: Floats, log_f: Floats, log_k: Floats, log_t: Floats) -> Floats:
    """Derivatives of `residuals` by every constant, `(n + priors, 7)`."""
    a, b, c, d, _, u, v = theta
    clocked, free, p = _fitted_terms(theta, x, log_f, log_k)
    fitted = np.logaddexp(p * clocked, p * free) / p
    w = expit(p * (clocked - free))
    by_log_p = w * clocked + (1 - w) * free - fitted
    work = w * expit(a + b * x - u - log_k)  # the share of the proxy's latency in each term
    free_work = (1 - w) * expit(c + d * x - v - log_k)
    rows = [work, work * x, free_work, free_work * x, by_log_p, w - work, 1 - w - free_work]
    return np.concatenate([np.column_stack(rows), _PRIOR])


def _log(kernels: Floats | float) -> Floats:
    """The logarithm, -inf for 0."""
    with np.errstate(divide="ignore"):
        return np.log(kernels)
