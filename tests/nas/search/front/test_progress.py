"""Hypervolume over the generations, when it stalls, and which genes count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.search.front.importance import importance
from nas.search.front.progress import (
    MARGIN,
    STALL,
    Progress,
    mean,
    measured,
    reference_costs,
    stalled,
)
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.scorer import Scorer
from search_spaces import PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
SCORER = Scorer(FormulaAccuracy(SPACE, PolicyGrid(SPACE.n_exits, (0.7,))), FormulaCost(SPACE), 0.01)


def history(volumes):
    return [Progress(i, (1,), (v,)) for i, v in enumerate(volumes)]


def test_the_box_is_that_of_the_costlier_end():
    reference = reference_costs(Problem(SPACE, SCORER, Bounds(), (len(CLOCKS_GHZ),)))
    ends = SCORER(np.concatenate([SPACE.largest, SPACE.smallest])).costs()[:, 0]
    assert reference.shape == (len(CLOCKS_GHZ), 3)
    np.testing.assert_allclose(reference, MARGIN * np.maximum(ends[0], ends[1]))


def test_shares_of_the_box_by_hand():
    fronts = [np.array([[1.0, 1.0, 1.0]]), np.empty((0, 3)), np.array([[5.0, 1.0, 0.0]])]
    reference = np.array([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0], [10.0, 4.0, 0.0]])
    assert measured(7, fronts, reference) == Progress(7, (1, 0, 1), (0.125, 0.0, 0.375))


def test_levels_that_are_not_searched_do_not_count():
    reference = np.array([[2.0, 2.0, 2.0], [np.nan] * 3])
    found = measured(1, [np.array([[1.0, 1.0, 1.0]]), np.empty((0, 3))], reference)
    assert mean(found.hypervolume) == 0.125
    assert not stalled([found], 1)
    assert stalled([found, found], 1)


@given(st.lists(st.floats(0.001, 0.1), min_size=2, max_size=8), st.integers(1, 4))
def test_a_stall_is_little_growth_over_all_generations_of_the_patience(growth, patience):
    volumes = np.cumprod([1.0, *(1 + g * STALL * 20 for g in growth)])
    expected = len(volumes) > patience and volumes[-1] / volumes[-1 - patience] - 1 < STALL
    assert stalled(history(volumes), patience) == expected


def test_a_search_without_a_point_has_not_stalled():
    assert not stalled(history([0.0, 0.0, 0.0]), 2)


def test_the_gene_that_decides_is_the_most_important():
    genes = np.unique(SPACE.sample(400, np.random.default_rng(0)), axis=0)
    column = SPACE.gene_names.index("depth1")
    decided = np.exp(genes[:, column].astype(float))
    values = np.stack([decided, decided * genes[:, 0], np.ones(len(genes))], axis=1)
    found = importance(SPACE, genes, values)
    assert set(found) == {"top1_error_pct", "latency_ms"}  # a constant has no causes
    assert next(iter(found["top1_error_pct"])) == "depth1"
    assert found["top1_error_pct"]["depth1"] > 0.9
    assert sum(found["latency_ms"].values()) == pytest.approx(1, abs=0.01)
    assert importance(SPACE, genes[:10], values[:10]) == {}
