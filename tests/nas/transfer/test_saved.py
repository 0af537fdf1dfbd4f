"""A predictor in a folder predicts as it did before, and says what it does not know."""

import json

import numpy as np
import pandas as pd
import pytest

from nas.devices import get_device
from nas.transfer.quality import about
from nas.transfer.saved import TrainedCosts, load_costs
from predictors import LatencyPredictor, genes_and_heads, save_predictor
from search_spaces import InputError, encode
from tests.nas.synthetic import digits_space

SPACE = digits_space()


@pytest.fixture(scope="module")
def rows():
    subnets = SPACE.subnets(SPACE.sample_spread(24, np.random.default_rng(0)))
    nano = get_device("nano")
    return pd.DataFrame([nano.measure(SPACE, s, [SPACE.n_exits], 3) for s in subnets])


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    X, y = encode(SPACE, *genes_and_heads(rows, SPACE)), rows["latency_ms"].to_numpy(float)
    fitted = LatencyPredictor().fit(X, y, rows["subnet"].to_numpy(object))
    folder = tmp_path_factory.mktemp("predictor")
    save_predictor(fitted, folder, SPACE, **about(rows))
    return folder


def test_costs_come_with_their_interval_and_source(rows, folder):
    costs = load_costs(folder, "latency_ms", SPACE)
    assert isinstance(costs, TrainedCosts)
    predicted, low, high = costs(rows, 0.9)
    assert (low < predicted).all()
    assert (predicted < high).all()
    np.testing.assert_allclose(predicted, rows["latency_ms"], rtol=0.3)
    assert costs.source == "predicted (simulated)"


def test_it_knows_the_rows_that_it_learned_from(rows, folder):
    costs, y = load_costs(folder, "latency_ms", SPACE), rows["latency_ms"].to_numpy(float)
    assert costs.learned_from(rows, y)
    grown = pd.concat([rows, rows[:3].assign(latency_ms=9.0)], ignore_index=True)
    assert costs.learned_from(grown, grown["latency_ms"].to_numpy(float))
    assert not costs.learned_from(rows[1:], y[1:])
    assert not costs.learned_from(rows, y * 1.01)


def test_one_level_is_all_that_it_knows(rows, folder):
    costs = load_costs(folder, "latency_ms", SPACE)
    assert costs.at_level(rows, None) is rows
    assert costs.at_level(rows, 3) is rows
    with pytest.raises(InputError, match=r"knows one level \(it learned level 3\), asked 0"):
        costs.at_level(rows, 0)
    with pytest.raises(InputError, match="asked 5"):
        costs.at_level(rows.assign(level=5), None)
    other = rows.drop(columns="level").assign(gpu_mhz=614.4)
    with pytest.raises(InputError, match=r"knows one clock \(307.2 MHz\), asked 614.4 MHz"):
        costs.at_level(other, None)


def test_a_pool_whose_file_is_damaged_is_one_line(folder, tmp_path):
    (tmp_path / "transfer_latency_ms.json").write_text(json.dumps({"levels": 3}))
    with pytest.raises(InputError) as caught:
        load_costs(tmp_path, "latency_ms", SPACE)
    assert "\n" not in str(caught.value)
