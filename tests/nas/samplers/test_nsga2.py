"""The samplers alone, in Optuna's own loop, and against brute force."""

import pickle

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from optuna.trial import TrialState

from nas.samplers.batches import CONSTRAINT
from nas.samplers.domain import trial_genes, trial_params
from nas.samplers.nsga2 import GenerationSampler, crowding, non_domination_rank
from nas.samplers.surrogate import SurrogateSampler
from search_spaces import NASBench201Space, get_space

SPACES = [get_space("resnet-digits"), NASBench201Space()]
VALUES = st.integers(1, 25).flatmap(
    lambda n: arrays(np.float64, (n, 3), elements=st.integers(0, 4).map(float))
)


def generations(space, seed=0):
    return GenerationSampler(space, seed=seed, population=10)


def surrogate(space, seed=0):
    return SurrogateSampler(space, seed=seed, population=5, n_initial=10)


def both(test):
    test = pytest.mark.parametrize("make", [generations, surrogate])(test)
    return pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)(test)


def new_study(sampler, n_objectives=3):
    return optuna.create_study(directions=["minimize"] * n_objectives, sampler=sampler)


def objective(space):
    """Three conflicting values of a subnet."""

    def values(trial):
        row = [trial.suggest_categorical(n, c) for n, c in space.named_choices().items()]
        genes = space.canonical([row])
        size = float(genes.sum())
        return 1 / (1 + size), size, float((genes**2).sum())

    return values


@both
def test_optuna_runs_it_and_the_same_seed_gives_the_same_trials(space, make):
    runs = []
    for _ in range(2):
        study = new_study(make(space, seed=3))
        study.optimize(objective(space), n_trials=25)
        runs.append([t.params for t in study.trials])
    assert runs[0] == runs[1]
    genes = trial_genes(space, study.trials)
    assert len(np.unique(genes, axis=0)) == len(genes)
    study = new_study(make(space, seed=4))
    study.optimize(objective(space), n_trials=25)
    assert [t.params for t in study.trials] != runs[0]


@both
def test_its_state_is_a_function_of_the_finished_trials(space, make):
    sampler = make(space, seed=1)
    study = new_study(sampler)
    study.optimize(objective(space), n_trials=30)
    number, genes = make(space, seed=1).generation(study.trials)
    assert number == (3 if make is generations else 5)
    np.testing.assert_array_equal(genes, sampler.generation(study.trials)[1])
    study.sampler = make(space, seed=1)  # as after a kill
    study.optimize(objective(space), n_trials=5)
    whole = new_study(make(space, seed=1))
    whole.optimize(objective(space), n_trials=35)
    assert [t.params for t in study.trials] == [t.params for t in whole.trials]


@both
def test_another_study_starts_afresh(space, make):
    sampler = make(space)
    first = new_study(sampler)
    first.optimize(objective(space), n_trials=12)
    second = new_study(sampler)
    second.optimize(objective(space), n_trials=12)
    assert [t.params for t in first.trials] == [t.params for t in second.trials]


@both
def test_failed_trials_are_not_asked_for_again(space, make):
    study = new_study(make(space))
    values = objective(space)
    for i in range(30):
        trial = study.ask()
        found = values(trial)
        study.tell(trial, *([None, TrialState.FAIL] if i % 4 == 0 else [found]))
    genes = trial_genes(space, study.trials)
    assert len(np.unique(genes, axis=0)) == len(genes)


@both
def test_threads_and_copies_of_it_work(space, make):
    sampler = make(space)
    study = new_study(sampler)
    study.optimize(objective(space), n_trials=24, n_jobs=4)
    genes = trial_genes(space, study.trials)
    assert len(np.unique(genes, axis=0)) == len(genes)
    copy = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(copy.ask()[1], sampler.ask()[1])


@both
def test_a_slow_trial_is_told_once_and_not_proposed_again(space, make):
    """Trials that run at once end in any order, and storages get one parameter after the other."""
    sampler, values, told, slow = make(space), objective(space), [], []
    learn = sampler._learn
    sampler._learn = lambda genes, *results: (told.extend(genes), learn(genes, *results))
    study = new_study(sampler)
    first, choices = next(iter(space.named_choices().items()))
    for i in range(60):
        trial = study.ask()
        if i % 4 == 1:
            trial.suggest_categorical(first, choices)
            slow.append(trial)
        else:
            study.tell(trial, values(trial))
        if len(slow) == 5:
            for trial in (slow.pop(2), slow.pop(0)):
                study.tell(trial, values(trial))
    for trial in slow:
        study.tell(trial, values(trial))
    values(study.ask())
    genes = trial_genes(space, study.trials[:-1])
    assert len(np.unique(genes, axis=0)) == len(genes) == len(told) == 60
    np.testing.assert_array_equal(np.unique(told, axis=0), np.unique(genes, axis=0))


