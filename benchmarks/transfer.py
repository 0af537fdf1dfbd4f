"""Transfer to devices that were measured: rank correlation and error from k rows, side by side.

    python benchmarks/transfer.py --data hardware

Every device in turn is the target and gives k rows; the rest of its rows is predicted. `family`
also takes the devices of its family out of the proxies. `chosen` rows are named by `choose_rows`
before anything was measured, `random` ones are drawn. Rows go to `results/transfer.jsonl`
(megabytes, not committed) as they are ready and a rerun goes on; `results/transfer.csv` is the
table, and `results/transfer_targets.csv` has every target.

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
import json
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from xgboost import XGBRegressor

from predictors import TransferPredictor, choose_rows, learn_prior, mape_pct, srcc, zero_shot
from search_spaces import (
    MobileNetV3Space,
    NASBench201Space,
    Space,
    encode,
    feature_blocks,
    feature_names,
)
from transfer_devices import batch, maker

RESULTS = Path(__file__).parent / "results" / "transfer.jsonl"
KS, SHARED_KS = (1, 3, 5, 10, 20, 30, 50, 100), (10, 30, 50)  # ours; side by side
N_CANDIDATES, N_JUDGED = 700, 3000
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


class Oracle:
    """The target's measurements; counts the rows that anybody reads."""

    def __init__(self, log_cost: Floats) -> None:
        self._log_cost, self.read = log_cost, set[int]()

    def measure(self, rows: NDArray[np.int64]) -> Floats:
        self.read.update(rows.tolist())
        return np.exp(self._log_cost[rows])


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

    def process(F: Floats, Z: Floats, rows: NDArray, log_y: Floats) -> Floats:
        scale = StandardScaler().fit(F)
        kernel = ConstantKernel(1) * RBF(np.sqrt(F.shape[1])) + WhiteKernel(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bound of a length is reached: said for every target
            model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
            model.fit(scale.transform(F[rows]), log_y)
        return model.predict(scale.transform(F))

    return {
        "nearest proxy": nearest,
        "mean of proxies": mean,
        "AdaProxy": ada_proxy,
        "ridge from scratch": ridge,
        "XGBoost from scratch": xgboost,
        "Gaussian process from scratch": process,
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


def experiment(table: Table, target: str, protocol: str, seeds: int) -> Iterator[dict[str, Any]]:
    """Every method, k and seed for one target."""
    names = proxies_of(table, target, protocol)
    F, Z = table.features, complete(table, names)
    X = np.concatenate([F, Z], axis=1)
    columns = tuple(range(F.shape[1], X.shape[1]))
    kin = [table.family[d] for d in names]
    prior = learn_prior(X, proxy_columns=columns, families=kin, blocks=table.blocks)
    truth = table.log_cost[target].to_numpy()
    measured = np.flatnonzero(~np.isnan(truth))
    about = {"table": table.name, "left_out": protocol, "target": target}
    for name, log_cost in without_rows(table, target, names, Z).items():
        found = score(truth[measured], log_cost[measured])
        yield about | {"method": name, "choice": "none", "k": 0, "seed": 0} | found
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(measured)
        candidates = order[:N_CANDIDATES]
        ranked = candidates[choose_rows(prior, X[candidates], max(KS))]
        for choice, k in product(("chosen", "random"), KS):
            oracle = Oracle(truth)
            rows = (ranked if choice == "chosen" else candidates)[:k]
            y = oracle.measure(rows)
            far = order[N_CANDIDATES:] if len(order) > 2 * N_CANDIDATES else measured
            judged = np.setdiff1d(far, rows)[:N_JUDGED]
            model = TransferPredictor(columns, prior=prior).fit(X[rows], y)
            predicted = {"ours": np.log(model.predict(X[judged]))}
            low, high = np.log(model.predict_interval(X[judged]))
            if seed < 3 and k in SHARED_KS:
                for name, method in methods().items():
                    predicted[name] = method(F, Z, rows, np.log(y))[judged]
            assert len(oracle.read) == k, "a method read more of the target than its rows"
            for name, log_cost in predicted.items():
                row = about | {"method": name, "choice": choice, "k": k, "seed": seed}
                row |= score(truth[judged], log_cost)
                if name == "ours":
                    inside = (low <= truth[judged]) & (truth[judged] <= high)
                    row["coverage"] = round(float(inside.mean()), 3)
                yield row
    yield ceiling(table, target, protocol, measured)


def ceiling(table: Table, target: str, protocol: str, measured: NDArray) -> dict[str, Any]:
    """What 80 % of the networks and every other device give, on the rest."""
    F, truth = table.features[measured], table.log_cost[target].to_numpy()[measured]
    others = table.log_cost.drop(columns=target).loc[measured].to_numpy()
    X = np.concatenate([F, others], axis=1)
    same = np.unique(F, axis=0, return_inverse=True)[1]  # one network's twins stay together
    groups = np.random.default_rng(0).permutation(same.max() + 1)[same]
    test = groups < 0.2 * (same.max() + 1)
    model = XGBRegressor(n_estimators=400, max_depth=5, learning_rate=0.05, n_jobs=1)
    log_cost = model.fit(X[~test], truth[~test]).predict(X[test])
    about = {"table": table.name, "left_out": protocol, "target": target, "method": "ceiling"}
    about |= {"choice": "random", "k": int((~test).sum()), "seed": 0}
    return about | score(truth[test], log_cost)


def _task(task: tuple[str, Path, str, str, int]) -> list[dict[str, Any]]:
    name, folder, target, protocol, seeds = task
    with threadpool_limits(1):  # one core per process
        return list(experiment(read(name, folder), target, protocol, seeds))


@cache
def read(name: str, folder: Path) -> Table:
    """A table, read once per process."""
    return TABLES[name](folder)


TABLES = {"nasbench201": nasbench201, "fbnet": fbnet, "ofa": ofa}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over targets, spread over seeds, worst target."""
    keys = ["table", "left_out", "method", "choice", "k"]
    by_target = rows.groupby([*keys, "target"])[["srcc", "mape_pct"]].mean()
    by_seed = rows.groupby([*keys, "seed"])["srcc"].mean()
    result = by_target.groupby(keys).agg(
        srcc=("srcc", "mean"), worst=("srcc", "min"), mape_pct=("mape_pct", "mean")
    )
    result["spread"] = by_seed.groupby(keys).std()
    if "coverage" in rows:
        result["coverage"] = rows.groupby(keys)["coverage"].mean()
    own = by_target.assign(half=half_of(by_target.index))
    halves = own.pivot_table("srcc", keys, "half")
    result = result.join(halves.add_prefix("srcc_"))
    if {"srcc_A", "srcc_B"} <= set(result):
        result["difference"] = result["srcc_B"] - result["srcc_A"]
    return result.round(3)


def half_of(index: pd.MultiIndex) -> list[str]:
    """The half of every target in the index of a table."""
    gpus = "nvidia"  # once-for-all names them otherwise, and all are in one half
    pairs = zip(index.get_level_values("table"), index.get_level_values("target"), strict=True)
    return [half(table, gpus if table == "ofa" else _family(target)) for table, target in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=TABLES, help="this table alone")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    done = set()
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            row = json.loads(line)
            done.add((row["table"], row["left_out"], row["target"]))
    tasks = []
    for name in TABLES:
        if arguments.only in (None, name):
            table = read(name, arguments.data)
            tasks += [
                (name, arguments.data, target, protocol, arguments.seeds)
                for protocol, target in product(("family", "device"), table.log_cost)
                if (name, protocol, target) not in done
            ]
    with ProcessPoolExecutor(arguments.processes) as pool, RESULTS.open("a") as file:
        for task, rows in zip(tasks, pool.map(_task, tasks), strict=True):
            file.write("".join(json.dumps(row) + "\n" for row in rows))
            file.flush()
            print(f"{task[0]} without its {task[3]}: {task[2]}", flush=True)
    rows = pd.DataFrame([json.loads(line) for line in RESULTS.read_text().splitlines()])
    keys = ["table", "left_out", "target", "method", "choice", "k"]
    targets = rows.groupby(keys)[["srcc", "mape_pct"]].mean().round(4)
    targets.to_csv(RESULTS.with_name("transfer_targets.csv"), lineterminator="\n")
    table = summary(rows)
    table.to_csv(RESULTS.with_suffix(".csv"), lineterminator="\n")
    print(table.to_string())
    import transfer_halves  # which imports this module

    if transfer_halves.RESULTS.exists():
        print(transfer_halves.crossed(pd.read_csv(transfer_halves.RESULTS)).to_string())


if __name__ == "__main__":
    main()
