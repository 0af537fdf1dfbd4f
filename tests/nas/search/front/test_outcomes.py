"""What comes of scored subnets."""

import numpy as np

from nas.search.front.outcomes import Outcomes
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


def test_the_hypervolume_grows_with_the_archive_and_stalls_without_news():
    outcomes = Outcomes(PROBLEM)
    seen = []
    for part in np.array_split(GENES, 3):
        outcomes.add(part)
        seen.append(outcomes.measure())
    assert [g.n_trials for g in seen] == list(np.cumsum([len(p) for p in np.array_split(GENES, 3)]))
    volumes = [g.hypervolume for g in seen]
    assert volumes == sorted(volumes)
    assert not outcomes.stalled(None)
    outcomes.add(GENES[:1])
    outcomes.measure()
    assert outcomes.stalled(1)


def test_trials_get_one_value_for_every_objective_and_one_violation():
    values, violation = Outcomes(PROBLEM).add(GENES)
    assert values.shape == (len(GENES), 3)
    assert (violation <= 0).all()