@both
def test_more_trials_at_once_than_a_batch_holds_all_differ(space, make):
    """The sampler proposes each itself: Optuna draws one at random where it has none."""
    sampler, values = make(space), objective(space)
    sampler.sample_independent = None  # would be called
    study = new_study(sampler)
    trials = [study.ask() for _ in range(24)]
    found = [values(trial) for trial in trials]
    for trial, result in zip(trials, found, strict=True):
        study.tell(trial, result)
    later = [study.ask() for _ in range(16)]
    assert all(values(trial) for trial in later)
    genes = trial_genes(space, study.trials)
    assert len(np.unique(genes, axis=0)) == 40


@both
def test_batches_and_optunas_loop_share_a_sampler(space, make):
    """What was told as a whole batch is not told again."""
    sampler = make(space)
    study = new_study(sampler)
    study.optimize(objective(space), n_trials=20)
    sampler.restart()
    values = np.array([t.values for t in study.trials[:10]])
    sampler.tell(trial_genes(space, study.trials[:10]), values, np.zeros(10))
    study.optimize(objective(space), n_trials=1)
    number, genes = sampler.ask()
    again, same = make(space).generation(study.trials)
    assert number == again
    np.testing.assert_array_equal(genes, same)


@pytest.mark.parametrize("sampler", [GenerationSampler, SurrogateSampler])
def test_a_trial_without_a_common_parameter_may_end_meanwhile(sampler):
    """Threads find what trials have in common before they are given a point."""
    sampler = sampler(seed=0, population=4)
    study = new_study(sampler, 2)
    study.optimize(lambda t: (t.suggest_int("a", 1, 9), t.suggest_int("b", 1, 9)), n_trials=20)
    conditional = study.ask()
    conditional.suggest_int("a", 1, 9)
    trial = study.ask()
    found = sampler.infer_relative_search_space(study, study.trials[-1])
    study.tell(conditional, [1.0, 2.0])
    assert set(sampler.sample_relative(study, study.trials[-1], found)) == {"a", "b"}
    assert trial.suggest_int("a", 1, 9) in range(1, 10)


def test_a_point_that_did_not_run_is_free_again():
    """An enqueued trial gets a point for the parameters that it leaves open, and runs another."""
    sampler = GenerationSampler(seed=0, population=6)
    study = new_study(sampler, 2)

    def values(trial):
        a, b = trial.suggest_int("a", 1, 6), trial.suggest_int("b", 1, 6)
        return a, -b

    study.optimize(values, n_trials=6)
    for _ in range(60):
        study.enqueue_trial({"a": 1})
    study.optimize(values, n_trials=120)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 36


@both
def test_constraints_steer_it(space, make):
    """The objectives ask for large subnets, the bound for the smaller half."""
    half = float(space.largest.sum() + space.smallest.sum()) / 2

    def n_outside(bounded):
        sampler, outside = make(space), 0
        for number in range(6):
            _, genes = sampler.ask()
            size = genes.sum(axis=1).astype(float)
            values = np.stack([-size, genes[:, 0].astype(float)], axis=1)
            violation = (size - half) / half if bounded else np.zeros(len(genes))
            sampler.tell(genes, values, violation)
            outside += int((size > half).sum()) if number else 0
        return outside

    assert n_outside(bounded=True) < n_outside(bounded=False)


def test_optunas_constraints_are_read():
    space = SPACES[0]
    genes = space.sample_spread(10, np.random.default_rng(0))
    sampler = generations(space)
    trials = [
        optuna.trial.create_trial(
            values=[1, 2, 3],
            params=params,
            distributions=sampler.distributions,
            system_attrs={CONSTRAINT: [i - 5.0, -1.0]},
        )
        for i, params in enumerate(trial_params(space, genes))
    ]
    sampler.generation(trials)
    np.testing.assert_array_equal(np.sort(sampler._parents.violation), [0] * 6 + [1, 2, 3, 4])


def test_it_gets_closer_to_the_front_than_random_search():
    """The surrogate is held against brute force (`test_surrogate.py`)."""
    space = SPACES[0]
    best = {}
    samplers = {"ours": generations(space), "random": optuna.samplers.RandomSampler(seed=0)}
    for name, sampler in samplers.items():
        study = new_study(sampler)
        study.optimize(objective(space), n_trials=80)
        best[name] = min(t.values[1] for t in study.trials[20:])
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


@pytest.mark.parametrize("make", [generations, surrogate])
def test_an_exhausted_space_gives_a_short_batch(make):
    space = NASBench201Space()
    sampler = make(space)
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
