"""Transfer to devices that were measured: rank correlation and error from k rows, side by side.

    python benchmarks/transfer_halves.py --data hardware
    python benchmarks/transfer.py --data hardware

Every device in turn is the target, its family left out of the proxies, and gives k rows; the rest
of its rows is predicted. `chosen` rows are named by `choose_rows` before anything was measured,
`random` ones are drawn. The first command does that; the second adds what stands at both ends and
writes `results/transfer.csv`, the table. `results/transfer_ends.csv` has the ends of every target,
and a rerun goes on.

k = 0: nothing was measured on the target. `analytic model` is a roofline of the maker's published
figures (simulated), `zero_shot` weighs the proxies by likeness of those figures; of `zero_shot` and
of the mean only the ranks say anything. `ceiling` is XGBoost on 80 % of the networks with all that
is known of them, other devices of the family included: what noise of the data itself leaves.

Families are in two halves, so that what is tuned on one is reported on the other: every figure is
given for both and as their difference, and the mixtures that `transfer_halves.py` tuned on either
half follow.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from xgboost import XGBRegressor

from predictors import mape_pct, srcc, zero_shot
from search_spaces import (
    MobileNetV3Space,
    NASBench201Space,
    Space,
    encode,
    feature_blocks,
    feature_names,
)
from transfer_devices import batch, maker

RESULTS = Path(__file__).parent / "results" / "transfer.csv"
ENDS = RESULTS.with_name("transfer_ends.csv")
HALF_B = ("edge tpu", "jetson", "phone cpu", "xeon")  # every second family of the alphabet
RIDGES = np.logspace(-3, 4, 15)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Networks with features and their log cost on devices; NaN where not measured."""

    name: str
    features: Floats  # (n, m)
    blocks: list[tuple[int, ...]]
    log_cost: pd.DataFrame  # (n, devices)
    family: dict[str, str]
    work: Floats | None  # (n, 3) GFLOP, millions of values moved, kernels, of one image


def nasbench201(folder: Path) -> Table:
    """30 device settings; networks without a path from input to output are left out."""
    space = NASBench201Space()
    cells = pd.read_csv(folder / "nasbench201/accuracy.csv.gz").set_index("arch_idx")
    help_ = pd.read_csv(folder / "nasbench201/latency_help_ms.csv.gz").set_index("arch_idx")
    few = pd.read_csv(folder / "nasbench201/latency_oneproxy_ms.csv.gz").set_index("arch_idx")
    few = few.drop(columns=["fpga", "pixel3", "raspi4"])  # the same measurements as in `help_`
    boards = pd.read_csv(folder / "nasbench201/hwnb360_pi5_pixel.csv.gz").set_index("arch_idx")
    wanted = {f"{d}_cifar100_lat_ms": d for d in ("pi5_litert", "pi5_onnx", "pixel_litert")}
    cost = help_.join(boards[list(wanted)].rename(columns=wanted)).join(few).reindex(cells.index)
    genes = space.parse_all(cells["arch_str"].tolist())
    X = encode(space, genes, np.ones((1, 1), dtype=bool))
    blocks = feature_blocks(space)
    alive = X[:, blocks["path"][-1]] > 0
    log_cost = np.log(cost.where(cost > 0)).loc[alive].reset_index(drop=True)
    family = {device: _family(device) for device in log_cost}
    F = X[alive]
    return Table("nasbench201", F, list(blocks.values()), log_cost, family, _work(space, F))


def fbnet(folder: Path) -> Table:
    """21 device settings of 5,000 networks: 22 layers of one of nine kinds."""
    rows = pd.read_csv(folder / "fbnet/latency_help_ms.csv.gz")
    kinds = np.array([[int(v) for v in text.split("-")] for text in rows["op_idx"]])
    hot = np.eye(kinds.max() + 1)[kinds]
    counts = hot.sum(axis=1)
    X = np.concatenate([hot.reshape(len(rows), -1), counts], axis=1)
    split = hot.shape[1] * hot.shape[2]
    blocks = [tuple(range(split)), tuple(range(split, X.shape[1]))]
    log_cost = np.log(rows.drop(columns=["subnet_idx", "op_idx", "ops"]))
    return Table("fbnet", X, blocks, log_cost, {d: _family(d) for d in log_cost}, None)


def ofa(folder: Path) -> Table:
    """Eight GPU settings of 5,000 once-for-all subnets."""
    space = MobileNetV3Space()
    rows = pd.read_csv(folder / "ofa_mobilenetv3/latency_help_ms.csv.gz")
    configs = [
        {n: [int(v) for v in row[n].split("-")] for n in ("ks", "e", "d")} | {"r": [row["r"]]}
        for row in rows.to_dict("records")
    ]
    X = encode(space, space.genes(map(space.from_ofa, configs)), np.ones((1, 1), dtype=bool))
    log_cost = np.log(rows.drop(columns=["subnet_idx", "ks", "e", "d", "r"]).astype(float))
    blocks = list(feature_blocks(space).values())
    return Table("ofa", X, blocks, log_cost, _gpu_families(log_cost), _work(space, X))


