"""What proxies suggest of a new device: its likelihood, its gradient, its covariance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_t

from predictors import learn_prior
from predictors.transfer.learning import Game, loss_of
from predictors.transfer.prior import FREEDOM, covariance, log_likelihood, parts
from tests.predictors.transfer.world import PROXIES, prior_of, world


def test_a_pool_with_a_gap_is_refused_by_row_and_column() -> None:
    X, _ = world(0)
    X[5, PROXIES[2]] = np.nan
    with pytest.raises(ValueError, match="row 5, column 8 of the pool is nan; predict what"):
        learn_prior(X, proxy_columns=PROXIES)


def test_likelihood_is_that_of_a_multivariate_t() -> None:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5, 5))
    K = A @ A.T + np.eye(5)
    a, b = rng.normal(size=(2, 5))
    theirs = multivariate_t(shape=K, df=FREEDOM)
    lower = np.linalg.cholesky(K)
    ours = [log_likelihood(lower, float(r @ np.linalg.solve(K, r))) for r in (a, b)]
    assert ours[0] - ours[1] == pytest.approx(theirs.logpdf(a) - theirs.logpdf(b))


def test_gradient_of_the_learning() -> None:
    X, _ = world(0, n=40)
    prior = learn_prior(X, proxy_columns=PROXIES)
    rows = prior.rows(X[:12])
    r = np.random.default_rng(1).normal(size=12)
    game = Game(*parts(rows, rows), r, np.eye(12), np.zeros(()))
    theta = prior.usual()
    step = 1e-4 * np.eye(len(theta))
    slopes = [(loss_of(theta + d, game)[0] - loss_of(theta - d, game)[0]) / 2e-4 for d in step]
    assert_allclose(loss_of(theta, game)[1], slopes, rtol=1e-4, atol=1e-6)


def test_covariance_is_symmetric_and_positive() -> None:
    X, _ = world(0)
    prior = prior_of(0)
    rows = prior.rows(X)
    K = covariance(prior.candidates[0], *parts(rows, rows))
    assert_allclose(K, K.T, atol=1e-9)
    assert np.linalg.eigvalsh(K).min() > -1e-8
