"""From target rows to costs of any program: through the proxy, or by the device's own model."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nas.devices import get_device
from nas.search.target_rows import measure_plan
from nas.transfer.costs import target_costs
from nas.transfer.plan import plan_rows
from nas.transfer.programs import Programs
from nas.transfer.proxy import load_proxy
from search_spaces import PolicyGrid, get_space

SPACE = get_space("resnet-digits")
DEVICE = get_device("xavier-nx")
PROXY = load_proxy(SPACE, "nano")
ROWS = pd.DataFrame(
    measure_plan(SPACE, DEVICE, plan_rows(SPACE, DEVICE, PROXY, 24, np.random.default_rng(0)))
)
GENES = SPACE.sample(10, np.random.default_rng(1))
GRID = PolicyGrid(SPACE.n_exits).programs
EVERY = Programs.of_each(SPACE, GENES, GRID)
TRUE = [cost.reshape(10, len(GRID), -1) for cost in DEVICE.cost(EVERY.operators)]


class Unmodelled:
    """A device that can be measured and no more."""

    name, batch = "bare", 1

    def __init__(self, levels=DEVICE.levels):
        self.levels = levels


def off(found, true):
    """Median relative error."""
    return np.median(np.abs(np.log(found / true)))


def test_a_proxy_of_the_same_kind_predicts_both_costs_at_every_level():
    costs = target_costs(SPACE, DEVICE, PROXY, ROWS)
    assert (costs.latency_source, costs.energy_source) == ("predicted (simulated)",) * 2
    latency, energy = costs(GENES, GRID)
    assert latency.shape == energy.shape == (10, len(GRID), len(DEVICE.levels))
    assert off(latency, TRUE[0]) < 0.05
    assert off(energy, TRUE[1]) < 0.1


def test_energy_of_too_few_subnets_to_judge_is_the_models():
    """Of one, and of two that are left out together: a part of the rows had none to learn from."""
    many = SPACE.subnets(SPACE.sample_spread(20, np.random.default_rng(2)))
    rows = pd.DataFrame([DEVICE.measure(SPACE, subnet, [SPACE.n_exits], 7) for subnet in many])
    names = np.unique(rows["subnet"])
    for kept in ([0], [0, 10]):
        few = rows.assign(energy_mj=rows["energy_mj"].where(rows["subnet"].isin(names[kept])))
        costs = target_costs(SPACE, DEVICE, PROXY, few)
        assert "energy_mj" not in costs.entries()
        assert costs.energy_source == "predicted (scaled simulation)"
        assert off(costs(GENES, GRID)[1], TRUE[1]) < 0.1


def test_rows_that_each_have_a_clock_of_their_own_rank_nothing_and_leave_valid_json():
    some = SPACE.subnets(SPACE.sample_spread(10, np.random.default_rng(3)))
    rows = [DEVICE.measure(SPACE, subnet, [SPACE.n_exits], k) for k, subnet in enumerate(some)]
    entries = target_costs(SPACE, DEVICE, PROXY, pd.DataFrame(rows)).entries()
    assert entries["latency_ms"]["fallback"]["srcc"] is None
    json.dumps(entries, allow_nan=False)


def test_a_batch_asks_the_proxy_and_counts_operators_once(monkeypatch):
    asked, counted = [], []

    def latency_ms(programs):
        asked.append(len(programs))
        return PROXY.latency_ms(programs)

    costs = target_costs(SPACE, DEVICE, replace(PROXY, latency_ms=latency_ms), ROWS)
    asked.clear()
    count = type(SPACE).operators

    def operators(self, genes, heads):
        counted.append(len(genes))
        return count(self, genes, heads)

    monkeypatch.setattr(type(SPACE), "operators", operators)
    costs(GENES, GRID)
    assert asked == counted == [10 * len(GRID)]


def test_energy_is_latency_times_power():
    costs = target_costs(SPACE, Unmodelled(), PROXY, ROWS)
    latency, energy = costs(GENES, GRID)
    power = energy / latency  # in W: mJ per ms
    assert (np.diff(power, axis=2) > 0).all()  # faster clocks draw more
    true = TRUE[1] / TRUE[0]
    assert off(power, true) < 0.1


def test_a_no_go_is_replaced_by_the_devices_model_scaled_to_the_rows():
    shuffled = ROWS.assign(latency_ms=np.random.default_rng(0).permutation(ROWS["latency_ms"]))
    costs = target_costs(SPACE, DEVICE, PROXY, shuffled)
    assert (costs.latency_source, costs.energy_source) == ("predicted (scaled simulation)",) * 2
    entries = costs.entries()
    assert {name: entry["decision"] for name, entry in entries.items()} == {
        "latency_ms": "no-go",
        "energy_mj": "no-go",
    }
    assert "xavier-nx, scaled to the rows" in entries["latency_ms"]["fallback"]["model"]
    doubled = target_costs(SPACE, DEVICE, PROXY, shuffled.assign(energy_mj=2 * ROWS["energy_mj"]))
    assert off(doubled(GENES, GRID)[1], 2 * TRUE[1]) < 0.02


def test_without_a_model_a_no_go_is_said_and_the_proxy_predicts_on():
    shuffled = ROWS.assign(latency_ms=np.random.default_rng(0).permutation(ROWS["latency_ms"]))
    costs = target_costs(SPACE, Unmodelled(), PROXY, shuffled)
    assert costs.entries()["latency_ms"]["decision"] == "no-go"
    assert costs.latency_source == "predicted (simulated)"
    assert np.isfinite(costs(GENES, GRID)[0]).all()


def test_measured_rows_are_predicted_by_a_pool_which_knows_more_than_the_law():
    eager = get_device("tx2", backend="pytorch")  # no model of the pool is of eager PyTorch
    planned = plan_rows(SPACE, eager, PROXY, 24, np.random.default_rng(0))
    rows = pd.DataFrame(measure_plan(SPACE, eager, planned))
    by_law, pooled = (
        target_costs(SPACE, Unmodelled(eager.levels), PROXY, rows.assign(source=source))
        for source in ("simulated", "measured")
    )
    assert (by_law.outlook(), by_law.latency_source) == (None, "predicted (simulated)")
    assert pooled.latency_source == "predicted"
    assert pooled.entries()["latency_ms"]["proxy"] == f"{PROXY.name} and 14 analytic models"
    true = eager.cost(EVERY.operators)[0].reshape(10, len(GRID), -1)
    assert off(pooled(GENES, GRID)[0], true) < 0.7 * off(by_law(GENES, GRID)[0], true)
    now, *more = pooled.outlook().width_pct.values()
    assert now >= more[0] >= more[1] > 0


@pytest.mark.parametrize("rows", [ROWS.drop(columns="energy_mj"), ROWS.assign(energy_mj=np.nan)])
def test_energy_that_the_rows_lack(rows):
    by_model = target_costs(SPACE, DEVICE, PROXY, rows)
    latency, energy = by_model(GENES, GRID)
    np.testing.assert_allclose(energy / latency, TRUE[1] / TRUE[0])
    assert by_model.energy_source == "predicted (scaled simulation)"
    unknown = target_costs(SPACE, Unmodelled(), PROXY, rows)
    assert unknown.energy_source is None
    assert not unknown(GENES, GRID)[1].any()
    assert "predicted_energy_mj" not in unknown.compare(rows, DEVICE.levels)[0]


@pytest.mark.parametrize(
    ("levels", "covers"),
    [([0], False), ([13, 14], False), ([0, 1], False), ([0, 6], False), ([7, 14], True)],
)
def test_rows_that_do_not_cover_the_clocks_leave_all_of_them_to_the_model(levels, covers):
    programs = [measured for measured in ROWS.to_dict("records") if measured["level"] == 0]
    rng, rows = np.random.default_rng(0), []
    for one in programs:
        heads = [int(head) for head in one["heads"].split("+")]
        for level in levels:
            row = DEVICE.measure(SPACE, SPACE.parse(one["subnet"]), heads, level)
            noise = np.exp(0.02 * rng.standard_normal())
            row |= {q: row[q] * noise for q in ("latency_ms", "energy_mj")}
            rows.append(row | {"source": "measured"})
    costs = target_costs(SPACE, DEVICE, PROXY, pd.DataFrame(rows))
    assert costs.entries()["latency_ms"]["decision"] == "go"
    source = "predicted" if covers else "predicted (scaled simulation)"
    assert (costs.latency_source, costs.energy_source) == (source, source)
    latency, energy = costs(GENES, GRID)
    for level in (0, -1):
        assert off(latency[..., level], TRUE[0][..., level]) < 0.15
        assert off(energy[..., level], TRUE[1][..., level]) < 0.15


def test_rows_above_the_clocks_of_a_power_mode_are_scaled_at_their_own():
    """1109 MHz is no level of a mode that ends at 803, where the model is a third slower."""
    slow = get_device(DEVICE.name, power_mode="MODE_10W_4CORE")
    at_top = ROWS[ROWS["level"] == 14]
    assert slow.levels[-1].gpu_mhz < 0.8 * at_top["gpu_mhz"].min()
    costs = target_costs(SPACE, slow, PROXY, at_top.drop(columns="level").assign(source="measured"))
    assert costs.latency_source == "predicted (scaled simulation)"
    latency, energy = costs(GENES, GRID)
    true = slow.cost(EVERY.operators)
    assert off(latency, true[0].reshape(latency.shape)) < 0.1
    assert off(energy, true[1].reshape(energy.shape)) < 0.1


def test_energy_at_neighbouring_clocks_alone_is_the_models():
    at_top = ROWS["level"] == ROWS["level"].max()
    costs = target_costs(
        SPACE, DEVICE, PROXY, ROWS.assign(energy_mj=ROWS["energy_mj"].where(at_top))
    )
    assert costs.latency_source == "predicted (simulated)"
    assert costs.energy_source == "predicted (scaled simulation)"


def test_rows_are_compared_with_what_is_predicted_at_their_own_level():
    costs = target_costs(SPACE, DEVICE, PROXY, ROWS)
    compared = pd.DataFrame(costs.compare(ROWS, DEVICE.levels))
    assert compared["subnet"].tolist() == ROWS["subnet"].tolist()
    assert off(compared["predicted_latency_ms"], ROWS["latency_ms"]) < 0.03
    assert off(compared["predicted_energy_mj"], ROWS["energy_mj"]) < 0.05


def test_the_interval_covers_what_the_device_model_may_be_off():
    low, high = target_costs(SPACE, DEVICE, PROXY, ROWS).latency_interval_log
    off_log = np.log1p(DEVICE.uncertainty)
    assert (low <= -off_log).all()
    assert (high >= off_log).all()
    measured = target_costs(SPACE, DEVICE, PROXY, ROWS.assign(source="measured"))
    assert (measured.latency_interval_log[1] < off_log).all()


@pytest.mark.parametrize("level", [0, 14])
def test_the_interval_covers_clocks_that_rows_of_one_clock_say_nothing_of(level):
    """Of a board that is slower elsewhere than its model says: the same with another backend."""
    real = get_device(DEVICE.name, backend="tensorflow")
    rows = [
        real.measure(
            SPACE, SPACE.parse(row["subnet"]), [int(h) for h in row["heads"].split("+")], level
        )
        for row in ROWS[ROWS["level"] == 0].to_dict("records")
    ]
    measured = pd.DataFrame(rows).assign(backend=DEVICE.backend, source="measured")
    costs = target_costs(SPACE, DEVICE, PROXY, measured)
    assert costs.latency_source == "predicted (scaled simulation)"
    low, high = costs.latency_interval_log
    true = real.cost(EVERY.operators)[0].reshape(TRUE[0].shape)
    error = np.log(true / costs(GENES, GRID)[0])
    assert ((low <= error) & (error <= high)).mean(axis=(0, 1)).min() > 0.85
    widths = (high - low)[:: 1 if level == 0 else -1]
    assert (np.diff(widths) > 0).all()  # the farther from the rows, the wider
