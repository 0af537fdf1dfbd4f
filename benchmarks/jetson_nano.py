"""Latency and energy of Jetson Nano networks from a campaign that no model saw, side by side.

    python benchmarks/jetson_nano.py --data hardware/jetson_nano_cnn

9,713 plain CNNs in seven data campaigns (github iCAS-Lab/NAS-Performance-Modeling, COINS 2025).
Every campaign in turn is left out and predicted from the six others; then k of its rows, drawn at
random, are given. A campaign is a grid over layers, filters, kernels and input size, so a random
split would ask for neighbours of training rows. Two of them are new in kind as well: `dws` has all
the depthwise convolutions, `mixed_L2` all the networks of two kernel widths that are two deep.

What the data leaves: `repeat` compares the two runs of every network (100 inferences timed; the
number of inferences in the 60 s of the power run), `neighbours` interpolates cost over the work law
between the next smaller and larger input of the same network (steps of the kernels included),
`seen` is our predictor in five random folds, every campaign in training.

`ours` is a sum over all columns times trees; `work law` is such a sum of MACs by kernel width,
bytes and kernels alone, `trees, our columns` the trees alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBRegressor

from nano_networks import (
    FP32_BYTES,
    KERNELS,
    Floats,
    Networks,
    Rows,
    read_networks,
    take,
)
from nas.devices import get_device
from predictors import (
    EnergyPredictor,
    LatencyPredictor,
    ScaledModel,
    TransferPredictor,
    learn_prior,
    mape_pct,
    srcc,
)
from predictors.cost.work import WorkLaw
from search_spaces import Operators

RESULTS = Path(__file__).parent / "results" / "jetson_nano.json"
QUANTITIES = {
    "latency_ms": LatencyPredictor,
    "board_energy_mj": EnergyPredictor,
    "gpu_energy_mj": EnergyPredictor,
}
KS, N_SEEDS = (10, 30), 5
RIDGES = np.logspace(-3, 4, 15)
POWER_RUN_MS = 60e3


def roofline(theta: Floats, ops: Operators) -> Floats:
    """Cost (n,) = fixed + sum over layers of (compute^p + memory^p)^(1/p) + start; log constants.

    theta: cost of a million MACs, of a MB, p - 1, start of a kernel, fixed.
    """
    per_mac, per_mb, p, start, fixed = np.exp(theta)
    compute, memory = ops.macs / 1e6 * per_mac, ops.elements_moved * FP32_BYTES / 1e6 * per_mb
    both = (compute ** (1 + p) + memory ** (1 + p)).clip(1e-300)  # absent layers: no 0 / 0
    return (both ** (1 / (1 + p))).sum(axis=1) + ops.present.sum(axis=1) * start + fixed


def fit_roofline(ops: Operators, cost: Floats) -> Floats:
    """Constants of least robust log error; weak priors decide only what rows leave open."""
    start = np.log([0.02, 0.1, 1.0, 0.02, 1.0])

    def residuals(theta: Floats) -> Floats:
        return np.append(np.log(roofline(theta, ops) / cost), 0.1 * (theta - start))

    return least_squares(residuals, start, loss="soft_l1", f_scale=0.1).x


# ---- methods: cost (n,) of all networks from the rows `train` of a quantity ----------------------


def _log_fit(model: Any, X: Floats, train: Rows, y: Floats) -> Floats:
    return np.exp(model.fit(X[train], np.log(y[train])).predict(X))


def macs_only(nets: Networks, train: Rows, quantity: str) -> Floats:
    log_macs = np.log(nets.columns[:, -1])
    y = nets.measured[quantity].to_numpy()
    return np.exp(np.polyval(np.polyfit(log_macs[train], np.log(y[train]), 1), log_macs))


def fitted_roofline(nets: Networks, train: Rows, quantity: str) -> Floats:
    y = nets.measured[quantity].to_numpy()
    return roofline(fit_roofline(take(nets.operators, train), y[train]), nets.operators)


def work_law(nets: Networks, train: Rows, quantity: str) -> Floats:
    y = nets.measured[quantity].to_numpy()
    return np.exp(WorkLaw.fit(nets.work[train], y[train]).log_cost(nets.work))


def ridge(nets: Networks, train: Rows, quantity: str) -> Floats:
    model = make_pipeline(StandardScaler(), RidgeCV(RIDGES))
    return _log_fit(model, nets.log_features, train, nets.measured[quantity].to_numpy())


def forest(nets: Networks, train: Rows, quantity: str) -> Floats:
    model = RandomForestRegressor(n_jobs=1, random_state=0)
    return _log_fit(model, nets.columns, train, nets.measured[quantity].to_numpy())


def xgboost(nets: Networks, train: Rows, quantity: str) -> Floats:
    model = XGBRegressor(n_jobs=1, random_state=0)
    return _log_fit(model, nets.columns, train, nets.measured[quantity].to_numpy())


def trees(nets: Networks, train: Rows, quantity: str) -> Floats:
    settings = LatencyPredictor().get_params()
    del settings["n_folds"]
    model = XGBRegressor(n_jobs=1, random_state=0, **settings)
    return _log_fit(model, nets.X, train, nets.measured[quantity].to_numpy())


def ours(nets: Networks, train: Rows, quantity: str) -> Floats:
    y = nets.measured[quantity].to_numpy()
    return QUANTITIES[quantity](n_folds=0).fit(nets.X[train], y[train]).predict(nets.X)


def latency_times_power(nets: Networks, train: Rows, quantity: str) -> Floats:
    power = (nets.measured[quantity] / nets.measured["latency_ms"]).to_numpy()
    watts = EnergyPredictor(n_folds=0).fit(nets.X[train], power[train]).predict(nets.X)
    return ours(nets, train, "latency_ms") * watts


METHODS: dict[str, Callable[[Networks, Rows, str], Floats]] = {
    "MACs alone": macs_only,
    "roofline": fitted_roofline,
    "work law": work_law,
    "ridge": ridge,
    "random forest": forest,
    "XGBoost": xgboost,
    "trees, our columns": trees,
    "ours": ours,
    "our latency x power": latency_times_power,
}


# ---- experiments ---------------------------------------------------------------------------------


def scores(y: Floats, predicted: Floats) -> dict[str, float]:
    error = 100 * np.abs(predicted / y - 1)
    return {
        "mape_pct": round(mape_pct(y, predicted), 2),
        "median_ape_pct": round(float(np.median(error)), 2),
        "srcc": round(srcc(y, predicted), 4),
    }


def left_out(nets: Networks) -> Iterator[dict[str, Any]]:
    """Every method on every campaign, from the others."""
    campaigns = nets.measured["group"].to_numpy()
    profile = get_device("nano", precision="fp32", power_mode="MAXN").cost(nets.operators)
    simulated = {q: c[:, -1] for q, c in zip(list(QUANTITIES)[:2], profile, strict=True)}
    for quantity in QUANTITIES:
        y = nets.measured[quantity].to_numpy()
        for campaign in np.unique(campaigns):
            judged = campaigns == campaign
            row = {"quantity": quantity, "k": 0, "campaign": campaign}
            if quantity in simulated:
                named = {"method": "nano profile (simulated)"}
                yield row | named | scores(y[judged], simulated[quantity][judged])
            for name, method in METHODS.items():
                if quantity == "latency_ms" and method is latency_times_power:
                    continue
                predicted = method(nets, ~judged, quantity)
                yield row | {"method": name} | scores(y[judged], predicted[judged])


def with_rows(nets: Networks) -> Iterator[dict[str, Any]]:
    """The same when k rows of the campaign are known."""
    campaigns = nets.measured["group"].to_numpy()
    for quantity in list(QUANTITIES)[:2]:
        y = nets.measured[quantity].to_numpy()
        for campaign in np.unique(campaigns):
            here = np.flatnonzero(campaigns == campaign)
            before = ours(nets, campaigns != campaign, quantity)
            X = np.column_stack([nets.log_features, np.log(before)])
            prior = learn_prior(X[here], proxy_columns=(X.shape[1] - 1,))
            for seed in range(N_SEEDS):
                order = np.random.default_rng(seed).permutation(here)
                for k in KS:
                    given, judged = order[:k], order[k:]
                    train = campaigns != campaign
                    train[given] = True
                    transfer = TransferPredictor(prior.proxy_columns, prior=prior)
                    predicted = {
                        "ours, without them": before,
                        "ours, scaled": ScaledModel().fit(before[given], y[given]).predict(before),
                        "ours, transferred": transfer.fit(X[given], y[given]).predict(X),
                        "ours, trained again": ours(nets, train, quantity),
                    }
                    row = {"quantity": quantity, "k": k, "campaign": campaign, "seed": seed}
                    for name, cost in predicted.items():
                        yield row | {"method": name} | scores(y[judged], cost[judged])


def repeat_pct(nets: Networks, rows: Rows) -> float:
    """Mean absolute difference of the two runs of a network, their usual ratio taken out."""
    measured = nets.measured[rows]
    ratio = POWER_RUN_MS / measured["n_inferences"] / measured["latency_ms"]
    return round(mape_pct(np.full(len(ratio), ratio.median()), ratio), 2)


def neighbour_errors(nets: Networks, quantity: str) -> Floats:
    """Percent (n,) by which log cost over the work law leaves the line through its neighbours.

    Divided by sqrt(1.5): a mean of two noisy neighbours is noisy itself. NaN without neighbours.
    """
    rows = nets.measured
    y = rows[quantity].to_numpy()
    ratio = np.log(y) - WorkLaw.fit(nets.work, y).log_cost(nets.work)
    errors, px = np.full(len(rows), np.nan), rows["input_px"].to_numpy()
    for _, series in rows.groupby(["layers", "filters", "kernels", "depthwise"])["input_px"]:
        at = series.sort_values().index.to_numpy()
        for a, b, c in zip(at[:-2], at[1:-1], at[2:], strict=True):
            if px[c] - px[a] <= 20:
                line = np.interp(px[b], px[[a, c]], ratio[[a, c]])
                errors[b] = 100 * abs(ratio[b] - line) / np.sqrt(1.5)
    return errors


def seen(nets: Networks, quantity: str) -> Floats:
    """Our predictor in five random folds (n,)."""
    fold = np.random.default_rng(0).permutation(len(nets.measured)) % 5
    predicted = np.empty(len(fold))
    for f in range(5):
        predicted[fold == f] = ours(nets, fold != f, quantity)[fold == f]
    return predicted


def ceilings(nets: Networks) -> list[dict[str, Any]]:
    """What the data leaves to any model, by campaign."""
    campaigns = nets.measured["group"].to_numpy()
    rough = {q: neighbour_errors(nets, q) for q in QUANTITIES}
    folds = {q: seen(nets, q) for q in QUANTITIES}
    result = []
    for campaign in np.unique(campaigns):
        here = campaigns == campaign
        rows = nets.measured[here]
        power_mj = rows["avg_board_mw"] * rows["latency_ms"] / 1e3
        ratio = np.percentile(rows["board_energy_mj"] / power_mj, [0, 5, 50, 95, 100])
        noise: dict[str, Any] = {"campaign": str(campaign), "n": int(here.sum())}
        for name in ("layers", "filters", "macs", "latency_ms"):
            noise[name] = [float(rows[name].min()), float(rows[name].max())]
        noise["repeat_pct"] = repeat_pct(nets, here)
        noise["energy_over_power_x_latency"] = [round(float(r), 3) for r in ratio]
        noise["neighbours_pct"] = {
            q: round(float(np.nanmean(e[here])), 2) for q, e in rough.items()
        }
        noise["seen"] = {q: scores(rows[q].to_numpy(), p[here]) for q, p in folds.items()}
        result.append(noise)
    return result


def constants(nets: Networks) -> dict[str, Any]:
    """The work law of all rows in units of the trade; none where it costs nothing."""
    law = WorkLaw.fit(nets.work, nets.measured["latency_ms"].to_numpy())
    *rates, kernel, fixed = law.weights.tolist()
    names = [f"gmac_per_s_{k}x{k}" for k in KERNELS]
    names += ["gmac_per_s_depthwise", "gb_per_s", "gb_per_s_linear"]
    speeds = {n: round(1 / r, 1) if r else None for n, r in zip(names, rates, strict=True)}
    return speeds | {"kernel_ms": round(kernel, 4), "fixed_ms": round(fixed, 2)}


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Means over seeds, and over campaigns: every campaign counts as one."""
    keys, values = ["quantity", "k", "method"], ["mape_pct", "median_ape_pct", "srcc"]
    means = pd.DataFrame(rows).groupby([*keys, "campaign"], sort=False)[values].mean()
    over = means.groupby(keys, sort=False).mean().assign(campaign="mean")
    both = pd.concat([means.reset_index(), over.reset_index()])
    both[values] = both[values].round({"mape_pct": 2, "median_ape_pct": 2, "srcc": 4})
    return both[[*keys, "campaign", *values]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the measured table")
    arguments = parser.parse_args()
    nets = read_networks(arguments.data)
    result = table([*left_out(nets), *with_rows(nets)])
    RESULTS.parent.mkdir(exist_ok=True)
    result.to_csv(RESULTS.with_suffix(".csv"), index=False, lineterminator="\n")
    about = {
        "command": "python benchmarks/jetson_nano.py --data hardware/jetson_nano_cnn",
        "source": "predicted, judged on measured rows; nano profile: simulated",
        "rows": RESULTS.with_suffix(".csv").name,
        "work_law_latency": constants(nets),
        "campaigns": ceilings(nets),
    }
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    keys = ["quantity", "k", "method"]
    shown = result.pivot_table("mape_pct", keys, "campaign", sort=False)
    print(shown.round(1).to_string())
    print(json.dumps(about["work_law_latency"]))


if __name__ == "__main__":
    main()
