"""Fronts, hypervolume and representatives against brute force; the file reads back."""

import csv
import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.pareto import (
    ParetoTable,
    hypervolume,
    knee,
    non_dominated,
    read_pareto,
    spread,
)
from nas.pareto.table import CSV_COLUMNS
from search_spaces import InputError

COSTS = st.integers(1, 60).flatmap(
    lambda n: st.integers(2, 3).flatmap(
        lambda k: arrays(np.float64, (n, k), elements=st.integers(0, 6).map(float))
    )
)


@given(COSTS)
def test_front_is_that_of_all_pairs(costs):
    kept = non_dominated(costs)
    for i, row in enumerate(costs):
        dominated = any((o <= row).all() and (o < row).any() for o in costs)
        earlier_twin = any((o == row).all() for o in costs[:i])
        assert kept[i] == (not dominated and not earlier_twin)


def test_front_of_many_blocks_equals_that_of_all_pairs():
    costs = np.random.default_rng(0).random((1500, 3)).round(2)
    no_worse = (costs[:, None] >= costs[None]).all(axis=2)
    better = (costs[:, None] > costs[None]).any(axis=2)
    expected = np.unique(costs[~(no_worse & better).any(axis=1)], axis=0)
    np.testing.assert_array_equal(np.unique(costs[non_dominated(costs)], axis=0), expected)


@given(COSTS)
def test_hypervolume_counts_the_dominated_unit_cells(costs):
    reference = [7.0] * costs.shape[1]
    cells = product(range(7), repeat=costs.shape[1])
    covered = sum(any((row <= np.array(cell)).all() for row in costs) for cell in cells)
    assert hypervolume(costs, reference) == pytest.approx(covered)


def test_points_outside_the_reference_add_nothing():
    assert hypervolume(np.array([[2.0, 2.0]]), [1.0, 3.0]) == 0


@given(COSTS, st.integers(1, 10))
def test_spread_keeps_the_ends_and_the_size(costs, n):
    front = costs[non_dominated(costs)]
    kept = spread(front, n)
    assert len(kept) == min(n, len(front))
    assert len(set(kept.tolist())) == len(kept)
    if n > costs.shape[1]:
        assert set(front[kept].min(axis=0)) <= set(front.min(axis=0))
        assert knee(front) in kept


def small_table() -> ParetoTable:
    """Two levels with one point each."""
    levels = [
        {"level": k, "gpu_mhz": 100.0 + k, "cpu_mhz": 1.0, "emc_mhz": None, "power_mode": None}
        for k in range(2)
    ]
    points = [
        {
            "id": f"L0{k}-x",
            "level": k,
            "subnet": "d1",
            "exits": {"after": [0], "thresholds": [0.9]},
            "top1_error_pct": 10.0,
            "error_source": "measured",
            "latency_ms": 1.0,
            "latency_worst_ms": 1.5,
            "latency_source": "predicted (simulated)",
            "energy_mj": None,
            "energy_source": None,
            "macs": 1,
            "params": 2,
        }
        for k in range(2)
    ]
    objectives = [{"name": "top1_error_pct"}, {"name": "latency_ms"}]
    content = {"schema": "nas.pareto/1", "levels": levels, "points": points}
    return ParetoTable(content | {"objectives": objectives, "baselines": []})


def test_json_and_csv_read_back(tmp_path):
    table = small_table()
    table.write_json(tmp_path / "pareto.json")
    assert read_pareto(tmp_path / "pareto.json") == table
    table.write_csv(tmp_path / "pareto.csv")
    rows = list(csv.DictReader((tmp_path / "pareto.csv").open(newline="")))
    assert list(rows[0]) == list(CSV_COLUMNS)
    assert [row["exits"] for row in rows] == ["0@0.9"] * 2
    assert rows[1]["gpu_mhz"] == "101.0"
    assert rows[0]["energy_mj"] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pareto.csv", "pareto.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("{", "no readable pareto.json"),
        (json.dumps({"schema": "nas.pareto/9"}), "schema 'nas.pareto/9', this version reads"),
        ("[]", "schema None"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "pareto.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_pareto(path)
    assert "\n" not in str(caught.value)
