"""An archive and its parts, one for each device."""

import numpy as np

from nas.search.front.archive import Archive
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.scorer import Scorer
from search_spaces import PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.7,))
SCORER = Scorer(FormulaAccuracy(SPACE, GRID), FormulaCost(SPACE), 0.01)
PROBLEM = Problem(SPACE, SCORER, Bounds(), (len(CLOCKS_GHZ),))
GENES = np.unique(SPACE.sample_spread(20, np.random.default_rng(0)), axis=0)


def test_the_part_of_a_device_has_its_levels_alone():
    archive = Archive((2, 1), Bounds())
    archive.add(GENES, SCORER(GENES))
    archive.trial_values.append(np.zeros((2, len(GENES), 3)))
    first, second = archive.part(0, slice(0, 2)), archive.part(1, slice(2, 3))
    assert (len(first.fronts), len(second.fronts)) == (2, 1)
    np.testing.assert_array_equal(second.fronts[0].costs, archive.fronts[2].costs)
    assert set(second.fronts[0].setting) == {0}
    assert second.n_configurations == archive.n_configurations // 3
    assert first.n_points + second.n_points == archive.n_points


def test_points_belong_to_the_subnets_that_were_added():
    archive = Archive(PROBLEM.n_levels, PROBLEM.bounds)
    for part in np.array_split(GENES, 4):
        archive.add(part, SCORER(part))
    np.testing.assert_array_equal(archive.population(), GENES)
    for level, front in enumerate(archive.fronts):
        own = SCORER(archive.population()[front.subnet])
        rows = np.arange(len(front.costs))
        np.testing.assert_allclose(own.costs()[rows, front.policy, level], front.costs)
