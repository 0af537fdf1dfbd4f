"""The Gaussian process against the textbook."""

import numpy as np
from scipy.optimize import check_grad

from nas.samplers import gaussian
from nas.samplers.gaussian import GaussianProcess

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
Y = np.sin(X[:, 0]) + X[:, 1] + 0.01 * RNG.normal(size=40)
BLOCKS = [[0, 1], [2, 3, 4]]


def test_the_gradient_of_the_loss_is_the_numerical_one():
    parts = GaussianProcess(BLOCKS)._parts(X)
    squares = [gaussian._squares(p, p) for p in parts]
    prior = np.array([gaussian.WEIGHT] * 2 + [gaussian.AMPLITUDE, gaussian.LINEAR, gaussian.NOISE])
    fixed = squares, gaussian._products(parts, parts), Y, prior
    for log in (prior[:, 0], prior[:, 0] + [0.5, -1, 0.3, 1, 0.7]):
        gap = check_grad(
            lambda p: gaussian._loss(p, *fixed)[0], lambda p: gaussian._loss(p, *fixed)[1], log
        )
        assert gap < 1e-3


def test_the_posterior_is_that_of_the_textbook_and_believing_is_conditioning():
    model = GaussianProcess(BLOCKS).fit(X, Y)
    new = np.random.default_rng(1).normal(size=(6, 5))
    posterior = model.posterior(new)
    seen, asked = model._parts(X), model._parts(new)
    kernel = model._kernel(seen, seen) + model.noise_ * np.eye(40)
    cross = model._kernel(asked, seen)
    covariance = model._kernel(asked, asked) - cross @ np.linalg.solve(kernel, cross.T)
    mean = Y.mean() + cross @ np.linalg.solve(kernel, Y - Y.mean())
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-8)
    deviation = Y.std() * np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(posterior.deviation, deviation, rtol=1e-5)
    for index in (2, 5):
        posterior.believe(index)
        row = covariance[index].copy()
        covariance -= np.outer(row, row) / (row[index] + model.noise_)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-8)
    deviation = Y.std() * np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(posterior.deviation, deviation, rtol=1e-4)


def test_a_thousand_rows_are_learned_from_all():
    many = np.random.default_rng(2).normal(size=(600, 5))
    model = GaussianProcess(BLOCKS).fit(many, np.sin(many[:, 0]) + many[:, 1])
    assert len(model.weights_) == 600
    np.testing.assert_allclose(model.posterior(X).mean, np.sin(X[:, 0]) + X[:, 1], atol=0.3)
