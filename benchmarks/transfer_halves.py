"""Transfer on devices that nothing was tuned on: families of devices in two halves, both ways.

    python benchmarks/transfer_halves.py --data hardware

Families in the order of the alphabet, except once-for-all's, which are all GPUs and belong to half
A: every second family is in half B. Every device in turn is the target, with its family left out of
the proxies, and gives k rows, chosen or random, in `--draws` draws. `SETTINGS` are the ways to mix
that were compared: the best on one half, by the mean rank over its tables, is reported on the other
and the other way round, beside the one that ships. `never worse`: how far the rank correlation, in
the mean over draws, stays below the best of the plain ways. Rows go to
`results/transfer_halves.csv` as families are ready, and a rerun goes on. Intervals, which take five
more fits, are judged for chosen rows of the first draw alone, at ten: `asked` is the `SAFE`
with which they would hold 85 % of a device's rows. The results that ship have one draw at 100 rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits

from predictors import TransferPredictor, choose_rows, learn_prior
from predictors.transfer.mixture import DOUBT, shares_of
from predictors.transfer.pooled import SAFE, USUAL_SHARES
from predictors.transfer.posterior import Link
from transfer import RIDGES, TABLES, ada_proxy, complete, half, methods, proxies_of, read, score

RESULTS = Path(__file__).parent / "results" / "transfer_halves.csv"
KS, INTERVAL_KS, N_CANDIDATES, N_JUDGED = (5, 10, 30, 50, 100), (10,), 700, 1000
HOLDS = 0.85  # of 90 % intervals, on the worst device
PLAIN = ("ridge from scratch", "XGBoost from scratch", "nearest proxy", "mean of proxies")
NEVER_WORSE, MAPE_FACTOR = 0.005, 1.05
SETTINGS = {  # usual shares of costs, lines and own rows; rows that they are worth
    "costs alone": ((1.0, 0.0, 0.0), 1e9),
    "lines alone": ((0.0, 1.0, 0.0), 1e9),
    "equal halves": ((0.5, 0.5, 0.0), 1e9),
    "halves, 3 rows": ((0.5, 0.5, 0.0), 3.0),
    "halves, 10 rows": ((0.5, 0.5, 0.0), 10.0),
    "own rows, 3 rows": ((0.4, 0.4, 0.2), 3.0),
    "own rows, 10 rows": ((0.4, 0.4, 0.2), 10.0),
    "own rows, 30 rows": ((0.4, 0.4, 0.2), 30.0),
    "thirds, 10 rows": ((1 / 3, 1 / 3, 1 / 3), 10.0),
}
SHIPPED = next(name for name, s in SETTINGS.items() if s == (USUAL_SHARES, DOUBT))


def judged(name: str, folder: Path, family: str, draw: int) -> list[dict[str, Any]]:
    """Ours and others on every device of a family, from k rows each."""
    with threadpool_limits(1):  # one core per process
        return list(_judged(name, folder, family, draw))


def _judged(name: str, folder: Path, family: str, draw: int) -> Iterator[dict[str, Any]]:
    table = read(name, folder)
    targets = [d for d in table.log_cost if table.family[d] == family]
    names = proxies_of(table, targets[0], "family")
    F, Z = table.features, complete(table, names)
    X = np.concatenate([F, Z], axis=1)
    columns = tuple(range(F.shape[1], X.shape[1]))
    kin = [table.family[d] for d in names]
    prior = learn_prior(X, proxy_columns=columns, families=kin, blocks=table.blocks)
    plain = methods()
    lines = dict(enumerate(RidgeCV(RIDGES, alpha_per_target=True).fit(F, Z).coef_))  # of AdaProxy
    for target in targets:
        truth = table.log_cost[target].to_numpy()
        order = np.random.default_rng(draw).permutation(np.flatnonzero(~np.isnan(truth)))
        candidates, rest = order[:N_CANDIDATES], order[N_CANDIDATES:][:N_JUDGED]
        named = candidates[choose_rows(prior, X[candidates], max(KS), seed=draw)]
        for choice, k in product(("chosen", "random"), KS):
            rows, t = (named if choice == "chosen" else candidates)[:k], truth[rest]
            about = {"half": half(name, family), "table": name, "family": family}
            about |= {"target": target, "draw": draw, "choice": choice, "k": k}
            model = TransferPredictor(columns, prior=prior).fit(X[rows], np.exp(truth[rows]))
            for setting, log_cost in _mixed(model, X[rest]).items():
                found = about | {"method": setting} | score(t, log_cost)
                if setting == SHIPPED and choice == "chosen" and k in INTERVAL_KS and not draw:
                    found |= _inside(model, X[rest], t)
                yield found
            some = np.concatenate([rows, rest])  # what is neither given nor judged costs time only
            given = F[some], Z[some], np.arange(k), truth[rows]
            yield about | {"method": "AdaProxy"} | score(t, ada_proxy(*given, lines)[k:])
            for other in PLAIN:
                yield about | {"method": other} | score(t, plain[other](*given)[k:])


def _mixed(model: TransferPredictor, X: np.ndarray) -> dict[str, np.ndarray]:
    """Log cost of X by every setting; the fit, and what each way says, are the same for all."""
    design = model._design(X)
    link = Link(model.design_, design)
    means = np.array([part.mean(design, link) for part in model.parts_])
    left_out = [part.left_out(None) for part in model.parts_]
    return {
        name: shares_of(left_out, usual, None, doubt=doubt) @ means
        for name, (usual, doubt) in SETTINGS.items()
    }


def _inside(model: TransferPredictor, X: np.ndarray, t: np.ndarray) -> dict[str, float]:
    low, high = np.log(model.predict_interval(X))
    half_width = (high - low) / 2
    asked = SAFE * np.quantile(np.abs(t - (high + low) / 2) / half_width, HOLDS)
    return {
        "coverage": round(float(((low <= t) & (t <= high)).mean()), 3),
        "half_width_log": round(float(np.median(half_width)), 4),
        "asked": round(float(asked), 3),  # in place of `SAFE`, for `HOLDS` of this device's rows
    }


def crossed(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean rank of the setting that is best on the other half, of the shipped one, of the rest."""
    ranks = rows.pivot_table("srcc", ["half", "table", "choice", "k"], "method")
    of_half = ranks.groupby(["half", "table"])[list(SETTINGS)].mean().groupby("half").mean()
    best = of_half.idxmax(axis=1)
    print(f"of {len(SETTINGS)} settings, best on half A: {best['A']}; on half B: {best['B']}")
    found = {}
    for here, there in (("A", "B"), ("B", "A")):
        found[here] = ranks.loc[here].assign(
            crossed=ranks.loc[here, best[there]], shipped=ranks.loc[here, SHIPPED]
        )
    table = pd.concat(found, names=["half"])
    table["difference"] = table["crossed"] - table["shipped"]
    return table[["crossed", "shipped", "difference", "costs alone", "AdaProxy", *PLAIN]].round(3)


def intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Per half: how much intervals hold, and which `SAFE` its worst device asks for."""
    own = rows[rows["asked"].notna()]
    found = own.groupby(["half", "k"]).agg(
        coverage=("coverage", "mean"), worst=("coverage", "min"), asked=("asked", "max")
    )
    return found.round(3)


def never_worse(rows: pd.DataFrame) -> pd.DataFrame:
    """Every device, choice and k with what ships, and by how much the best plain way leads.

    In the mean over the draws.
    """
    keys = ["half", "table", "target", "choice", "k"]
    plain, found = ["AdaProxy", *PLAIN], pd.DataFrame()
    for column in ("srcc", "mape_pct"):
        values = rows.pivot_table(column, keys, "method")
        best = values[plain].max(axis=1) if column == "srcc" else values[plain].min(axis=1)
        found[column], found[f"best_{column}"] = values[SHIPPED], best
        if column == "srcc":
            found["best"] = values[plain].idxmax(axis=1)
    found["below"] = found["best_srcc"] - found["srcc"]
    found["mape_factor"] = found["mape_pct"] / found["best_mape_pct"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--draws", type=int, default=2)
    arguments = parser.parse_args()
    done = pd.read_csv(arguments.out) if arguments.out.exists() else pd.DataFrame()
    ready = set(zip(done["table"], done["family"], done["draw"], strict=True)) if len(done) else ()
    tasks = [
        (name, arguments.data, family, draw)
        for draw in range(arguments.draws)
        for name in TABLES
        for family in sorted(set(read(name, arguments.data).family.values()))
        if (name, family, draw) not in ready
    ]
    with ProcessPoolExecutor(arguments.processes) as pool:
        for part in pool.map(judged, *zip(*tasks, strict=True)) if tasks else ():
            done = pd.concat([done, pd.DataFrame(part)])
            done.to_csv(arguments.out, index=False, lineterminator="\n")
    print(crossed(done).to_string())
    keys = ["half", "table", "choice", "k"]
    of_device = done[done["method"] == SHIPPED].groupby([*keys, "target"])[["srcc", "coverage"]]
    print(of_device.mean().groupby(keys).agg(["mean", "min"]).round(3).to_string())
    print(intervals(done).to_string())
    table = never_worse(done)
    missed = (table["below"] > NEVER_WORSE) | (table["mape_factor"] > MAPE_FACTOR)
    table.round(4).to_csv(arguments.out.with_name("transfer_never_worse.csv"), lineterminator="\n")
    print(f"never worse: missed in {missed.sum()} of {len(table)}")
    print(table[missed].round(3).to_string())


if __name__ == "__main__":
    main()
