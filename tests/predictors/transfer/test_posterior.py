"""What rows of the target say: variances, and rows that are left out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictors import TransferPredictor, learn_prior
from predictors.transfer.hypotheses import around, of_costs, of_lines, of_nobody
from predictors.transfer.posterior import Link, Posterior
from tests.predictors.transfer.world import PROXIES, prior_of, world


def test_variance_of_rows_is_the_diagonal_of_their_covariance() -> None:
    X, y = world(7, n=30)
    X = np.column_stack([X, np.arange(len(X)), np.linspace(300, 900, len(X))])
    prior = learn_prior(X, proxy_columns=PROXIES)
    clock, group = (X.shape[1] - 1,), X.shape[1] - 2
    fitted = TransferPredictor(PROXIES, clock, group, prior=prior).fit(X[:9], y[:9])
    design = fitted._design(X)
    link = Link(design, design)
    hypotheses = of_costs(prior, twins=True) + of_lines(prior) + around(of_nobody(prior))
    for h in hypotheses[::7]:
        own = np.diag(link.covariance(h)) + design.noise_share() * np.exp(h.theta[-1])
        assert_allclose(design.variance(h), own, rtol=1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_rows_are_those_of_a_fit_without_them(grouped: bool) -> None:
    X, y = world(10, n=12)
    rows = X if not grouped else np.column_stack([X, np.arange(len(X)) // 3])
    prior = prior_of(10)
    fitted = TransferPredictor(PROXIES, group_column=X.shape[1] if grouped else None, prior=prior)
    fitted.fit(rows, y)
    names = rows[:, -1] if grouped else np.arange(len(X))
    for p in fitted.mixture_.posteriors[:1] + fitted.mixture_.posteriors[-1:]:
        found = p.left_out(names if grouped else None)
        for name in np.unique(names):
            out = names == name
            seen, asked = fitted._design(rows[~out]), fitted._design(rows[out])
            alone = Posterior.of(p.hypothesis, seen, Link(seen, seen), np.log(y[~out]))
            expected = np.log(y[out]) - alone.mean(asked, Link(seen, asked))
            assert_allclose(found[out], expected, atol=2e-3)  # medians of other rows
