"""The result of one device, and its files."""

import json

import numpy as np
import pytest

from nas.pareto import hypervolume, non_dominated, read_pareto
from nas.search import run_search


@pytest.fixture
def found(settings):
    return run_search(settings), settings.folder


def test_what_a_result_says_follows_from_its_points(found):
    table, _ = found
    content, reference = table.content, table.content["reference"]
    everything = table.costs([*table.points, *content["baselines"]])
    np.testing.assert_allclose(reference["point"], 1.1 * everything.max(axis=0), rtol=1e-3)
    for level, volume in enumerate(reference["hypervolume"]):
        costs = table.costs(table.at(level))
        assert volume == pytest.approx(hypervolume(costs, reference["point"]), rel=1e-3)
        assert len(costs) <= content["search"]["front_sizes"][level]
    front = non_dominated(table.costs(table.points))
    assert content["front"] == [p["id"] for p, on in zip(table.points, front, strict=True) if on]
    assert content["search"]["n_subnets"] == content["search"]["progress"][-1]["n_subnets"]


def test_the_three_files_hold_the_same_points(found):
    table, out = found
    assert read_pareto(out / "pareto.json").content == json.loads(json.dumps(table.content))
    lines = (out / "pareto.csv").read_text().splitlines()
    assert len(lines) == 1 + len(table.points)
    page = (out / "report.html").read_text()
    assert all(p["id"] in page for p in table.points)
