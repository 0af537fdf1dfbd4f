"""Whether k rows tell that no proxy behaves like a device: false alarms and misses.

    python benchmarks/transfer_unlike.py --data hardware

Every measured device is the target, its family left out of the proxies. The proxies, weighed as the
k rows ask and without features, behave like it if they rank networks that were not measured with at
least `GO_SRCC`; the k rows say so if each, predicted from the others, is ranked as well
(`TransferPredictor.proxies_alone`, `Outlook.fits`). Two draws, chosen and random rows.
Writes `results/transfer_unlike.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from predictors import GO_SRCC, choose_rows, learn_prior, srcc
from predictors.transfer.mixture import proxies_alone
from predictors.transfer.posterior import Design, Link
from transfer import TABLES, Table, complete, half, proxies_of, read

RESULTS = Path(__file__).parent / "results" / "transfer_unlike.csv"
KS, DRAWS, N_CANDIDATES, N_JUDGED = (10, 20, 30, 50, 100), 2, 700, 1000


def told(table: Table, family: str) -> Iterator[dict[str, Any]]:
    """What the rows say of the proxies, and how well those rank other networks."""
    targets = [d for d in table.log_cost if table.family[d] == family]
    names = proxies_of(table, targets[0], "family")
    X = np.concatenate([table.features, complete(table, names)], axis=1)
    columns = tuple(range(table.features.shape[1], X.shape[1]))
    kin = [table.family[d] for d in names]
    prior = learn_prior(X, proxy_columns=columns, families=kin, blocks=table.blocks)

    def design(rows: np.ndarray) -> Design:
        return Design(prior.rows(X[rows]), np.empty((len(rows), 0)), None, 1.0, False)

    for target, draw in product(targets, range(DRAWS)):
        truth = table.log_cost[target].to_numpy()
        order = np.random.default_rng(draw).permutation(np.flatnonzero(~np.isnan(truth)))
        candidates, rest = order[:N_CANDIDATES], order[N_CANDIDATES:][:N_JUDGED]
        named, asked = candidates[choose_rows(prior, X[candidates], max(KS))], design(rest)
        for choice, k in product(("chosen", "random"), KS):
            rows = (named if choice == "chosen" else candidates)[:k]
            given, y = design(rows), truth[rows]
            proxies = proxies_alone(given, y)
            yield {
                "half": half(table.name, family),
                "table": table.name,
                "target": target,
                "draw": draw,
                "choice": choice,
                "k": k,
                "said": round(srcc(y, y - proxies.left_out(None)), 4),
                "true": round(srcc(truth[rest], proxies.mean(asked, Link(given, asked))), 4),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    data, rows = parser.parse_args().data, []
    with threadpool_limits(1):
        for name in TABLES:
            table = read(name, data)
            for family in sorted(set(table.family.values())):
                rows += told(table, family)
    found = pd.DataFrame(rows)
    found.to_csv(RESULTS, index=False, lineterminator="\n")
    unlike, alarm = found["true"] < GO_SRCC, found["said"] < GO_SRCC
    counts = found.assign(
        like=~unlike, false_alarms=alarm & ~unlike, unlike=unlike, missed=~alarm & unlike
    )
    kinds = ["like", "false_alarms", "unlike", "missed"]
    print(counts.groupby(["half", "k"])[kinds].sum().to_string())
    print(counts.groupby("k")[kinds].sum().to_string())


if __name__ == "__main__":
    main()
