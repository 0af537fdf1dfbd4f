"""A Gaussian process on blocks of features, for a few hundred points and thousands of candidates.

Matern-5/2 over the scaled blocks plus a linear part (Rasmussen and Williams, 2006, ch. 4 and 5); a
block of features shares one length. Lengths, weights and noise are the most probable ones under
broad log-normal priors, found from one fixed start, so a fit is a function of its data alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.floating[Any]]

JITTER = 1e-6
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
        self.target_ = (y - self.offset_) / self.scale_
        n_blocks = len(self.blocks)
        prior = np.array([WEIGHT] * n_blocks + [AMPLITUDE, LINEAR, NOISE])
        squares = [_squares(part, part) for part in self.parts_]
        products = self._linear(self.parts_, self.parts_)
        best = minimize(
            self._loss,
            prior[:, 0],
            args=(squares, products, prior),
            jac=True,
            method="L-BFGS-B",
            bounds=prior[:, 2:],
            options={"maxiter": 60},
        )
        self.log_, self.loss_ = best.x, float(best.fun)
        kernel = self._kernel(squares, products)
        self.noise_ = float(np.exp(self.log_[-1])) + JITTER
        self.factor_ = cholesky(kernel + self.noise_ * np.eye(len(y)), lower=True)
        self.weights_ = cho_solve((self.factor_, True), self.target_)
        return self

    def posterior(self, X: Floats) -> Posterior:
        """What is believed of the outputs at X (n, features)."""
        return Posterior(self, X)

    def _parts(self, X: Floats) -> list[Floats]:
        return [X[:, block] / np.sqrt(len(block)) for block in self.blocks]

    def _linear(self, a: list[Floats], b: list[Floats]) -> Floats:
        return sum(x @ y.T for x, y in zip(a, b, strict=True)) / len(a)

    def _kernel(self, squares: list[Floats], products: Floats) -> Floats:
        weights = np.exp(self.log_)
        total = sum(w * d for w, d in zip(weights, squares, strict=False))
        return weights[-3] * _matern(total)[0] + weights[-2] * products

    def _loss(
        self, log: Floats, squares: list[Floats], products: Floats, prior: Floats
    ) -> tuple[float, Floats]:
        """Negative log posterior of the parameters, and its gradient."""
        *weights, amplitude, linear, noise = np.exp(log)
        shape, slope = _matern(sum(w * d for w, d in zip(weights, squares, strict=True)))
        kernel = amplitude * shape + linear * products
        n = len(self.target_)
        factor = cholesky(kernel + (noise + JITTER) * np.eye(n), lower=True)
        inverse = cho_solve((factor, True), np.eye(n))
        alpha = inverse @ self.target_
        half = (inverse - np.outer(alpha, alpha)) / 2
        pull = amplitude * half * slope
        gradient = [w * np.vdot(pull, d) for w, d in zip(weights, squares, strict=True)]
        gradient += [amplitude * np.vdot(half, shape), linear * np.vdot(half, products)]
        gradient += [noise * np.trace(half)]
        away = (log - prior[:, 0]) / prior[:, 1]
        loss = self.target_ @ alpha / 2 + np.log(np.diag(factor)).sum() + away @ away / 2
        return float(loss), np.array(gradient) + away / prior[:, 1]


class Posterior:
    """Mean and variance at some points; `believe` adds one of them as if it had been observed."""

    def __init__(self, process: GaussianProcess, X: Floats) -> None:
        self._process, self._parts = process, process._parts(X)
        cross = self._cross(process.parts_)
        self._mean = cross @ process.weights_
        self._rows = solve_triangular(process.factor_, cross.T, lower=True)
        own = sum((part**2).sum(axis=1) for part in self._parts) / len(self._parts)
        amplitude, linear = np.exp(process.log_[-3:-1])
        self._prior = amplitude + linear * own
        self._variance = self._prior - (self._rows**2).sum(axis=0)
        self._added = np.empty((0, len(X)))

    @property
    def mean(self) -> Floats:
        return self._process.offset_ + self._process.scale_ * self._mean

    @property
    def deviation(self) -> Floats:
        """Standard deviation of the noise-free output."""
        return self._process.scale_ * np.sqrt(np.maximum(self._variance, 1e-12))

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
        squares = [_squares(a, b) for a, b in zip(self._parts, parts, strict=True)]
        return self._process._kernel(squares, self._process._linear(self._parts, parts))


def _squares(a: Floats, b: Floats) -> Floats:
    """Squared distances `(n, m)`."""
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)


def _matern(squares: Floats) -> tuple[Floats, Floats]:
    """Matern-5/2 of squared distances, and its derivative by them."""
    root = np.sqrt(5 * squares)
    decay = np.exp(-root)
    return (1 + root + root**2 / 3) * decay, -5 / 6 * (1 + root) * decay
