"""The model-based sampler: its parts against brute force, its search against whole spaces."""

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from nas.pareto import hypervolume, non_dominated
from nas.samplers import gaussian, surrogate
from nas.samplers.ehvi import below, boxes, improvement
from nas.samplers.gaussian import GaussianProcess
from nas.samplers.surrogate import SurrogateSampler, Warp
from search_spaces import NASBench201Space

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


@given(st.integers(1, 3), st.integers(0, 8), st.integers(0, 10**6))
def test_boxes_are_what_the_front_leaves(m, n, seed):
    rng = np.random.default_rng(seed)
    front = rng.integers(0, 6, size=(n, m)) / 5
    front = front[non_dominated(front)] if n else front
    reference = np.full(m, 1.1)
    lower, upper = boxes(front, reference)
    points = rng.random((200, m)) * 1.1
    inside = ((points[:, None] > lower) & (points[:, None] <= upper)).all(axis=2).sum(axis=1)
    free = ~(front[None] < points[:, None]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(inside, free.astype(int))


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("warped", [False, True])
def test_the_expected_improvement_is_that_of_many_draws(m, warped):
    """Draws are warped values, so they are mapped back before the volume is taken."""
    rng = np.random.default_rng(m)
    front = rng.random((6, m)) * 0.6 + 0.3
    front = front[non_dominated(front)]
    reference = np.full(m, 1.1)
    warp, back = (np.log, np.exp) if warped else (lambda t: t, lambda t: t)
    mean, deviation = warp(front.mean(axis=0) - 0.1), np.full(m, 0.15)
    even = np.linspace(0.01, 1.1, 400)
    knots = [np.unique(np.concatenate([even, front[:, d]])) for d in range(m)]
    integrals = [
        below(mean[d : d + 1], deviation[d : d + 1], knots[d], warp(knots[d])) for d in range(m)
    ]
    found = improvement(integrals, knots, boxes(front, reference))[0]
    draws = back(mean + deviation * rng.normal(size=(4000, m)))
    before = hypervolume(front, reference)
    gains = [hypervolume(np.vstack([front, d]), reference) - before for d in draws]
    assert found == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / np.sqrt(len(gains)))


def test_a_warp_rises_and_undoes_a_long_tail():
    y = np.exp(np.random.default_rng(0).normal(size=300))
    warp = Warp(y)
    t = np.linspace(warp.floor, y.max(), 200)
    assert (np.diff(warp(t)) > 0).all()
    np.testing.assert_allclose([warp.inverse(w) for w in warp(t)], t, atol=1e-9)
    skew = ((warp(y) - warp(y).mean()) ** 3).mean() / warp(y).std() ** 3
    assert abs(skew) < 0.5


def test_values_that_do_not_differ_are_no_obstacle():
    space = NASBench201Space()
    sampler = SurrogateSampler(space, n_initial=8)
    for _ in range(3):
        _, genes = sampler.ask()
        sampler.tell(genes, np.ones((len(genes), 2)), np.zeros(len(genes)))
    assert len(sampler.ask()[1]) == 5


def test_a_long_study_is_modelled_by_what_is_close_to_its_front(monkeypatch):
    space = NASBench201Space()
    genes = space.sample_spread(400, np.random.default_rng(0))
    genes = np.unique(genes, axis=0)
    values = cell_costs(genes)
    rows = []
    fit = GaussianProcess.fit

    def counted(self, X, y):
        rows.append(len(y))
        return fit(self, X, y)

    monkeypatch.setattr(GaussianProcess, "fit", counted)
    monkeypatch.setattr(surrogate, "N_ROWS", 100)
    sampler = SurrogateSampler(space, n_initial=len(genes))
    sampler.tell(genes, values, np.zeros(len(genes)))
    _, found = sampler.ask()
    assert rows == [100, 100]
    assert len(found) == len(genes) // 20
    everything = np.concatenate([values, cell_costs(found)])
    assert non_dominated(everything)[len(values) :].any()


def cell_costs(genes):
    """Error falls with convolutions and differs by edge; cost counts them."""
    weight = np.array([3.0, 2, 1, 2.5, 1.5, 0.5])
    good = (genes == 3) @ weight + 0.6 * ((genes == 2) @ weight) - (genes == 4) @ weight / 4
    cost = 9.0 * (genes == 3).sum(axis=1) + 2 * (genes == 2).sum(axis=1)
    return np.stack([np.exp(-good / 4), np.log1p(cost + (genes == 4).sum(axis=1))], axis=1)


def test_it_finds_the_front_of_a_space_of_which_it_sees_one_in_a_hundred():
    space = NASBench201Space()
    everything = cell_costs(space.enumerate())
    low, high = everything.min(axis=0), everything.max(axis=0)
    share = {}
    for name in ("ours", "random"):
        sampler = SurrogateSampler(space, seed=0)
        values = np.empty((0, 2))
        while len(values) < 100:
            _, genes = sampler.ask()
            if name == "random":
                genes = space.sample(len(genes), np.random.default_rng(len(values)))
            found = cell_costs(genes)
            sampler.tell(genes, found, np.zeros(len(found)))
            values = np.concatenate([values, found])
        scaled, truth = (values - low) / (high - low), (everything - low) / (high - low)
        share[name] = hypervolume(scaled, (1.1, 1.1)) / hypervolume(truth, (1.1, 1.1))
    assert share["ours"] > 0.99
    assert share["ours"] > share["random"]


def test_a_small_study_is_searched_whole_and_then_goes_on():
    def objective(trial):
        return trial.suggest_int("a", 0, 2) + trial.suggest_categorical("b", [True, False])

    sampler = SurrogateSampler(seed=0, n_initial=2, population=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=12)
    assert len({tuple(t.params.values()) for t in study.trials}) == 6
    assert study.best_value == 0
