"""Ask and tell with several subnets in flight, whose results come in another order."""

from dataclasses import replace

import numpy as np
import optuna
import pytest

pytest.importorskip("ray", reason="a cluster: needs nas[ray]")

from nas.cluster.cluster import Cluster
from nas.search.images.log import EvaluatedAccuracy, EvaluationLog
from nas.search.study.asynchronous import AsyncSearch
from nas.search.study.open import open_study
from predictors import AccuracyTable
from tests.nas.search.study.test_generations import PROBLEM, SPACE

GRID = PROBLEM.scorer.grid
N_IMAGES = 100


class LastFirst(Cluster):
    """Three places; the subnet that was submitted last is done first."""

    def __init__(self):
        self.flying, self.most, self.n_done = [], 0, 0

    @property
    def n_slots(self):
        return 3

    def submit(self, items):
        self.flying += items
        self.most = max(self.most, len(self.flying))

    def take(self):
        self.n_done += 1
        counts = np.zeros((len(GRID), GRID.n_exits + 2), dtype=np.int32)
        counts[:, 0], counts[:, -1] = sum(self.flying[-1].encode()) % 90, N_IMAGES
        return self.flying.pop(), counts


def test_every_subnet_in_flight_is_told_once_and_none_is_evaluated_twice(tmp_path):
    genes = SPACE.largest
    rate = np.zeros((1, len(GRID), GRID.n_exits + 1))
    rate[:, :, -1] = 1
    table = AccuracyTable(genes, GRID, np.full((1, len(GRID)), 7.0), rate)
    log = EvaluationLog(tmp_path / "e.jsonl", {"n_images": N_IMAGES})
    cluster = LastFirst()
    accuracy = EvaluatedAccuracy(SPACE, table, log, cluster)
    problem = replace(PROBLEM, scorer=replace(PROBLEM.scorer, accuracy=accuracy))
    for n_trials in (8, 12):
        study = open_study(None, tmp_path / "j", optuna.samplers.RandomSampler(seed=1))
        search = AsyncSearch(study, problem, population=4)
        search.start_from(genes)
        archive = search.run(n_trials)
        assert archive.n_subnets == n_trials
    assert cluster.most == 3
    assert len(np.unique(archive.population(), axis=0)) == 12
    assert 11 <= cluster.n_done <= 11 + 2 * cluster.n_slots  # what was in flight at an end is kept
    assert len(log.counts) == cluster.n_done
    assert str(SPACE.subnet(genes[0])) not in log.counts  # the table has it
