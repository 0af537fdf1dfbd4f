"""What is known about a device before anything was measured on it, learned from other devices.

A device's log cost is the mean of the proxies' log costs plus a Gaussian process: its slope on that
mean, how it mixes the proxies, what each block of features adds (linearly and smoothly), and noise.
How large each part usually is, is learned by treating every proxy as the target of the others, by
maximum marginal likelihood (Rasmussen and Williams, 2006, ch. 5), with proxies of its own family
left out, because a new device has no sibling in the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits

from predictors.kernel import squared_distance
from search_spaces import Bools, Floats

OFFSET = 100.0  # variance of a device's scale in log units: as good as unknown
FREEDOM = 20.0  # degrees of freedom of a device's own amplitude (Student's t process)
RIDGES = np.logspace(-2, 4, 13)
RIDGE, FLOOR = 1e-2, 0.1  # of the regressions that tell which features matter; least relevance
FAR = 6.0  # standard deviations of the pool: what lies beyond is seen there, not further
N_ROWS = 80  # of the pool, per proxy that plays the target
SCALE = 0.4  # usual standard deviation of log costs in a space
LOG_LENGTH, LOG_NOISE = -0.5, -5.0  # usual values, and centres of the priors below
USUAL = {"slope": -2.0, "mix": 0.0, "linear": -4.0, "smooth": -4.0}
SPREAD = 2.0  # of every log variance around its usual value


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


def learn_prior(
    pool: ArrayLike,
    *,
    proxy_columns: Sequence[int],
    families: Sequence[str] | None = None,
    blocks: Sequence[Sequence[int]] | None = None,
) -> CostPrior:
    """The prior that the proxies in `pool` (n, features) suggest for a device of no known family.

    `proxy_columns` hold log costs; `families` (P,) names which proxies are kin (each is alone by
    default); `blocks` are groups of other columns that mean similar things (all other columns are
    one block by default). With fewer than two families nothing can be learned and usual values
    stand in.
    """
    X = np.asarray(pool, dtype=float)
    if not np.isfinite(X).all():
        row, column = np.argwhere(~np.isfinite(X))[0].tolist()
        raise ValueError(
            f"row {row}, column {column} of the pool is {X[row, column]}; predict what a proxy "
            "lacks or leave the proxy out"
        )
    columns = tuple(int(c) for c in proxy_columns)
    if blocks is None:
        others = tuple(c for c in range(X.shape[1]) if c not in columns)
        blocks = (others,) if others else ()
    kin = np.asarray(families if families is not None else [str(c) for c in columns])
    prior = _centred(X, columns, tuple(tuple(b) for b in blocks), kin)
    n_families = len(np.unique(kin))
    if n_families < 2:
        return replace(prior, candidates=prior.usual()[None])
    rng = np.random.default_rng(0)
    games = []
    for i in range(len(columns)):
        chosen = rng.choice(len(X), min(N_ROWS, len(X)), replace=False)
        rows = prior.rows(X[chosen], without=kin == kin[i])
        r = X[chosen, columns[i]] - rows.mean
        games.append(Game(*parts(rows, rows), r - r.mean(), np.eye(len(r)), np.zeros(())))
    with threadpool_limits(1):  # many small matrices: threads would only wait for each other
        together = most_likely(games, prior.usual())
        each = [most_likely([game], together) for game in games]
    return replace(prior, candidates=np.stack([together, *each]))


def _centred(
    X: Floats, columns: tuple[int, ...], blocks: tuple[tuple[int, ...], ...], kin: NDArray[np.str_]
) -> CostPrior:
    """A prior without candidates: how to centre and scale rows."""
    size = np.array([(kin == k).sum() for k in kin], dtype=float)
    weights = 1 / size / max(1, len(np.unique(kin)))
    means, scales, linear = [], [], [np.empty((2, len(columns), 0))]
    slopes = _linear_weights(X, columns, blocks)
    worth = _relevance(slopes[0], blocks, weights)
    for block in blocks:
        part = X[:, list(block)]
        spread = part.std(axis=0)
        varies = spread > 1e-9 * np.maximum(1, np.abs(part).max(axis=0))
        share = np.where(varies, worth[list(block)], 0)
        share = share / max(1e-12, np.sqrt((share**2).sum()))
        means.append(part.mean(axis=0))
        scales.append(np.divide(spread, share, out=np.full(len(share), np.inf), where=share > 0))
        own = slopes[:, :, list(block)]
        linear.append(np.divide(own, share, out=np.zeros_like(own), where=share > 0))
    return CostPrior(
        columns,
        blocks,
        weights,
        X[:, list(columns)].mean(axis=0),
        tuple(means),
        tuple(scales),
        np.concatenate(linear, axis=2),
        np.empty((0, 0)),
    )


def _linear_weights(
    X: Floats, columns: tuple[int, ...], blocks: tuple[tuple[int, ...], ...]
) -> Floats:
    """(2, P, columns of X) of every proxy's log cost on standardised features, by ridge regression.

    First every feature is penalised alike, then by its units: a count of layers varies more than
    whether one layer is there, so it takes most of their common weight (as in AdaProxy).
    """
    weights = np.zeros((2, len(columns), X.shape[1]))
    used = [c for block in blocks for c in block]
    if used and len(X) > 2:  # fewer are no pool
        F, z = X[:, used], X[:, list(columns)]
        spread = F.std(axis=0)
        own = RidgeCV(RIDGES, alpha_per_target=True).fit(F, z)
        F = (F - F.mean(axis=0)) / np.where(spread > 0, spread, 1)
        ridge = RIDGE * len(F) * np.eye(len(used))
        weights[0][:, used] = np.linalg.solve(F.T @ F + ridge, F.T @ (z - z.mean(axis=0))).T
        weights[1][:, used] = own.coef_ * spread
    return weights


def _relevance(slopes: Floats, blocks: tuple[tuple[int, ...], ...], weights: Floats) -> Floats:
    """How differently proxies weigh each column of X: what a new device may weigh its own way.

    Root mean square, over proxies, of the deviation of their linear weights from the mean.
    """
    relevance = np.zeros(slopes.shape[1])
    used = [c for block in blocks for c in block]
    if used and len(slopes) > 1:
        deviation = slopes - weights @ slopes
        relevance[used] = np.sqrt(weights @ deviation**2)[used]
        relevance[used] += FLOOR * np.sqrt((relevance[used] ** 2).mean())
    else:
        relevance[used] = 1
    return relevance


@dataclass(frozen=True)
class Game:
    """One target's rows: what log variances are judged by."""

    linear: Floats  # parts of the covariance
    distances: Floats
    r: Floats  # (n,) residuals
    noise: Floats  # (n, n) covariance of measurement errors of variance 1
    fixed: Floats  # (n, n), or () for none: covariance that no log variance scales


