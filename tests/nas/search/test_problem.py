"""The search as a library: own objects go in where names go, and a fourth objective with them."""

from dataclasses import replace

import numpy as np
import optuna
import pytest

from nas.pareto import OBJECTIVES, hypervolume, non_dominated
from nas.samplers.nsga2 import GenerationSampler
from nas.search import run_search
from nas.search.front.archive import Archive
from nas.search.front.outcomes import Outcomes
from nas.search.front.shared_set import shared
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.quantities import objectives_named
from nas.search.score.scorer import Scorer
from nas.search.targets import params_of
from search_spaces import InputError, PolicyGrid
from tests.nas.search.conftest import OWN
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.7,))
FOUR = objectives_named((*OBJECTIVES, "params"))
SCORER = Scorer(
    FormulaAccuracy(SPACE, GRID), FormulaCost(SPACE), 0.01, params=params_of(SPACE, GRID)
)
PROBLEM = Problem(SPACE, SCORER, Bounds(), (len(CLOCKS_GHZ),), FOUR)
GENES = np.unique(SPACE.sample_spread(24, np.random.default_rng(0)), axis=0)


def test_own_space_device_and_sampler_go_in_where_names_go(settings, tmp_path):
    sampler = GenerationSampler(OWN, seed=3, population=10)
    board = replace(settings.device, source="measured")
    table = run_search(replace(settings, device=board, sampler=sampler))
    assert table.content["device"]["name"] == "my-board"
    assert table.content["device"]["latency_source"] == "predicted"
    assert table.content["space"] == "mine"
    assert table.content["search"]["n_subnets"] == 30
    assert {p["level"] for p in table.points} == {0, 1}
    assert (tmp_path / "run" / "pareto.json").is_file()


def test_the_level_of_a_trials_values_is_told_in_the_study(settings, tmp_path):
    run_search(settings)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "run" / "study.journal"))
    study = optuna.load_study(study_name="nas", storage=optuna.storages.JournalStorage(backend))
    assert study.user_attrs["value_levels"] == {"my-board": 1}


def test_optunas_own_sampler_searches_and_resumes(settings):
    tpe = optuna.samplers.TPESampler(seed=1)
    for n_trials, resume in ((15, False), (25, True)):
        table = run_search(replace(settings, sampler=tpe, n_trials=n_trials), resume=resume)
        assert table.content["search"]["n_subnets"] == n_trials
    for level in (0, 1):
        costs = table.costs(table.at(level))
        assert len(costs)
        assert non_dominated(costs).all()


def test_a_sampler_of_another_space_is_refused(settings):
    with pytest.raises(InputError, match="`sampler` was made for the space resnet-digits, the"):
        run_search(replace(settings, sampler=GenerationSampler(SPACE)))


# ---- a fourth objective ------------------------------------------------------------------------


def test_a_fourth_objective_is_archived_as_the_other_three():
    outcomes = Outcomes(PROBLEM)
    values = [outcomes.add(part)[0] for part in np.array_split(GENES, 3)]
    assert values[0].shape == (len(GENES) // 3, 4)
    costs = PROBLEM.costs(SCORER(GENES))
    for level, front in enumerate(outcomes.archive.fronts):
        rows = costs[:, :, level].reshape(-1, 4)
        no_worse = (rows[None] <= rows[:, None]).all(axis=2)
        better = (rows[None] < rows[:, None]).any(axis=2)
        expected = np.unique(rows[~(no_worse & better).any(axis=1)], axis=0)
        np.testing.assert_allclose(np.unique(front.costs, axis=0), expected)
    three = Archive(PROBLEM.n_levels, Bounds())
    three.add(GENES, SCORER(GENES))
    assert outcomes.archive.n_points > three.n_points
    assert 0 < outcomes.measure().hypervolume < 1


def test_a_hypervolume_of_four_objectives_is_that_of_the_boxes_counted():
    rng = np.random.default_rng(0)
    costs = rng.integers(0, 5, size=(12, 4)).astype(float)
    cells = np.stack(np.meshgrid(*[np.arange(5) + 0.5] * 4), axis=-1).reshape(-1, 4)
    dominated = (costs[None] < cells[:, None]).all(axis=2).any(axis=1)
    assert hypervolume(costs, [5.0] * 4) == pytest.approx(dominated.sum())


def test_a_shared_set_keeps_a_fourth_objective():
    archive = Archive(PROBLEM.n_levels, Bounds(), FOUR)
    archive.add(GENES, SCORER(GENES))
    content = shared(PROBLEM, [archive.part(0, slice(0, 3))], ["board"])
    kept = content["set"][-1]["kept_pct"]["board"]
    assert kept >= 99
    assert len(content["set"]) <= len(GENES)


def test_a_search_of_four_objectives_writes_them_down(settings):
    table = run_search(replace(settings, objectives=(*OBJECTIVES, "params")))
    assert [o["name"] for o in table.content["objectives"]] == [*OBJECTIVES, "params"]
    three = run_search(settings, overwrite=True)
    for level in (0, 1):
        costs = table.costs(table.at(level))
        assert costs.shape[1] == 4
        assert non_dominated(costs).all()
        smallest = min(p["params"] for p in three.at(level))
        assert min(p["params"] for p in table.at(level)) <= smallest
    assert len(table.content["reference"]["point"]) == 4
