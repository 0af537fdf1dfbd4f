"""How large the parts of a device's cost usually are, learned from proxies.

Every proxy is treated as the target of the others, by maximum marginal likelihood (Rasmussen and
Williams, 2006, ch. 5), with proxies of its own family left out, because a new device has no sibling
in the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits

from predictors.transfer.prior import FREEDOM, OFFSET, CostPrior, parts
from search_spaces import Floats

RIDGES = np.logspace(-2, 4, 13)
RIDGE, FLOOR = 1e-2, 0.1  # of the regressions that tell which features matter; least relevance
N_ROWS = 80  # of the pool, per proxy that plays the target
SPREAD = 2.0  # of every log variance around its usual value


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
