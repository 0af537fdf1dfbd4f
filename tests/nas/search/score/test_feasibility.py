"""Bounds that cannot be met are answered before the search, with a way out that works."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.feasibility import check_feasible, least_bounds, least_values
from nas.search.score.scorer import Scorer
from nas.search.targets import params_of
from search_spaces import InputError, PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space


class GradedAccuracy(FormulaAccuracy):
    """Never without an error, and less of it for larger subnets."""

    def __call__(self, genes):
        error, rates, measured = super().__call__(genes)
        small = 1 - genes.sum(axis=1) / self.space.largest.sum()
        return 2 + error + 10 * small[:, None], rates, measured


SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.7, 0.95))
SCORER = Scorer(
    GradedAccuracy(SPACE, GRID), FormulaCost(SPACE), 0.01, params=params_of(SPACE, GRID)
)
GENES = np.unique(SPACE.sample_spread(40, np.random.default_rng(0)), axis=0)
SCORES = SCORER(GENES)
NAMES = {
    "max_error_pct": SCORES.error_pct[:, :, None],
    "max_latency_ms": SCORES.latency_ms,
    "max_worst_latency_ms": SCORES.worst_ms,
    "max_energy_mj": SCORES.energy_mj,
    "max_params": SCORES.params[:, :, None],
}


def problem(bounds: Bounds) -> Problem:
    return Problem(SPACE, SCORER, bounds, (len(CLOCKS_GHZ),))


def answer(bounds: Bounds) -> str:
    with pytest.raises(InputError) as refused:
        check_feasible(problem(bounds), seed=0)
    return str(refused.value)


def test_parameters_are_those_of_the_asked_program():
    for row in range(0, len(GENES), 7):
        for i in range(0, len(GRID), 5):
            heads = np.zeros((1, SPACE.n_exits + 1), dtype=bool)
            heads[0, [*GRID[i].after, SPACE.n_exits]] = True
            expected = SPACE.operators(GENES[row : row + 1], heads).params.sum()
            assert SCORES.params[row, i] == expected


@given(st.sampled_from(list(NAMES)), st.sets(st.integers(0, 2), min_size=1), st.floats(0.9, 2))
def test_violation_and_least_values_are_those_of_all_configurations(name, levels, factor):
    bound = factor * float(np.quantile(NAMES[name], 0.1))
    bounds = replace(Bounds(levels=tuple(levels), max_energy_mj=100.0), **{name: bound})
    violation, least = bounds.violation(SCORES), least_values(bounds, SCORES, name)
    for i in range(0, len(GENES), 9):
        expected = np.inf
        for p in range(len(GRID)):
            for level in range(len(CLOCKS_GHZ)):
                value = np.broadcast_to(NAMES[name], SCORES.latency_ms.shape)[i, p, level]
                over = {name: value / bound - 1}
                if name != "max_energy_mj":
                    over["max_energy_mj"] = SCORES.energy_mj[i, p, level] / 100 - 1
                worst = max(over.values()) if level in levels else np.inf
                assert violation[i, p, level] == pytest.approx(worst)
                others = [v for k, v in over.items() if k != name]
                if level in levels and all(v <= 0 for v in others):
                    expected = min(expected, value)
        assert least[i] == pytest.approx(expected)


def test_nothing_is_looked_for_without_bounds():
    assert check_feasible(problem(Bounds()), seed=0).shape == (0, len(SPACE.choices))


def test_subnets_that_meet_the_bounds_start_the_search():
    bounds = Bounds(max_latency_ms=2.0, max_error_pct=60.0, levels=(1, 2))
    found = check_feasible(problem(bounds), seed=0)
    assert 0 < len(found) <= 8
    assert (bounds.violation(SCORER(found)).min(axis=(1, 2)) <= 0).all()


def test_what_no_probe_meets_is_searched_for():
    probes = SCORER(SPACE.sample_spread(256, np.random.default_rng(0), repeats=True))
    fast = Bounds(max_latency_ms=1.7 * float(SCORES.latency_ms.min()), max_error_pct=1e-9)
    least = least_bounds(problem(fast), seed=0).relaxed["max_error_pct"]
    assert least < least_values(fast, probes, "max_error_pct").min()
    bounds = replace(fast, max_error_pct=least)
    assert len(check_feasible(problem(bounds), seed=0))


def test_one_unreachable_bound_names_the_best_and_what_to_raise_it_to():
    said = answer(Bounds(max_energy_mj=0.001))
    assert said.startswith("no configuration meets `max_energy_mj` 0.001: the best reachable is ")
    raised = float(re.search(r"raise `max_energy_mj` to ([\d.]+)$", said).group(1))
    assert len(check_feasible(problem(Bounds(max_energy_mj=raised)), seed=0))


@settings(max_examples=12)
@given(st.data())
def test_every_single_relaxation_that_is_named_suffices(data):
    names = data.draw(st.sets(st.sampled_from(list(NAMES)), min_size=2, max_size=3))
    share = {name: data.draw(st.floats(0, 0.3)) for name in sorted(names)}
    values = {n: float(np.quantile(NAMES[n], q) * 1.0001) for n, q in share.items()}
    bounds = Bounds(**values)
    try:
        check_feasible(problem(bounds), seed=0)
    except InputError as refused:
        said = str(refused)
        for name in values:
            for found in re.findall(rf"raise `{name}` to ([\d.]+)", said):
                assert float(found) > values[name]
                raised = replace(bounds, **{name: float(found)})
                assert len(check_feasible(problem(raised), seed=0))
        assert "raise" in said


def test_bounds_that_exclude_each_other_say_how_far_they_are():
    error = float(np.quantile(SCORES.error_pct, 0.01))
    latency = float(SCORES.latency_ms.min())
    said = answer(Bounds(max_error_pct=error, max_latency_ms=1.02 * latency))
    for part in ("together", "each alone is reachable", "the closest misses by", " or raise "):
        assert part in said


def test_levels_that_forbid_a_bound_are_named():
    fastest = float(SCORES.latency_ms[:, :, 2].min())
    said = answer(Bounds(max_latency_ms=1.1 * fastest, levels=(0,)))
    assert "at the allowed `levels`" in said
    assert said.endswith("or allow other `levels`")