def most_likely(games: list[Game], centre: Floats) -> Floats:
    """Log variances that explain the games' residuals best, near `centre`."""
    bounds = [(-9.0, 6.0)] * (len(centre) - 2) + [(-4.0, 3.0), (-9.0, 1.0)]

    def loss(theta: Floats) -> tuple[float, Floats]:
        values, slopes = zip(*(loss_of(theta, game) for game in games), strict=True)
        off = (theta - centre) / SPREAD
        return np.mean(values) + off @ off / 2, np.mean(slopes, axis=0) + off / SPREAD

    lower, upper = np.array(bounds).T
    start = np.clip(centre, lower, upper)
    fit = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
    return fit.x


def loss_of(theta: Floats, game: Game) -> tuple[float, Floats]:
    """Minus the log likelihood of one game, and its gradient."""
    linear, distances, r = game.linear, game.distances, game.r
    n, scales = len(r), np.exp(theta)
    smooth = scales[len(linear) : -2, None, None] * np.exp(-scales[-2] * distances)
    K = OFFSET + np.tensordot(scales[: len(linear)], linear, axes=1) + smooth.sum(axis=0)
    K += game.fixed + scales[-1] * game.noise
    lower = cholesky(K, lower=True)
    inverse = cho_solve((lower, True), np.eye(n))
    alpha = inverse @ r
    q = r @ alpha
    value = np.log(np.diag(lower)).sum() + (n + FREEDOM) / 2 * np.log1p(q / FREEDOM)
    # d value / d K, then one inner product per part
    slope = (inverse - (n + FREEDOM) / (FREEDOM + q) * np.outer(alpha, alpha)) / 2
    by_linear = scales[: len(linear)] * np.tensordot(linear, slope, axes=2)
    by_smooth = np.tensordot(smooth, slope, axes=2)
    by_length = -scales[-2] * np.sum(distances * smooth * slope)
    by_noise = scales[-1] * np.sum(game.noise * slope)
    return float(value), np.array([*by_linear, *by_smooth, by_length, by_noise])


def _pairs(a: Rows, b: Rows) -> list[tuple[Floats, Floats]]:
    return list(zip(a.blocks, b.blocks, strict=True))
