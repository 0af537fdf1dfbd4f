"""Where a search begins: the measured subnets that hold the most points of all fronts."""

import numpy as np
import pytest

from nas.search import SearchSettings, run_search
from nas.search.front.best_measured import N_LOOKED_AT, best_measured
from nas.search.model import load_model
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.scorer import Scorer
from search_spaces import PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.5, 0.7, 0.9))
SCORER = Scorer(FormulaAccuracy(SPACE, GRID), FormulaCost(SPACE), decision_ms=0.05)
LEVELS = (len(CLOCKS_GHZ),)
KNOWN = SPACE.sample(40, np.random.default_rng(1))


def points_on_fronts(genes, bounds):
    """How many configurations of every subnet no other one dominates, pair by pair."""
    scores = SCORER(genes)
    count = np.zeros(len(genes), dtype=int)
    for level in range(LEVELS[0]):
        met = bounds.violation(scores)[:, :, level] <= 0
        rows, owner = scores.costs()[:, :, level][met], np.nonzero(met)[0]
        no_worse = (rows[None] <= rows[:, None]).all(axis=2)
        better = (rows[None] < rows[:, None]).any(axis=2)
        np.add.at(count, owner[~(no_worse & better).any(axis=1)], 1)
    return count


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(max_error_pct=30.0), Bounds(levels=(1,))])
def test_subnets_with_most_points_on_the_fronts_come_first(bounds):
    count = points_on_fronts(KNOWN, bounds)
    found = best_measured(KNOWN, Problem(SPACE, SCORER, bounds, LEVELS), 5)
    rows = [np.flatnonzero((genes == KNOWN).all(axis=1))[0] for genes in found]
    assert [count[r] for r in rows] == sorted(count[count > 0], reverse=True)[:5]


def test_no_subnet_within_the_bounds_no_beginning():
    bounds = Bounds(max_latency_ms=1e-9)
    assert not len(best_measured(KNOWN, Problem(SPACE, SCORER, bounds, LEVELS), 5))


def test_of_a_large_table_an_even_part_is_looked_at():
    asked = []

    def score(genes):
        asked.append(len(genes))
        return SCORER(genes)

    many = SPACE.sample(3 * N_LOOKED_AT, np.random.default_rng(0))
    best_measured(many, Problem(SPACE, score, Bounds(), LEVELS), 5)
    assert N_LOOKED_AT // 2 < sum(asked) <= N_LOOKED_AT


def test_a_search_of_the_zoo_begins_with_measured_subnets(tmp_path):
    settings = SearchSettings("nano", tmp_path / "run", n_trials=100, n_points=5)
    table = run_search(settings)
    measured = {tuple(genes) for genes in load_model(settings).accuracy.table.genes.tolist()}
    space = load_model(settings).space
    kept = {point["subnet"] for point in table.points}
    genes = space.genes([space.parse(name) for name in kept])
    assert np.mean([tuple(row) in measured for row in genes.tolist()]) > 0.5
