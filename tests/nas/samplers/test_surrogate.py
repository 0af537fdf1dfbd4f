"""The model-based sampler: its parts against brute force, its search against whole spaces."""

import numpy as np
import optuna

from nas.pareto import hypervolume, non_dominated
from nas.samplers import surrogate
from nas.samplers.gaussian import GaussianProcess
from nas.samplers.surrogate import SurrogateSampler, Warp
from search_spaces import NASBench201Space


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
