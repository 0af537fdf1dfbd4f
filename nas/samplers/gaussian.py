"""A Gaussian process on blocks of features, for a few hundred points and thousands of candidates.

Matern-5/2 over the scaled blocks plus a linear part (Rasmussen and Williams, 2006, ch. 4 and 5); a
block of features shares one length. Lengths, weights and noise are the most probable ones under
broad log-normal priors, found from one fixed start, so a fit is a function of its data alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from search_spaces import Floats

JITTER = 1e-6
N_TUNED = 200  # rows that choose the parameters, evenly from all: more cost time and change little
# natural logarithms: mean and standard deviation of the prior, lower and upper bound
WEIGHT, AMPLITUDE = (-1.2, 1.5, -9.0, 6.0), (0.0, 1.0, -4.0, 4.0)
LINEAR, NOISE = (-1.2, 1.5, -8.0, 3.0), (-4.6, 1.5, -10.0, 1.0)


class GaussianProcess:
    """Prior and posterior of one standardised output."""

    def __init__(self, blocks: Sequence[Sequence[int]]) -> None:
        self.blocks = [list(block) for block in blocks if len(block)]

    def fit(self, X: Floats, y: Floats) -> Self:
        """Learn from X (n, features), each about of unit variance, and y (n,)."""
        self.offset_, self.scale_ = float(y.mean()), float(y.std()) or 1.0
        self.parts_ = self._parts(X)
        target = (y - self.offset_) / self.scale_
        rows = np.linspace(0, len(y) - 1, min(len(y), N_TUNED)).astype(np.int64)
        self.log_ = self._most_probable([part[rows] for part in self.parts_], target[rows])
        self.noise_ = float(np.exp(self.log_[-1])) + JITTER
        kernel = self._kernel(self.parts_, self.parts_)
        self.factor_ = cholesky(kernel + self.noise_ * np.eye(len(y)), lower=True)
        self.weights_ = cho_solve((self.factor_, True), target)
        return self

    def posterior(self, X: Floats) -> Posterior:
        """What is believed of the outputs at X (n, features)."""
        return Posterior(self, X)

    def _parts(self, X: Floats) -> list[Floats]:
        return [X[:, block] / np.sqrt(len(block)) for block in self.blocks]

    def _most_probable(self, parts: list[Floats], target: Floats) -> Floats:
        """Logarithms of every block's weight, of amplitude, linear part and noise."""
        prior = np.array([WEIGHT] * len(parts) + [AMPLITUDE, LINEAR, NOISE])
        squares, products = [_squares(part, part) for part in parts], _products(parts, parts)

        def loss(log: Floats) -> tuple[float, Floats]:
            return _loss(log, squares, products, target, prior)

        bounds = [(float(low), float(high)) for low, high in prior[:, 2:]]
        options: Any = {"maxiter": 40, "ftol": 1e-5}
        start = prior[:, 0].copy()
        best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return np.asarray(best.x)

    def _kernel(self, a: list[Floats], b: list[Floats]) -> Floats:
        *weights, amplitude, linear, _ = np.exp(self.log_)
        total = np.zeros((len(a[0]), len(b[0])))
        for weight, x, y in zip(weights, a, b, strict=True):
            total += weight * _squares(x, y)
        kernel: Floats = amplitude * _matern(total) + linear * _products(a, b)
        return kernel


def _loss(
    log: Floats, squares: list[Floats], products: Floats, target: Floats, prior: Floats
) -> tuple[float, Floats]:
    """Negative log posterior of the parameters, and its gradient."""
    *weights, amplitude, linear, noise = np.exp(log)
    total = np.sum([w * d for w, d in zip(weights, squares, strict=True)], axis=0)
    shape = _matern(total)
    kernel = amplitude * shape + linear * products
    eye = np.eye(len(target))
    factor = cholesky(kernel + (noise + JITTER) * eye, lower=True)
    inverse = cho_solve((factor, True), eye)
    alpha = inverse @ target
    half = (inverse - np.outer(alpha, alpha)) / 2
    pull = amplitude * half * _slope(total)
    gradient = [w * np.vdot(pull, d) for w, d in zip(weights, squares, strict=True)]
    gradient += [amplitude * np.vdot(half, shape), linear * np.vdot(half, products)]
    gradient += [noise * np.trace(half)]
    away = (log - prior[:, 0]) / prior[:, 1]
    loss = target @ alpha / 2 + np.log(np.diag(factor)).sum() + away @ away / 2
    return float(loss), np.array(gradient) + away / prior[:, 1]


class Posterior:
    """Mean and variance at some points; `believe` adds one of them as if it had been observed."""

    def __init__(self, process: GaussianProcess, X: Floats) -> None:
        self._process, self._parts = process, process._parts(X)
        cross = self._cross(process.parts_)
        self._mean = cross @ process.weights_
        self._rows = solve_triangular(process.factor_, cross.T, lower=True)
        own = (np.concatenate(self._parts, axis=1) ** 2).sum(axis=1) / len(self._parts)
        amplitude, linear = np.exp(process.log_[-3:-1])
        self._variance = amplitude + linear * own - (self._rows**2).sum(axis=0)
        self._added = np.empty((0, len(X)))

    @property
    def mean(self) -> Floats:
        return self._process.offset_ + self._process.scale_ * self._mean

    @property
    def deviation(self) -> Floats:
        """Standard deviation of the noise-free output."""
        deviation: Floats = self._process.scale_ * np.sqrt(np.maximum(self._variance, 1e-12))
        return deviation

    def believe(self, index: int) -> None:
        """Condition on the mean of point `index`: means stay, nearby variances fall."""
        own = [part[index : index + 1] for part in self._parts]
        covariance = (
            self._cross(own)[:, 0]
            - self._rows.T @ self._rows[:, index]
            - self._added.T @ self._added[:, index]
        )
        row = covariance / np.sqrt(max(self._variance[index], 0) + self._process.noise_)
        self._added = np.concatenate([self._added, row[None]])
        self._variance = self._variance - row**2

    def _cross(self, parts: list[Floats]) -> Floats:
        return self._process._kernel(self._parts, parts)


def _products(a: list[Floats], b: list[Floats]) -> Floats:
    """Inner products `(n, m)`, mean over blocks."""
    return np.concatenate(a, axis=1) @ np.concatenate(b, axis=1).T / len(a)


def _squares(a: Floats, b: Floats) -> Floats:
    """Squared distances `(n, m)`."""
    squared: Floats = np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)
    return squared


def _matern(squares: Floats) -> Floats:
    """Matern-5/2 of squared distances."""
    root = np.sqrt(5 * squares)
    return (1 + root + root**2 / 3) * np.exp(-root)


def _slope(squares: Floats) -> Floats:
    """Derivative of `_matern` by the squared distance."""
    root = np.sqrt(5 * squares)
    return -5 / 6 * (1 + root) * np.exp(-root)
