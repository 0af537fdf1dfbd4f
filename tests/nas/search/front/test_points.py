"""Points of a result: names, clocks and where the figures are from."""

import numpy as np

from nas.search.front.archive import Archive
from nas.search.front.points import PointMaker, Provenance, digits, point_id
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.scorer import Scorer
from search_spaces import DvfsLevel, ExitPolicy, PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.7,))
SCORER = Scorer(FormulaAccuracy(SPACE, GRID), FormulaCost(SPACE), 0.01)
PROBLEM = Problem(SPACE, SCORER, Bounds(), (len(CLOCKS_GHZ),))
GENES = np.unique(SPACE.sample_spread(20, np.random.default_rng(0)), axis=0)
LEVELS = [DvfsLevel(i, 1000 * ghz, None, None) for i, ghz in enumerate(CLOCKS_GHZ)]
INTERVAL = np.outer((-0.1, 0.1), 1 + np.arange(len(LEVELS)))


def maker(energy):
    return PointMaker(PROBLEM, LEVELS, Provenance("predicted", energy, INTERVAL))


def test_the_interval_of_a_point_is_that_of_its_level():
    for p in maker(None).baselines():
        ends = np.log(p["latency_interval_ms"]) - np.log(p["latency_ms"])
        np.testing.assert_allclose(ends, INTERVAL[:, p["level"]], atol=1e-4)


def test_points_of_a_level_do_not_dominate_each_other_and_cost_what_the_scorer_says():
    archive = Archive(PROBLEM.n_levels, PROBLEM.bounds)
    archive.add(GENES, SCORER(GENES))
    points = maker("simulated").fronts(archive, 5)
    for level in range(len(LEVELS)):
        own = [p for p in points if p["level"] == level]
        assert 0 < len(own) <= 5
        for p in own:
            genes = SPACE.genes([SPACE.parse(p["subnet"])])
            policy = GRID.index(ExitPolicy.from_dict(p["exits"]))
            assert p["latency_ms"] == digits(SCORER(genes).latency_ms[0, policy, level])
    assert len({p["id"] for p in points}) == len(points)


def test_a_target_without_energy_has_two_objectives():
    assert [q.name for q in maker(None).objectives] == ["top1_error_pct", "latency_ms"]
    point = maker(None).baselines()[0]
    assert (point["energy_mj"], point["energy_source"]) == (None, None)


def test_points_say_what_to_expect_on_new_images():
    def known(genes):
        error = np.arange(len(GRID)) + genes.sum(axis=1, keepdims=True)
        return error, 0.1 + 0 * error

    made = PointMaker(PROBLEM, LEVELS, Provenance("predicted", None, INTERVAL), known)
    archive = Archive(PROBLEM.n_levels, PROBLEM.bounds)
    archive.add(GENES, SCORER(GENES))
    for p in [*made.fronts(archive, 5), *made.baselines()]:
        genes = SPACE.genes([SPACE.parse(p["subnet"])])
        policy = GRID.index(ExitPolicy.from_dict(p["exits"]))
        assert (p["expected_error_pct"], p["error_se_pct"]) == (genes.sum() + policy, 0.1)
    assert "expected_error_pct" not in maker(None).baselines()[0]


def test_an_id_depends_on_the_configuration_alone():
    policy = ExitPolicy((0,), (0.5,))
    assert point_id(3, "d1", policy) == point_id(3, "d1", policy)
    assert point_id(3, "d1", policy) != point_id(3, "d2", policy)
    assert point_id(3, "d1", policy).startswith("L03-")
