"""Transfer on devices that nothing was tuned on: families of devices in two halves.

    python benchmarks/transfer_halves.py --data hardware --half reporting

Families in the order of the alphabet, except once-for-all's, which are all GPUs and belong to the
tuning half: every second family is for reporting. Settings may be chosen by what the tuning half
says; the reporting half is looked at when they are chosen. The target's family is left out of the
proxies, rows are chosen ones, one draw. Rows go to `results/transfer_halves.csv`: rank correlation,
error, and the share of costs within intervals of 90 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.transfer import TABLES, complete, methods, proxies_of, read, score
from predictors import TransferPredictor, choose_rows, learn_prior

RESULTS = Path(__file__).parent / "results" / "transfer_halves.csv"
KS, N_CANDIDATES, N_JUDGED = (10, 30, 50), 700, 1000
REPORTING = ("edge tpu", "jetson", "phone cpu", "xeon")
BESIDE = ("AdaProxy", "ridge from scratch", "XGBoost from scratch")


def half(table: str, family: str) -> str:
    """Of a family: once for all tables, so that no device is in both."""
    return "reporting" if table != "ofa" and family in REPORTING else "tuning"


def judged(name: str, folder: Path, family: str) -> list[dict[str, Any]]:
    """Ours and others on every device of a family, from k rows each."""
    with threadpool_limits(1):  # one core per process
        return list(_judged(name, folder, family))


def _judged(name: str, folder: Path, family: str) -> Iterator[dict[str, Any]]:
    table = read(name, folder)
    targets = [d for d in table.log_cost if table.family[d] == family]
    names = proxies_of(table, targets[0], "family")
    F, Z = table.features, complete(table, names)
    X = np.concatenate([F, Z], axis=1)
    columns = tuple(range(F.shape[1], X.shape[1]))
    kin = [table.family[d] for d in names]
    prior = learn_prior(X, proxy_columns=columns, families=kin, blocks=table.blocks)
    for target in targets:
        truth = table.log_cost[target].to_numpy()
        order = np.random.default_rng(0).permutation(np.flatnonzero(~np.isnan(truth)))
        candidates, rest = order[:N_CANDIDATES], order[N_CANDIDATES:][:N_JUDGED]
        ranked = candidates[choose_rows(prior, X[candidates], max(KS))]
        for k in KS:
            rows, t = ranked[:k], truth[rest]
            about = {"half": half(name, family), "table": name, "target": target, "k": k}
            model = TransferPredictor(columns, prior=prior).fit(X[rows], np.exp(truth[rows]))
            low, high = np.log(model.predict_interval(X[rest]))
            inside = {
                "coverage": round(float(((low <= t) & (t <= high)).mean()), 3),
                "half_width_log": round(float(np.median(high - low) / 2), 4),
            }
            ours = score(t, np.log(model.predict(X[rest])))
            yield about | {"method": "ours"} | ours | inside
            for other in BESIDE:
                log_cost = methods()[other](F, Z, rows, truth[rows])[rest]
                yield about | {"method": other} | score(t, log_cost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    parser.add_argument("--half", choices=("tuning", "reporting"), default="reporting")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    tasks = [
        (name, arguments.data, family)
        for name in TABLES
        for family in sorted(set(read(name, arguments.data).family.values()))
        if half(name, family) == arguments.half
    ]
    with ProcessPoolExecutor(arguments.processes) as pool:
        found = pool.map(judged, *zip(*tasks, strict=True))
        rows = pd.DataFrame([row for part in found for row in part])
    rows.to_csv(arguments.out, index=False, lineterminator="\n")
    groups = rows.groupby(["table", "method", "k"])
    print(groups[["srcc", "mape_pct", "coverage", "half_width_log"]].mean().round(3).to_string())
    print("worst:", groups[["srcc", "coverage"]].min().round(3).to_string(), sep="\n")


if __name__ == "__main__":
    main()
