"""The rows of a target: simulated where nobody measured, the user's where they fit."""

import numpy as np
import pandas as pd
import pytest

from nas.devices import get_device
from nas.search import SearchSettings, load_proxy
from nas.search.target_rows import as_measured, measure_plan, planned_rows, target_rows
from search_spaces import InputError
from tests.nas.synthetic import digits_space

SPACE = digits_space()
NANO, TX2 = get_device("nano"), get_device("tx2")
PROXY = load_proxy(SPACE, "xavier-nx")


@pytest.fixture(scope="module")
def measured():
    """Rows of the plan of a search for the Nano."""
    settings = SearchSettings("nano", "unused", n_target_rows=10)
    planned = planned_rows(settings, SPACE, NANO, PROXY)
    return planned, measure_plan(SPACE, NANO, planned)


def test_a_plan_names_programs_and_the_device_their_costs(measured):
    planned, rows = measured
    assert len(planned) == len(rows) == 10
    for plan, row in zip(planned, rows, strict=True):
        assert (plan["subnet"], plan["heads"]) == (row["subnet"], row["heads"])
        assert row["latency_ms"] > 0
        assert row["source"] == "simulated"


def test_rows_of_the_user_are_kept_and_those_of_another_device_refused(measured, tmp_path):
    own = tmp_path / "mine.csv"
    pd.DataFrame(measured[1]).to_csv(own, index=False)
    settings = SearchSettings("nano", tmp_path, measurements=own)
    paths = {"nano": tmp_path / "target_rows.csv"}
    (rows,) = target_rows(settings, SPACE, [NANO], PROXY, paths)
    np.testing.assert_allclose(rows["latency_ms"], [r["latency_ms"] for r in measured[1]])
    with pytest.raises(InputError, match="holds rows of nano, the target is tx2; give rows of"):
        target_rows(settings, SPACE, [TX2], PROXY, {"tx2": tmp_path / "tx2.csv"})


def test_rows_that_are_there_are_not_measured_again(measured, tmp_path):
    path = tmp_path / "rows.csv"
    pd.DataFrame(measured[1]).to_csv(path, index=False)
    before = path.read_bytes()
    (rows,) = target_rows(SearchSettings("nano", tmp_path), SPACE, [NANO], PROXY, {"nano": path})
    assert len(rows) == 10
    assert path.read_bytes() == before


def test_only_a_machine_takes_its_clock_from_its_rows(measured):
    assert as_measured(NANO, pd.DataFrame(measured[1])) is NANO
    rows = pd.DataFrame({"cpu_mhz": [1000.0, 1200.0, 1100.0], "decision_ms": [0.2, 0.1, 0.3]})
    host = as_measured(get_device("host"), rows)
    assert host.levels[0].cpu_mhz == 1100
    assert host.decision_ms == pytest.approx(0.2)
