"""Whole batches, and one trial at a time from them."""

import numpy as np
import optuna
import pytest

from nas.samplers import GenerationSampler
from nas.samplers.batches import N_ATTEMPTS, distinct, fresh
from search_spaces import get_space

SPACE = get_space("resnet-digits")
ROWS = np.array([[3, 3], [1, 1], [3, 3], [2, 2], [1, 1]])


def test_fresh_rows_keep_their_order_and_are_not_seen():
    assert fresh(ROWS, 5, set()).tolist() == [[3, 3], [1, 1], [2, 2]]
    assert fresh(ROWS, 2, {ROWS[0].tobytes()}).tolist() == [[1, 1], [2, 2]]
    assert fresh(ROWS[:0], 2, set()).shape == (0, 2)


def test_rows_are_drawn_until_there_are_enough():
    draws = []

    def draw():
        draws.append(len(draws))
        return np.array([[draws[-1] // 2]])

    assert distinct(draw, 3, set()).ravel().tolist() == [0, 1, 2]
    assert len(draws) == 5


def test_a_space_that_has_no_more_ends_the_drawing():
    draws = []
    assert len(distinct(lambda: draws.append(0) or ROWS, 4, set())) == 3
    assert len(draws) == N_ATTEMPTS


def test_a_batch_starts_from_given_subnets():
    given = np.concatenate([SPACE.largest, SPACE.smallest])
    sampler = GenerationSampler(SPACE, population=8)
    sampler.start_from(given)
    number, genes = sampler.ask()
    assert (number, len(genes)) == (0, 8)
    np.testing.assert_array_equal(genes[:2], given)
    np.testing.assert_array_equal(sampler.ask()[1], genes)  # until it is told
    sampler.tell(genes, genes[:, :2].astype(float), np.zeros(8))
    number, bred = sampler.ask()
    assert number == 1
    assert not {row.tobytes() for row in bred} & {row.tobytes() for row in genes}


def test_the_trials_of_one_batch_are_the_batch():
    sampler = GenerationSampler(SPACE, seed=2, population=6)
    _, genes = GenerationSampler(SPACE, seed=2, population=6).ask()
    study = optuna.create_study(sampler=sampler)
    asked = [study.ask(sampler.distributions) for _ in range(6)]
    found = sampler.domain.genes([study.trials[trial.number] for trial in asked])
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(genes, axis=0))


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_direction_of_a_study_is_followed(direction):
    sampler = GenerationSampler(seed=0, population=10)
    study = optuna.create_study(direction=direction, sampler=sampler)
    study.optimize(lambda t: sum(t.suggest_int(f"x{i}", 0, 9) for i in range(4)), n_trials=80)
    first = np.mean([trial.value for trial in study.trials[:10]])
    last = np.mean([trial.value for trial in study.trials[-10:]])
    assert (last < first) == (direction == "minimize")
