"""Which way a study is searched follows from its sampler."""

import numpy as np
import optuna
import pytest

from nas.samplers.nsga2 import GenerationSampler
from nas.search import SearchSettings
from nas.search.listener import Silent
from nas.search.study.open import open_study
from nas.search.study.search import search_study
from tests.nas.search.study.test_generations import PROBLEM, SPACE

FIRST = np.unique(SPACE.sample_spread(6, np.random.default_rng(3)), axis=0)


class Stages(Silent):
    """What a search says, and after how many subnets."""

    def __init__(self):
        self.stages, self.counts = [], []

    def stage(self, text):
        self.stages.append(text)

    def generation(self, generation):
        self.counts.append(generation.n_trials)


@pytest.mark.parametrize(
    ("sampler", "counts"),
    [
        (GenerationSampler(SPACE, seed=5, population=10), [10, 20, 25]),
        (optuna.samplers.RandomSampler(seed=5), list(range(1, 26))),
    ],
)
def test_batches_are_taken_whole_and_other_samplers_asked_for_each(tmp_path, sampler, counts):
    study, listener = open_study(None, tmp_path / "j", sampler), Stages()
    settings = SearchSettings("nano", tmp_path, n_trials=25, population=10)
    archive = search_study(settings, study, PROBLEM, [FIRST[:2], FIRST[2:]], listener)
    assert listener.stages == ["search"]
    assert listener.counts == counts
    assert len(study.trials) >= archive.n_subnets == 25
    np.testing.assert_array_equal(archive.population()[: len(FIRST)], FIRST)
