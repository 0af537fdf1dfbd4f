"""The monotone law finds planted constants, never falls or rests, and knows when it fails."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from predictors import (
    MonotoneTransfer,
    ScaledModel,
    TransferPredictor,
    held_out_report,
    learn_prior,
    mape_pct,
    transfer_report,
)
from predictors.cost.law import (
    LatencyLaw,
    fit_latency_law,
    jacobian,
    left_out_errors,
    residuals,
)
from predictors.cost.power import PowerLaw

CLOCKS = np.array([306.0, 752.25, 1109.25])
ALL_CLOCKS = np.linspace(204, 1109.25, 15)
LAW = LatencyLaw(a=0.4, b=1.1, c=0.2, d=0.6, p=2.2)
POWER = PowerLaw(base_w=4.05, k_w_per_ghz=8.1, knee_ghz=0.76, rise_per_ghz=0.22)  # Xavier NX
H = np.repeat(np.geomspace(0.2, 3, 8), 3)
F = np.tile(CLOCKS, 8)
SUBNETS = np.repeat(list("abcdefgh"), 3)


def energy_mj(h: np.ndarray, clock_mhz: np.ndarray) -> np.ndarray:
    f = clock_mhz / 1e3
    return LAW.latency_ms(h, f) * POWER.power_w(f, LAW.clocked_share(h, f))


def noisy(values: np.ndarray, sd: float, seed: int = 0) -> np.ndarray:
    return values * np.exp(np.random.default_rng(seed).normal(0, sd, values.shape))


def report(latency: np.ndarray, energy: np.ndarray | None = None, h: np.ndarray = H, **more):
    about = {"subnets": SUBNETS, "proxy": "host", "n_proxy_rows": 99, **more}
    return transfer_report(h, F, latency, energy, **about)


# ---- the law ---------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.3, 2.2, 4.0])
@pytest.mark.parametrize("d", [0.1, 0.6, 1.0])
def test_planted_constants_are_found(d: float, p: float) -> None:
    law = LatencyLaw(a=0.4, b=1.1, c=0.2, d=d, p=p)
    h, f = np.meshgrid(np.geomspace(0.2, 3, 12), ALL_CLOCKS / 1e3)
    fitted = MonotoneTransfer().fit(h.ravel(), 1e3 * f.ravel(), law.latency_ms(h, f).ravel())
    found = fitted.latency_law_
    assert [found.a, found.b, found.c, found.d] == pytest.approx([0.4, 1.1, 0.2, d], abs=0.05)
    assert found.p == pytest.approx(p, rel=0.05)  # its prior pulls a little


def test_three_levels_of_eight_programs_predict_all_levels() -> None:
    latency, energy = noisy(LAW.latency_ms(H, F / 1e3), 0.03), noisy(energy_mj(H, F), 0.03, seed=1)
    fitted = MonotoneTransfer().fit(H, F, latency, energy)
    h = np.geomspace(0.2, 3, 40)[:, None]
    assert fitted.predict(h, ALL_CLOCKS).shape == (40, 15)
    assert mape_pct(LAW.latency_ms(h, ALL_CLOCKS / 1e3), fitted.predict(h, ALL_CLOCKS)) < 3
    assert mape_pct(energy_mj(h, ALL_CLOCKS), fitted.predict_energy(h, ALL_CLOCKS)) < 4


def test_what_kernels_cost_is_learned_where_the_proxy_does_not_feel_it() -> None:
    law = LatencyLaw(a=-1.0, b=1.0, c=-2.5, d=0.3, p=2.2, u=0.3, v=0.9)
    rng = np.random.default_rng(0)
    kernels = np.repeat(rng.permutation(np.arange(8, 32, 3)), 3)
    latency = noisy(law.latency_ms(H, F / 1e3, kernels), 0.01)
    fitted = MonotoneTransfer().fit(H, F, latency, kernels=kernels)
    h, k = rng.uniform(0.3, 2.5, (40, 1)), rng.uniform(8, 30, (40, 1))
    truth = law.latency_ms(h, ALL_CLOCKS / 1e3, k)
    assert mape_pct(truth, fitted.predict(h, ALL_CLOCKS, k)) < 3
    blind = MonotoneTransfer().fit(H, F, latency)
    assert mape_pct(truth, blind.predict(h, ALL_CLOCKS)) > 10
    told = report(latency, kernels=kernels)["latency_ms"]
    assert told.mape_pct < 0.3 * report(latency)["latency_ms"].mape_pct


def test_more_kernels_never_take_less_time() -> None:
    kernels = np.repeat(np.arange(8, 32, 3), 3)[::-1]  # rows say the contrary
    fitted = MonotoneTransfer().fit(H, F, LAW.latency_ms(H, F / 1e3), kernels=kernels)
    latency = fitted.predict(1.0, ALL_CLOCKS, np.arange(1, 40)[:, None])
    assert (np.diff(latency, axis=0) >= 0).all()


@pytest.mark.parametrize("kernels", [0.0, np.tile([9.0, 14.0, 30.0], 8)])
def test_the_derivatives_of_the_law_are_those_of_its_residuals(kernels) -> None:
    with np.errstate(divide="ignore"):
        log_k = np.log(np.broadcast_to(kernels, H.shape))
    given = np.log(H), np.log(F / 1e3), log_k, np.log(LAW.latency_ms(H, F / 1e3))
    theta = np.array([0.2, 1.1, -0.4, 0.7, 0.8, -2.5, -3.5])
    step = 1e-6 * np.eye(len(theta))
    slopes = [(residuals(theta + e, *given) - residuals(theta - e, *given)) / 2e-6 for e in step]
    np.testing.assert_allclose(jacobian(theta, *given), np.transpose(slopes), atol=1e-6)


def test_one_level_is_enough_for_that_level() -> None:
    h = np.geomspace(0.2, 3, 8)
    latency = LAW.latency_ms(h, 0.9)
    fitted = MonotoneTransfer().fit(h, 900.0, latency, energy_mj(h, np.array(900.0)))
    assert mape_pct(latency, fitted.predict(h, 900.0)) < 1
    assert mape_pct(energy_mj(h, np.array(900.0)), fitted.predict_energy(h, 900.0)) < 5


def test_one_wild_row_moves_little() -> None:
    latency = LAW.latency_ms(H, F / 1e3)
    wild = latency.copy()
    wild[5] *= 4
    assert mape_pct(latency, MonotoneTransfer().fit(H, F, wild).predict(H, F)) < 4


positive = st.floats(0.05, 50)
rows = st.lists(st.tuples(positive, st.sampled_from(CLOCKS), positive), min_size=1, max_size=12)


@given(rows, st.lists(st.floats(0.01, 100), min_size=2, max_size=20, unique=True))
def test_latency_rises_strictly_with_the_proxy_at_every_clock(rows, proxy) -> None:
    fitted = MonotoneTransfer().fit(*map(np.array, zip(*rows, strict=True)))
    h = np.sort(proxy)
    h = h[np.append(True, np.diff(np.log(h)) > 1e-9)]  # floats closer than this may tie
    latency = fitted.predict(h[:, None], ALL_CLOCKS)
    assert (np.diff(latency, axis=0) > 0).all()
    assert (np.diff(latency, axis=1) <= 0).all()  # and a faster clock never costs time


def test_a_known_knee_stays() -> None:
    transfer = MonotoneTransfer(knee_ghz=0.76, rise_per_ghz=0.22)
    law = transfer.fit(H, F, LAW.latency_ms(H, F / 1e3), energy_mj(H, F)).power_law_
    assert (law.knee_ghz, law.rise_per_ghz) == (0.76, 0.22)
    assert law.base_w == pytest.approx(POWER.base_w, rel=0.02)
    assert law.k_w_per_ghz == pytest.approx(POWER.k_w_per_ghz, rel=0.02)
    kept = {"knee_ghz": 0.76, "rise_per_ghz": 0.22, "pool": None}
    assert clone(transfer).get_params() == kept


def test_rows_without_energy_are_left_out_of_the_power_law() -> None:
    energy = energy_mj(H, F)
    energy[::2] = np.nan
    fitted = MonotoneTransfer().fit(H, F, LAW.latency_ms(H, F / 1e3), energy)
    assert mape_pct(energy_mj(H, F), fitted.predict_energy(H, F)) < 2


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="latency_ms must be positive and finite, got -1"):
        MonotoneTransfer().fit([1, 2], 900, [1, -1])
    with pytest.raises(ValueError, match="h must be positive and finite, got nan"):
        MonotoneTransfer().fit([1, np.nan], 900, [1, 1])
    with pytest.raises(ValueError, match="h must be positive and finite, got no values"):
        MonotoneTransfer().fit([], 900, [])
    with pytest.raises(ValueError, match="needs `energy_mj` in `fit`"):
        MonotoneTransfer().fit(H, F, F).predict_energy(H, F)


# ---- the report ------------------------------------------------------------------------------


def test_a_good_proxy_is_a_go_for_latency_and_energy() -> None:
    latency, energy = noisy(LAW.latency_ms(H, F / 1e3), 0.03), noisy(energy_mj(H, F), 0.03, seed=1)
    reports = report(latency, energy)
    assert list(reports) == ["latency_ms", "energy_mj"]
    for found in reports.values():
        assert found.decision == "go"
        assert found.srcc > 0.95
        assert found.mape_pct < 6
        assert -0.15 < found.interval_log[0] < 0 < found.interval_log[1] < 0.15


def test_a_shuffled_proxy_is_a_no_go_although_the_clock_orders_the_rows() -> None:
    h = np.repeat(np.random.default_rng(1).permutation(np.geomspace(0.2, 3, 8)), 3)
    found = report(LAW.latency_ms(H, F / 1e3), h=h)["latency_ms"]
    assert found.decision == "no-go"
    assert found.srcc_interval[0] < 0.8


def test_a_report_that_cannot_rank_is_a_no_go_and_valid_json() -> None:
    h, latency = np.ones(24), LAW.latency_ms(H, F / 1e3)
    h_latency = report(latency, h=h)["latency_ms"]
    single = transfer_report(
        [1.0, 2.0], [300, 900], [3.0, 2.0], subnets=["a", "b"], proxy="host", n_proxy_rows=1
    )["latency_ms"]
    assert {h_latency.decision, single.decision} == {"no-go"}
    assert json.loads(json.dumps(single.to_dict(), allow_nan=False)) == {
        "proxy": "host",
        "n_proxy_rows": 1,
        "n_target_rows": 2,
        "srcc": None,
        "srcc_interval": [None, None],
        "mape_pct": pytest.approx(single.mape_pct),
        "decision": "no-go",
    }


def test_no_subnet_predicts_itself() -> None:
    latency = LAW.latency_ms(H, F / 1e3)
    lone = latency.copy()
    lone[SUBNETS == "d"] *= 3  # an outlier that the others cannot know
    assert report(lone)["latency_ms"].interval_log[1] > 0.9
    few_have_energy = np.where(np.isin(SUBNETS, ["a", "b", "h"]), energy_mj(H, F), np.nan)
    assert report(latency, few_have_energy)["energy_mj"].decision == "no-go"  # in order by chance
    one_subnet_has_energy = np.where(SUBNETS == "a", energy_mj(H, F), np.nan)
    assert list(report(latency, one_subnet_has_energy)) == ["latency_ms"]
    with pytest.raises(ValueError, match="at least 2 subnets, got 1"):
        transfer_report(H, F, latency, subnets=["a"] * 24, proxy="host", n_proxy_rows=1)


# ---- a pool beside the law -------------------------------------------------------------------


def test_left_out_errors_are_those_of_fits_without_the_subnet() -> None:
    rng = np.random.default_rng(0)
    kernels, groups = np.repeat(rng.integers(10, 40, 8), 3).astype(float), np.repeat(range(8), 3)
    latency = LAW.latency_ms(H, F / 1e3) * np.exp(np.repeat(rng.normal(0, 0.1, 8), 3))
    law = fit_latency_law(H, F / 1e3, latency, kernels)
    found = left_out_errors(law, H, F / 1e3, latency, kernels, groups)
    for group in range(8):
        out = groups == group
        refitted = fit_latency_law(H[~out], F[~out] / 1e3, latency[~out], kernels[~out])
        error = np.log(latency[out] / refitted.latency_ms(H[out], F[out] / 1e3, kernels[out]))
        assert found[out] == pytest.approx(error, abs=0.02, rel=0.3)


def test_a_pool_corrects_what_the_law_cannot_know() -> None:
    rng = np.random.default_rng(0)
    h, other = np.exp(rng.normal(0, 0.7, (2, 60)))  # two proxies; the target is like the second
    columns, f = np.log([h, other]).T, np.tile(CLOCKS, 20)
    X = np.column_stack([columns, np.arange(60)])
    prior = learn_prior(columns, proxy_columns=(0, 1), blocks=[])
    pool = TransferPredictor((0, 1), (), 2, prior=prior)
    true = LAW.latency_ms(other, f / 1e3)
    few, new = slice(24), slice(24, 60)
    alone = MonotoneTransfer().fit(h[few], f[few], true[few])
    both = MonotoneTransfer(pool=pool).fit(h[few], f[few], true[few], X=X[few])
    assert both.correction_.share > 0.8
    found = both.predict(h[new], f[new], X=X[new])
    assert mape_pct(true[new], found) < 0.3 * mape_pct(true[new], alone.predict(h[new], f[new]))
    at_all = both.predict(h[new][:, None], ALL_CLOCKS, X=X[new])
    assert (np.diff(at_all, axis=1) < 0).all()
    reports = [
        transfer_report(
            *(h[few], f[few], true[few]),
            subnets=np.arange(24),
            proxy="host",
            n_proxy_rows=1,
            X=X[few],
            transfer=way,
        )["latency_ms"]
        for way in (MonotoneTransfer(), MonotoneTransfer(pool=pool))
    ]
    assert reports[1].mape_pct < 0.5 * reports[0].mape_pct


# ---- the fallback ----------------------------------------------------------------------------


def test_a_scaled_model_finds_scale_and_slope() -> None:
    model = LAW.latency_ms(H, F / 1e3)
    fitted = ScaledModel().fit(model, noisy(2 * model**1.1, 0.02))
    assert fitted.beta_ == pytest.approx(1.1, abs=0.03)
    assert mape_pct(2 * model**1.1, fitted.predict(model)) < 2
    assert fitted.predict(model.reshape(8, 3)).shape == (8, 3)


def test_few_rows_keep_the_slope_near_one_and_one_wild_row_the_scale() -> None:
    model = np.array([1.0, 1.05, 1.1, 1.15, 1.2, 1.1, 1.0, 1.2])
    cost = noisy(2 * model, 0.1)
    cost[0] *= 10
    fitted = ScaledModel().fit(model, cost)
    assert fitted.beta_ == pytest.approx(1, abs=0.35)
    assert fitted.predict(1.1) == pytest.approx(2.2, rel=0.15)


@given(rows)
def test_the_slope_stays_within_its_bounds(rows) -> None:
    model, _, cost = map(np.array, zip(*rows, strict=True))
    assert 0.5 <= ScaledModel().fit(model, cost).beta_ <= 1.5


def test_the_fallback_is_judged_like_the_transfer() -> None:
    model = LAW.latency_ms(H, F / 1e3)
    found = held_out_report(
        ScaledModel(),
        model,
        noisy(2 * model, 0.03),
        F,
        subnets=SUBNETS,
        quantity="latency_ms",
        proxy="analytic",
        n_proxy_rows=0,
    )
    assert (found.proxy, found.n_proxy_rows, found.n_target_rows) == ("analytic", 0, 24)
    assert found.decision == "go"
