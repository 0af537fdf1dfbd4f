"""What is known about a device before anything was measured on it, learned from other devices.

A device's log cost is the mean of the proxies' log costs plus a Gaussian process: its slope on that
mean, how it mixes the proxies, what each block of features adds (linearly and smoothly), and noise.
How large each part usually is, `predictors/transfer/learning.py` learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from predictors.kernel import squared_distance
from search_spaces import Bools, Floats

OFFSET = 100.0  # variance of a device's scale in log units: as good as unknown
FREEDOM = 20.0  # degrees of freedom of a device's own amplitude (Student's t process)
FAR = 6.0  # standard deviations of the pool: what lies beyond is seen there, not further
SCALE = 0.4  # usual standard deviation of log costs in a space
LOG_LENGTH, LOG_NOISE = -0.5, -5.0  # usual values, and centres of the priors below
USUAL = {"slope": -2.0, "mix": 0.0, "linear": -4.0, "smooth": -4.0}


@dataclass(frozen=True)
class Rows:
    """Rows as the process sees them: everything centred and scaled by the pool."""

    z: Floats  # (n, P) log costs on the proxies
    mean: Floats  # (n,) their weighted mean
    mix: Floats  # (n, P) what each proxy adds to it, weighted
    blocks: tuple[Floats, ...]  # features, each (n, m), mean square 1 per row; last the mean again

    def __len__(self) -> int:
        return len(self.mean)

    @cached_property
    def features(self) -> Floats:
        """(n, m) those of all blocks side by side."""
        return np.concatenate([np.empty((len(self), 0)), *self.blocks[:-1]], axis=1)


@dataclass(frozen=True)
class CostPrior:
    """Prior of the log cost on a new device; `learn_prior` makes it.

    `candidates` are (1 + P) rows of log variances: one of all proxies together, then one for each.
    A target takes the mean of what they predict, weighted by how well each explains its rows.
    """

    proxy_columns: tuple[int, ...]
    blocks: tuple[tuple[int, ...], ...]
    weights: Floats  # (P,) of the proxies in their mean; a family counts as one
    proxy_mean: Floats  # (P,) of log costs
    feature_mean: tuple[Floats, ...]
    feature_scale: tuple[Floats, ...]
    linear: Floats  # (ways, P, m) weights of every proxy's linear predictors on the features
    candidates: Floats

    def rows(self, X: ArrayLike, without: Bools | None = None) -> Rows:
        """Rows (n, features) of X; `without` (P,) leaves proxies out, for learning."""
        X = np.asarray(X, dtype=float)
        z = X[:, list(self.proxy_columns)] - self.proxy_mean
        weights = self.weights if without is None else np.where(without, 0, self.weights)
        total = weights.sum()
        weights = weights / total if total else weights
        mean = z @ weights
        blocks = tuple(
            np.clip((X[:, list(columns)] - centre) / scale, -FAR, FAR)
            for columns, centre, scale in zip(
                self.blocks, self.feature_mean, self.feature_scale, strict=True
            )
        )
        # As a block of its own the mean may bend: devices saturate where others do not.
        mix = (z - mean[:, None]) * np.sqrt(weights)
        return Rows(z, mean, mix, (*blocks, mean[:, None] / SCALE))

    def to_arrays(self) -> dict[str, Floats]:
        """What was learned, for a file."""
        arrays = {
            "proxy_columns": np.array(self.proxy_columns, dtype=float),
            "weights": self.weights,
            "proxy_mean": self.proxy_mean,
            "linear": self.linear,
            "candidates": self.candidates,
        }
        for i, block in enumerate(self.blocks):
            arrays[f"block{i}"] = np.array(block, dtype=float)
            arrays[f"block{i}.mean"] = self.feature_mean[i]
            arrays[f"block{i}.scale"] = self.feature_scale[i]
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> CostPrior:
        """The prior whose `to_arrays` they are."""
        n = sum(name.endswith(".scale") for name in arrays)
        return cls(
            tuple(arrays["proxy_columns"].astype(int).tolist()),
            tuple(tuple(arrays[f"block{i}"].astype(int).tolist()) for i in range(n)),
            arrays["weights"],
            arrays["proxy_mean"],
            tuple(arrays[f"block{i}.mean"] for i in range(n)),
            tuple(arrays[f"block{i}.scale"] for i in range(n)),
            arrays["linear"].reshape(-1, len(arrays["weights"]), arrays["linear"].shape[-1]),
            arrays["candidates"],
        )

    def usual(self) -> Floats:
        """Log variances that stand in where nothing was learned."""
        n = len(self.blocks) + 1
        values = [USUAL["slope"], USUAL["mix"], *[USUAL["linear"]] * n, *[USUAL["smooth"]] * n]
        return np.array([*values, LOG_LENGTH, LOG_NOISE])


def parts(a: Rows, b: Rows) -> tuple[Floats, Floats]:
    """Linear parts (2 + blocks, n, m) of the covariance, and squared distances (blocks, n, m)."""
    linear = [np.outer(a.mean, b.mean), a.mix @ b.mix.T, *(p @ q.T for p, q in _pairs(a, b))]
    distances = [squared_distance(p, q) for p, q in _pairs(a, b)]
    shape = (len(a), len(b))
    return np.array(linear), np.array(distances).reshape(-1, *shape)


def covariance(theta: Floats, linear: Floats, distances: Floats) -> Floats:
    """Covariance (n, m) of log costs without noise, for the log variances `theta`."""
    n, scales = len(linear), np.exp(theta)
    smooth = np.exp(-scales[-2] * distances)
    return (
        OFFSET
        + np.tensordot(scales[:n], linear, axes=1)
        + np.tensordot(scales[n:-2], smooth, axes=1)
    )


def log_likelihood(lower: Floats, square: float) -> float:
    """Of residuals r (n,) with an unknown amplitude near 1, up to a constant.

    `lower` is the Cholesky factor of their covariance K, noise included; `square` = r' K^-1 r.
    """
    n = len(lower)
    return float(-np.log(np.diag(lower)).sum() - (n + FREEDOM) / 2 * np.log1p(square / FREEDOM))


def _pairs(a: Rows, b: Rows) -> list[tuple[Floats, Floats]]:
    return list(zip(a.blocks, b.blocks, strict=True))
