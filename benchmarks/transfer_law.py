"""The law of `nas search` beside the pooled estimator: one measured proxy and analytic models.

    python benchmarks/transfer_law.py --data hardware

As a search sees a target: one measured CPU stands in for the host, other boards are known by their
analytic models alone (makers' figures, simulated), and 8 or 24 networks of NAS-Bench-201 were
measured on the target, drawn at random. The law maps the host's latency and the number of kernels
(`MonotoneTransfer`), the pool takes the same host, alone or with the models of all devices of other
families (`TransferPredictor`). Every device of another family than the host is a target; mean and
worst of them, one draw. Prints a table and writes `results/transfer_law.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.transfer import Table, nasbench201, score
from benchmarks.transfer_devices import batch, maker
from predictors import MonotoneTransfer, TransferPredictor, learn_prior

RESULTS = Path(__file__).parent / "results" / "transfer_law.csv"
HOSTS, KS, DRAWS, N_JUDGED = ("gold_6240", "raspi4"), (8, 24), 1, 1000


def analytic(table: Table, device: str) -> np.ndarray:
    """Simulated log latency of every network on a device."""
    assert table.work is not None
    n, (gflop, melements, kernels) = batch(device), table.work.T
    return np.log(maker(device).latency_ms(n * gflop, 4e-3 * n * melements, kernels))


def compared(table: Table, host: str, target: str) -> Iterator[dict[str, Any]]:
    """Each way, k and draw for one target."""
    assert table.work is not None
    kin = {table.family[target], table.family[host]}
    models = [d for d in table.log_cost if table.family[d] not in kin]
    logs = [table.log_cost[host].to_numpy(), *(analytic(table, d) for d in models)]
    F, truth, kernels = table.features, table.log_cost[target].to_numpy(), table.work[:, 2]
    pools = {"pool, host alone": logs[:1], "pool, host and models": logs}
    ready = {}
    for name, proxies in pools.items():
        X = np.column_stack([F, *proxies])
        columns = tuple(range(F.shape[1], X.shape[1]))
        families = [table.family[d] for d in [host, *models]][: len(proxies)]
        prior = learn_prior(X, proxy_columns=columns, families=families, blocks=table.blocks)
        ready[name] = X, TransferPredictor(columns, prior=prior)
    known = np.flatnonzero(~np.isnan(truth))
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(known)
        for k in KS:
            rows, rest = order[:k], order[-N_JUDGED:]
            about = {"host": host, "target": target, "k": k, "draw": draw}
            h, y = np.exp(logs[0]), np.exp(truth)
            law = MonotoneTransfer().fit(h[rows], 1e3, y[rows], kernels=kernels[rows])
            found = law.predict(h[rest], 1e3, kernels[rest])
            yield about | {"way": "law"} | score(truth[rest], np.log(found))
            for name, (X, predictor) in ready.items():
                found = predictor.fit(X[rows], y[rows]).predict(X[rest])
                yield about | {"way": name} | score(truth[rest], np.log(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    table = nasbench201(parser.parse_args().data)
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for host in HOSTS:
            for target in table.log_cost:
                if table.family[target] != table.family[host]:
                    rows += compared(table, host, target)
    keys = ["host", "k", "way", "target"]
    targets = pd.DataFrame(rows).groupby(keys)[["srcc", "mape_pct"]].mean().round(4)
    targets.to_csv(RESULTS, lineterminator="\n")
    found = targets.groupby(["k", "way"]).agg(
        srcc=("srcc", "mean"),
        worst=("srcc", "min"),
        mape_pct=("mape_pct", "mean"),
        worst_pct=("mape_pct", "max"),
    )
    print(found.round(3).to_string())


if __name__ == "__main__":
    main()