def _work(space: Space, X: Floats) -> Floats:
    names = feature_names(space)
    macs, moved, kernels = (X[:, names.index(n)] for n in ("mmacs", "moved_melements", "n_kernels"))
    return np.column_stack([2e-3 * macs, moved, kernels])


def _gpu_families(log_cost: pd.DataFrame) -> dict[str, str]:
    """One family a GPU: batch 1 and larger batches are different targets of the same device."""
    return {d: d.rsplit("_", 1)[0] for d in log_cost}


def _family(device: str) -> str:
    kinds = {
        "xeon": ("gold", "silver"),
        "nvidia": ("1080ti", "2080ti", "titan", "gtx1080ti"),
        "raspberry": ("raspi", "pi5"),
        "phone cpu": ("pixel", "samsung", "essential", "snapdragon855_cpu"),
        "adreno": ("adreno", "snapdragon855_gpu"),
        "edge tpu": ("edge_tpu",),
        "fpga": ("fpga",),
        "jetson": ("jetson",),
    }
    return next(kind for kind, starts in kinds.items() if device.startswith(starts))


def half(table: str, family: str) -> str:
    """Of a family: once for all tables, so that no device is in both; once-for-all's are all A."""
    return "B" if table != "ofa" and family in HALF_B else "A"


def proxies_of(table: Table, target: str, protocol: str) -> list[str]:
    """The devices that may help: all others, or all of other families."""
    kin = table.family[target]
    names = [d for d in table.log_cost if d != target]
    return names if protocol == "device" else [d for d in names if table.family[d] != kin]


def complete(table: Table, names: list[str]) -> Floats:
    """Log costs (n, P) of the proxies; those measured on some networks only are predicted."""
    cost = table.log_cost[names].to_numpy().copy()
    whole = ~np.isnan(cost).any(axis=0)
    X = np.concatenate([table.features, cost[:, whole]], axis=1)
    for j in np.flatnonzero(~whole):
        gap = np.isnan(cost[:, j])
        model = make_pipeline(StandardScaler(), RidgeCV(RIDGES)).fit(X[~gap], cost[~gap, j])
        cost[gap, j] = model.predict(X[gap])
    return cost


def ada_proxy(
    F: Floats,
    proxy: Floats,
    rows: NDArray,
    log_y: Floats,
    lines: dict[int, Floats] | None = None,
) -> Floats:
    """AdaProxy (Lu et al., 2022): the proxy's linear predictor w, adapted as w * (a 1 + b).

    Squared norm of b, its weight by leave-one-out cross-validation; the proxy is the one that ranks
    the rows best. `lines` keeps linear predictors of proxies from call to call.
    """
    ranks = [srcc(proxy[rows, j], log_y) for j in range(proxy.shape[1])]
    lines, best_proxy = {} if lines is None else lines, int(np.nanargmax(ranks))
    if best_proxy not in lines:
        lines[best_proxy] = RidgeCV(RIDGES).fit(F, proxy[:, best_proxy]).coef_
    w = lines[best_proxy]
    U = (F - F.mean(axis=0)) * w
    main, offset = U.sum(axis=1), np.ones(len(U))
    base = np.column_stack([main, offset])
    best, error = np.zeros(len(U)), np.inf
    for ridge in RIDGES:
        K = U[rows] @ U[rows].T / ridge + np.eye(len(rows))
        A = np.linalg.inv(K)
        B = base[rows]
        G = np.linalg.pinv(B.T @ A @ B) @ B.T @ A  # generalised least squares for a and c
        smooth = B @ G + (np.eye(len(rows)) - A) @ (np.eye(len(rows)) - B @ G)
        left_out = (log_y - smooth @ log_y) / np.maximum(1e-9, 1 - np.diag(smooth))
        if left_out @ left_out < error:
            error = left_out @ left_out
            r = log_y - B @ (G @ log_y)
            best = base @ (G @ log_y) + U @ (U[rows].T @ (A @ r)) / ridge
    return best


def methods() -> dict[str, Callable[..., Floats]]:
    """Log cost of every network from features F, proxies Z, rows and their log cost."""

    def nearest(F: Floats, Z: Floats, rows: NDArray, log_y: Floats) -> Floats:
        j = int(np.nanargmax([srcc(Z[rows, i], log_y) for i in range(Z.shape[1])]))
        return Z[:, j] + np.median(log_y - Z[rows, j])

    def mean(F: Floats, Z: Floats, rows: NDArray, log_y: Floats) -> Floats:
        m = Z.mean(axis=1)
        return m + np.median(log_y - m[rows])

    def ridge(F: Floats, Z: Floats, rows: NDArray, log_y: Floats) -> Floats:
        return make_pipeline(StandardScaler(), RidgeCV(RIDGES)).fit(F[rows], log_y).predict(F)

    def xgboost(F: Floats, Z: Floats, rows: NDArray, log_y: Floats) -> Floats:
        return XGBRegressor(n_estimators=200, max_depth=4, n_jobs=1).fit(F[rows], log_y).predict(F)

    return {
        "nearest proxy": nearest,
        "mean of proxies": mean,
        "AdaProxy": ada_proxy,
        "ridge from scratch": ridge,
        "XGBoost from scratch": xgboost,
    }


