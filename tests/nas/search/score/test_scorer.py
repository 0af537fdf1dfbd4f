"""Expected and worst-case costs of all policies against a walk through one policy at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import covers, non_dominated
from nas.search.front.archive import Archive, surely_covered
from nas.search.score.bounds import Bounds
from nas.search.score.objectives import WITHIN_PCT, trial_values
from nas.search.score.scorer import Scorer
from search_spaces import InputError, NASBench201Space, PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.5, 0.7, 0.9))
COST = FormulaCost(SPACE)
SCORER = Scorer(FormulaAccuracy(SPACE, GRID), COST, decision_ms=0.05)
GENES = SPACE.sample(12, np.random.default_rng(1))
SCORES = SCORER(GENES)


@given(st.integers(0, len(GENES) - 1), st.integers(0, len(GRID) - 1))
def test_expected_cost_is_the_sum_over_exits(i, p):
    latency, energy, worst = 0.0, 0.0, 0.0
    asked = [*GRID[p].after, SPACE.n_exits]
    for j, exit_ in enumerate(asked):
        heads = np.zeros((1, SPACE.n_exits + 1), dtype=bool)
        heads[0, asked[: j + 1]] = True
        run_ms, run_mj = (x[0, 0] for x in COST(GENES[i : i + 1], heads))
        n_decisions = sum(k < SPACE.n_exits for k in asked[: j + 1])
        worst = run_ms + n_decisions * SCORER.decision_ms
        rate = SCORES.rates[i, p, exit_]
        latency += rate * worst
        energy += rate * run_mj * worst / run_ms
    np.testing.assert_allclose(SCORES.latency_ms[i, p], latency)
    np.testing.assert_allclose(SCORES.energy_mj[i, p], energy)
    np.testing.assert_allclose(SCORES.worst_ms[i, p], worst)


def test_a_space_without_exits_has_one_policy_and_no_decisions():
    space = NASBench201Space()
    scorer = Scorer(FormulaAccuracy(space, PolicyGrid(0)), FormulaCost(space), decision_ms=9.0)
    genes = space.sample(4, np.random.default_rng(0))
    scores = scorer(genes)
    assert scores.costs().shape == (4, 1, len(CLOCKS_GHZ), 3)
    np.testing.assert_allclose(
        scores.latency_ms[:, 0], FormulaCost(space)(genes, np.ones((1, 1), dtype=bool))[0][:, 0]
    )


def test_the_archive_is_the_front_of_every_configuration():
    archive = Archive(len(CLOCKS_GHZ), Bounds())
    for part in np.array_split(GENES, 3):
        archive.add(part, SCORER(part))
    costs = SCORES.costs()
    for level, front in enumerate(archive.fronts):
        rows = costs[:, :, level].reshape(-1, 3)
        no_worse = (rows[None] <= rows[:, None]).all(axis=2)
        better = (rows[None] < rows[:, None]).any(axis=2)
        expected = np.unique(rows[~(no_worse & better).any(axis=1)], axis=0)
        found = np.unique(front.costs, axis=0)
        np.testing.assert_allclose(found, expected)
        assert len(found) == len(front.costs)
        own = costs[front.subnet, front.policy, level]
        np.testing.assert_array_equal(own, front.costs)
    assert archive.n_configurations == SCORES.latency_ms.size


COORDINATE = st.sampled_from([0.0, 1 / 3, np.nextafter(1 / 3, 1), 0.5, 2.0, 1e6, 1e6 + 1e-9])
ROWS = st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE), max_size=30)


@given(ROWS, ROWS)
def test_only_what_the_front_covers_is_dropped(candidates, front):
    costs, front = (np.array(rows).reshape(-1, 3) for rows in (candidates, front))
    dropped = surely_covered(list(costs.T), front)
    assert not (dropped & ~covers(costs, front).any(axis=1)).any()


def test_most_of_what_a_front_covers_is_dropped_by_its_table():
    rng = np.random.default_rng(0)
    front, costs = rng.random((1000, 3)), 1.5 * rng.random((10_000, 3))
    front = front[non_dominated(front)]
    covered = covers(costs, front).any(axis=1)
    assert surely_covered(list(costs.T), front).sum() > 0.95 * covered.sum()


def test_the_archive_keeps_feasible_configurations_only():
    bounds = Bounds(max_worst_latency_ms=float(np.median(SCORES.worst_ms)), max_error_pct=60.0)
    archive = Archive(len(CLOCKS_GHZ), bounds)
    archive.add(GENES, SCORES)
    assert archive.n_points
    for level, front in enumerate(archive.fronts):
        worst = SCORES.worst_ms[front.subnet, front.policy, level]
        assert (worst <= bounds.max_worst_latency_ms).all()
        assert (front.costs[:, 0] <= bounds.max_error_pct).all()


def test_trial_values_by_hand():
    values = trial_values(SCORES, 1)
    for i in range(len(GENES)):
        best = SCORES.error_pct[i].min()
        near = [p for p in range(len(GRID)) if SCORES.error_pct[i, p] <= best + WITHIN_PCT]
        cheapest = min(near, key=lambda p: SCORES.latency_ms[i, p, 1])
        expected = best, SCORES.latency_ms[i, cheapest, 1], SCORES.energy_mj[i, cheapest, 1]
        np.testing.assert_allclose(values[i], expected)


def test_violation_is_the_smallest_over_policies_and_levels():
    bounds = Bounds(max_latency_ms=0.5 * float(SCORES.latency_ms.min()), max_energy_mj=1e9)
    found = Archive(len(CLOCKS_GHZ), bounds).add(GENES, SCORES)
    for i in range(len(GENES)):
        assert found[i] == pytest.approx(SCORES.latency_ms[i].min() / bounds.max_latency_ms - 1)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_is_a_positive_number(value):
    with pytest.raises(InputError, match="`max_latency_ms` must be a positive number"):
        Bounds(max_latency_ms=value)
