"""Any Optuna sampler, asked for one subnet at a time."""

import numpy as np
import optuna
import pytest

from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.scorer import Scorer
from nas.search.study.ask_tell import AskTell
from nas.search.study.open import open_study
from search_spaces import PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.7,))
SCORER = Scorer(FormulaAccuracy(SPACE, GRID), FormulaCost(SPACE), 0.01)
PROBLEM = Problem(SPACE, SCORER, Bounds(), (len(CLOCKS_GHZ),))
GENES = np.unique(SPACE.sample_spread(20, np.random.default_rng(0)), axis=0)


def searched(journal, n_trials, sampler, first=GENES[:0]):
    study = open_study(None, journal, sampler)
    search = AskTell(study, PROBLEM, population=10)
    search.start_from(first)
    return study, search.run(n_trials)


@pytest.mark.parametrize("name", ["RandomSampler", "TPESampler", "NSGAIISampler"])
def test_every_trial_is_a_new_subnet_with_its_values(tmp_path, name):
    sampler = getattr(optuna.samplers, name)(seed=0)
    study, archive = searched(tmp_path / "study.journal", 20, sampler)
    assert archive.n_subnets == 20
    assert len(np.unique(archive.population(), axis=0)) == 20
    done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    np.testing.assert_allclose([t.values for t in done], np.concatenate(archive.trial_values, 1)[0])
    assert all("bounds" in t.constraints for t in done)


def test_it_begins_with_the_given_subnets_and_resumes(tmp_path):
    journal = tmp_path / "study.journal"
    _, archive = searched(journal, 8, optuna.samplers.RandomSampler(seed=0), GENES[:4])
    np.testing.assert_array_equal(archive.population()[:4], GENES[:4])
    _, more = searched(journal, 12, optuna.samplers.RandomSampler(seed=1), GENES[:4])
    np.testing.assert_array_equal(more.population()[:8], archive.population())
    assert more.n_subnets == 12


class Stubborn(optuna.samplers.RandomSampler):
    """Proposes one subnet for ever."""

    def sample_independent(self, study, trial, name, distribution):
        return distribution.choices[0]


def test_a_sampler_that_repeats_itself_gets_random_subnets_in_between(tmp_path):
    _, archive = searched(tmp_path / "study.journal", 5, Stubborn())
    assert len(np.unique(archive.population(), axis=0)) == 5
