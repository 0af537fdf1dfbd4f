"""Quality of predicted costs, on figures that can be checked by hand."""

import numpy as np
import pandas as pd
import pytest

from nas.devices import get_device
from nas.transfer.quality import about, check_has, predictor_kind, quality, rows_of
from predictors import EnergyPredictor, TableError
from search_spaces import InputError
from tests.nas.synthetic import digits_space

SPACE = digits_space()
NAMES = np.array([f"s{i}" for i in range(12)], dtype=object)
Y = np.arange(1.0, 13)


@pytest.fixture(scope="module")
def table():
    """Six programs on the Nano at two levels."""
    nano, heads = get_device("nano"), [SPACE.n_exits]
    subnets = SPACE.subnets(SPACE.sample_spread(6, np.random.default_rng(0)))
    return pd.DataFrame(
        [nano.measure(SPACE, subnet, heads, level) for subnet in subnets for level in (0, 3)]
    )


def test_a_prediction_that_is_right_everywhere():
    found = quality(Y, Y, (0.9 * Y, 1.1 * Y), NAMES)
    assert (found["mape_pct"], found["srcc"]) == (0, 1)
    assert found["kendall_tau"] == pytest.approx(1)
    assert (found["n_rows"], found["n_subnets"], found["coverage_pct"]) == (12, 12, 100)
    assert found["interval_half_width_pct"] == pytest.approx(100 * (np.sqrt(1.1 / 0.9) - 1))


def test_ranks_are_compared_within_a_clock():
    clock = np.repeat([100.0, 200.0], 6)
    predicted = np.concatenate([Y[:6] + 100, Y[6:]])  # wrong between the clocks alone
    assert quality(Y, predicted, (Y, Y), NAMES, clock)["srcc"] == 1
    assert quality(Y, predicted, (Y, Y), NAMES)["srcc"] < 0.5
    clock[-1] = 300.0  # a clock with one row ranks nothing, and does not hide the others
    found = quality(Y, predicted, (Y, Y), NAMES, clock)
    assert (found["srcc"], found["kendall_tau"]) == (1, pytest.approx(1))


def test_what_few_rows_cannot_tell_is_none():
    found = quality(Y[:1], Y[:1], (np.zeros(1), np.full(1, np.inf)), NAMES[:1])
    assert found["srcc"] is None
    assert found["coverage_pct"] is None
    assert found["interval_half_width_pct"] is None


def test_rows_are_those_of_one_setting(table, tmp_path):
    path = tmp_path / "rows.csv"
    table.to_csv(path, index=False)
    rows = rows_of(path, SPACE, "latency_ms", level=3)
    assert len(rows) == 6
    assert about(rows)["level"] == 3
    assert about(rows)["source"] == "simulated"
    with pytest.raises(TableError, match=r"mixes 2 values of level \(0, 3\); .* choose with"):
        rows_of(path, SPACE, "latency_ms")
    assert len(rows_of(path, SPACE, "latency_ms", varying=("level", "gpu_mhz"))) == 12
    table.assign(threads=[1] * 6 + [4] * 6).to_csv(path, index=False)
    with pytest.raises(TableError, match=r"mixes 2 values of threads"):
        rows_of(path, SPACE, "latency_ms", varying=("level", "gpu_mhz"))
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match="no rows at `level` 1; it has 0, 3"):
        rows_of(path, SPACE, "latency_ms", level=1)


def test_what_is_not_there_is_said(table):
    assert predictor_kind("energy_mj") is EnergyPredictor
    with pytest.raises(InputError, match="`quantity` must be one of latency_ms, energy_mj, got"):
        predictor_kind("power_w")
    with pytest.raises(InputError, match="x holds no energy_mj; it has"):
        check_has(table.drop(columns="energy_mj"), "energy_mj", "x")