def without_rows(table: Table, target: str, names: list[str], Z: Floats) -> dict[str, Floats]:
    """Log cost of every network when nothing was measured on the target."""
    found = {"mean of proxies": Z.mean(axis=1)}
    if table.work is not None:
        n, (gflop, melements, kernels) = batch(target), table.work.T
        analytic = maker(target).latency_ms(n * gflop, 4e-3 * n * melements, kernels)
        described = np.array([maker(d).describe(batch(d)) for d in names])
        alike = zero_shot(Z, described, maker(target).describe(n))
        found |= {"analytic model": np.log(analytic), "zero_shot": np.log(alike)}
    return found


def score(truth: Floats, log_cost: Floats) -> dict[str, float]:
    """Rank correlation and error of predicted log costs."""
    error = mape_pct(np.exp(truth), np.exp(log_cost))
    return {"srcc": round(srcc(truth, log_cost), 4), "mape_pct": round(error, 2)}


def ends(table: Table, target: str) -> Iterator[dict[str, Any]]:
    """A target without any row, and with most of them; its family is left out of the proxies."""
    names = proxies_of(table, target, "family")
    truth = table.log_cost[target].to_numpy()
    measured = np.flatnonzero(~np.isnan(truth))
    about = {"table": table.name, "target": target, "choice": "none", "k": 0}
    for name, log_cost in without_rows(table, target, names, complete(table, names)).items():
        yield about | {"method": name} | score(truth[measured], log_cost[measured])
    yield about | {"method": "ceiling", "choice": "random"} | ceiling(table, target, measured)


def ceiling(table: Table, target: str, measured: NDArray) -> dict[str, Any]:
    """What 80 % of the networks and every other device give, on the rest."""
    F, truth = table.features[measured], table.log_cost[target].to_numpy()[measured]
    others = table.log_cost.drop(columns=target).loc[measured].to_numpy()
    X = np.concatenate([F, others], axis=1)
    same = np.unique(F, axis=0, return_inverse=True)[1]  # one network's twins stay together
    groups = np.random.default_rng(0).permutation(same.max() + 1)[same]
    test = groups < 0.2 * (same.max() + 1)
    model = XGBRegressor(n_estimators=400, max_depth=5, learning_rate=0.05, n_jobs=1)
    log_cost = model.fit(X[~test], truth[~test]).predict(X[test])
    return {"k": int((~test).sum())} | score(truth[test], log_cost)


def _task(name: str, folder: Path, target: str) -> list[dict[str, Any]]:
    with threadpool_limits(1):  # one core per process
        return list(ends(read(name, folder), target))


@cache
def read(name: str, folder: Path) -> Table:
    """A table, read once per process."""
    return TABLES[name](folder)


TABLES = {"nasbench201": nasbench201, "fbnet": fbnet, "ofa": ofa}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over targets of the mean over draws, worst target, both halves."""
    keys = ["table", "method", "choice", "k"]
    by_target = rows.groupby([*keys, "target"])[["srcc", "mape_pct"]].mean()
    result = by_target.groupby(keys).agg(
        srcc=("srcc", "mean"), worst=("srcc", "min"), mape_pct=("mape_pct", "mean")
    )
    own = by_target.assign(half=half_of(by_target.index))
    result = result.join(own.pivot_table("srcc", keys, "half").add_prefix("srcc_"))
    result["difference"] = result["srcc_B"] - result["srcc_A"]
    return result.round(3)


def half_of(index: pd.MultiIndex) -> list[str]:
    """The half of every target in the index of a table."""
    gpus = "nvidia"  # once-for-all names them otherwise, and all are in one half
    pairs = zip(index.get_level_values("table"), index.get_level_values("target"), strict=True)
    return [half(table, gpus if table == "ofa" else _family(target)) for table, target in pairs]


def main() -> None:
    import transfer_halves  # which imports this module

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    done = pd.read_csv(ENDS) if ENDS.exists() else pd.DataFrame({"table": [], "target": []})
    ready = set(zip(done["table"], done["target"], strict=True))
    tasks = [
        (name, arguments.data, target)
        for name in TABLES
        for target in read(name, arguments.data).log_cost
        if (name, target) not in ready
    ]
    with ProcessPoolExecutor(arguments.processes) as pool:
        for part in pool.map(_task, *zip(*tasks, strict=True)) if tasks else ():
            done = pd.concat([done, pd.DataFrame(part)])
            done.to_csv(ENDS, index=False, lineterminator="\n")
    rows = pd.read_csv(transfer_halves.RESULTS)
    shown = {transfer_halves.SHIPPED: "ours"}
    rows = rows.assign(method=rows["method"].replace(shown))
    rows = rows[rows["method"].isin(["ours", "costs alone", "AdaProxy", *transfer_halves.PLAIN])]
    table = summary(pd.concat([done, rows]))
    table.to_csv(RESULTS, lineterminator="\n")
    print(table.to_string())
    print(transfer_halves.crossed(pd.read_csv(transfer_halves.RESULTS)).to_string())


if __name__ == "__main__":
    main()
