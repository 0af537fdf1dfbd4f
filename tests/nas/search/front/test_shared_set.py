"""The fewest subnets that serve several devices."""

import json

import numpy as np

from nas.search.front.archive import Archive
from nas.search.front.shared_set import LOSS_PCT, shared, write_shared
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


def test_a_set_for_the_same_device_twice_is_that_for_one(tmp_path):
    archive = Archive(PROBLEM.n_levels, PROBLEM.bounds)
    archive.add(GENES, SCORER(GENES))
    part = archive.part(0, slice(0, 3))
    one = shared(PROBLEM, [part], ["a"])
    assert one["set"][-1]["kept_pct"]["a"] >= 100 - LOSS_PCT
    assert set(one["on_every_front"]) >= {row["subnet"] for row in one["set"]}
    write_shared(one, tmp_path)
    assert json.loads((tmp_path / "shared.json").read_text()) == one
