"""The sampler alone, in Optuna's own loop, and against brute-force sorting."""

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.search.sampler import (
    GenerationSampler,
    crowding,
    non_domination_rank,
    trial_genes,
    trial_params,
)
from search_spaces import NASBench201Space, get_space

SPACES = [get_space("resnet-digits"), NASBench201Space()]
VALUES = st.integers(1, 25).flatmap(
    lambda n: arrays(np.float64, (n, 3), elements=st.integers(0, 4).map(float))
)


def objective(space):
    """Three conflicting values of a subnet."""

    def values(trial):
        row = [trial.suggest_categorical(n, c) for n, c in space.named_choices().items()]
        genes = space.canonical([row])
        size = float(genes.sum())
        return 1 / (1 + size), size, float((genes**2).sum())

    return values


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_optuna_runs_it_and_the_same_seed_gives_the_same_trials(space):
    runs = []
    for _ in range(2):
        sampler = GenerationSampler(space, seed=3, population=10)
        study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
        study.optimize(objective(space), n_trials=25)
        runs.append([t.params for t in study.trials])
    assert runs[0] == runs[1]
    genes = trial_genes(space, study.trials)
    assert len(np.unique(genes, axis=0)) == len(genes)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_its_state_is_a_function_of_the_finished_trials(space):
    sampler = GenerationSampler(space, seed=1, population=10)
    study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
    study.optimize(objective(space), n_trials=30)
    fresh = GenerationSampler(space, seed=1, population=10)
    number, genes = fresh.generation(study.trials)
    assert number == 3
    np.testing.assert_array_equal(genes, sampler.generation(study.trials)[1])


def test_it_gets_closer_to_the_front_than_random_search():
    space = SPACES[0]
    best = {}
    for name, sampler in {
        "ours": GenerationSampler(space, seed=0, population=20),
        "random": optuna.samplers.RandomSampler(seed=0),
    }.items():
        study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
        study.optimize(objective(space), n_trials=200)
        best[name] = min(t.values[1] for t in study.trials[40:])
    assert best["ours"] < best["random"]


def test_params_and_genes_are_inverse():
    for space in SPACES:
        genes = space.sample(20, np.random.default_rng(0))
        distributions = GenerationSampler(space).distributions
        trials = [
            optuna.trial.create_trial(values=[0, 0, 0], params=p, distributions=distributions)
            for p in trial_params(space, genes)
        ]
        np.testing.assert_array_equal(trial_genes(space, trials), genes)


def test_an_exhausted_space_gives_a_short_generation():
    space = NASBench201Space()
    sampler = GenerationSampler(space, population=10)
    everything = space.enumerate()
    sampler._seen = {row.tobytes() for row in everything[:-3]}
    assert len(sampler.ask()[1]) <= 3


@given(VALUES)
def test_rank_is_the_length_of_the_longest_chain_above(values):
    rank = non_domination_rank(values)
    for i, row in enumerate(values):
        above = [rank[j] for j, o in enumerate(values) if (o <= row).all() and (o < row).any()]
        assert rank[i] == (max(above) + 1 if above else 0)


def test_crowding_by_hand():
    values = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    distance = crowding(values, np.zeros(4, dtype=int))
    assert np.isinf(distance[[0, 3]]).all()
    np.testing.assert_allclose(distance[1:3], [3 / 4 + 3 / 4, 3 / 4 + 2 / 4])
