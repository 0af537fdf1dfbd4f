"""What a search predicts costs with: the law, a pool of proxies, and both, as it ships.

    python benchmarks/transfer_law.py --data hardware

As a search sees a target: one measured CPU stands in for the host, other boards are known by their
analytic models alone (makers' figures, simulated), and 8 or 24 networks of NAS-Bench-201 were
measured on the target, drawn at random. The law maps the host's latency and the number of kernels,
the pool takes the same host and the models of all devices of other families (`TransferPredictor`),
and `MonotoneTransfer` with that pool is what `nas search` does with measured rows. Every device of
another family than the host is a target; mean and worst of them, one draw. Rows go to
`results/transfer_law.csv` as targets are ready, and a rerun goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from predictors import MonotoneTransfer, TransferPredictor, learn_prior
from transfer import Table, nasbench201, score
from transfer_devices import batch, maker

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
    X = np.column_stack([F, *logs])
    columns = tuple(range(F.shape[1], X.shape[1]))
    families = [table.family[d] for d in [host, *models]]
    prior = learn_prior(X, proxy_columns=columns, families=families, blocks=table.blocks)
    pool = TransferPredictor(columns, prior=prior)
    known = np.flatnonzero(~np.isnan(truth))
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(known)
        for k in KS:
            rows, rest = order[:k], order[-N_JUDGED:]
            about = {"host": host, "target": target, "k": k, "draw": draw}
            h, y = np.exp(logs[0]), np.exp(truth)
            seen, new = (h[rows], 1e3, y[rows], None, kernels[rows]), (h[rest], 1e3, kernels[rest])
            law = MonotoneTransfer().fit(*seen)
            both = MonotoneTransfer(pool=pool).fit(*seen, X[rows])
            found = {
                "law": law.predict(*new),
                "pool": clone(pool).fit(X[rows], y[rows]).predict(X[rest]),
                "both (ships)": both.predict(*new, X[rest]),
            }
            for way, cost in found.items():
                yield about | {"way": way} | score(truth[rest], np.log(cost))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    table, out = nasbench201(arguments.data), arguments.out
    done = pd.read_csv(out) if out.exists() else pd.DataFrame()
    ready = set(zip(done["host"], done["target"], strict=True)) if len(done) else set()
    with threadpool_limits(1):
        for host, target in product(HOSTS, table.log_cost):
            if table.family[target] != table.family[host] and (host, target) not in ready:
                done = pd.concat([done, pd.DataFrame(compared(table, host, target))])
                done.to_csv(out, index=False, lineterminator="\n")
    found = done.groupby(["k", "way"]).agg(
        srcc=("srcc", "mean"),
        worst=("srcc", "min"),
        mape_pct=("mape_pct", "mean"),
        worst_pct=("mape_pct", "max"),
    )
    print(found.round(3).to_string())


if __name__ == "__main__":
    main()
