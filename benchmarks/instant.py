"""Instant proposals on measured devices of families never seen, beside what they must beat.

    python benchmarks/instant.py --data hardware --models runs/instant --seeds 1

NAS-Bench-201, 30 device settings of eight families. Each family in turn is held out of everything
that is learned. For every device and 18 bounds (quantiles of its own latency) a method may measure
32 networks of the device and sees 12-epoch validation accuracies alone, by default the mean of the
three data sets' standardised ones. Regret: test accuracy after 200 epochs of the best network that
meets the bound, minus that of the chosen one; `regret_seen` is the same in the accuracy that is
seen, in standard deviations. Milliseconds are processor time on one thread (OMP_NUM_THREADS=1)
until there are designs to measure. Rows go to `results/instant.jsonl` (not committed)
as they are ready and a rerun goes on; the tables are `results/instant.csv`, by method, and
`results/instant_families.csv`.

    random                 the best of 32 drawn networks
    approach 1             `TransferPredictor` (10 chosen rows) ranks every network, 22 verified
    conditioned            the device-conditioned predictor ranks every network, 22 verified
    no optimiser           repair starts at random designs, not at proposed ones, 22 verified
    optimiser, as is       the likeliest design of one forward pass
    optimiser, repaired    the first of the repaired designs: nothing but the 10 rows is measured
    instant                optimiser, repair, 22 verified
    exhaustive             all latencies known, the same accuracies: what those leave
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors import (
    NeuralOptimizer,
    Pool,
    TransferPredictor,
    choose_rows,
    learn_prior,
    repair,
    verify,
)
from search_spaces import Genes, NASBench201Space
from transfer import Table, complete, nasbench201

RESULTS = Path(__file__).parent / "results" / "instant.jsonl"
QUANTILES = np.linspace(0.05, 0.95, 18)
N_MEASUREMENTS, N_ANCHORS, N_CANDIDATES = 32, 10, 700
N_SHORTLIST = 200  # networks by each rule that approach 1 ranks again after a measurement

Floats = NDArray[np.float64]


class Oracle:
    """One target's measurements for one bound: refuses to be read more often than allowed."""

    def __init__(self, log_cost: Floats) -> None:
        self._log_cost, self.read = log_cost, set[int]()

    def measure(self, row: int) -> float:
        self.read.add(int(row))
        assert len(self.read) <= N_MEASUREMENTS, "more was measured than is allowed"
        assert np.isfinite(self._log_cost[row]), "the device has no such row"
        return float(self._log_cost[row])


@dataclass(frozen=True)
class Cells:
    """The networks of NAS-Bench-201 that have a path, and what is known of their accuracy."""

    space: NASBench201Space
    genes: Genes
    seen: Floats  # validation accuracy after 12 epochs, standardised
    test: dict[str, Floats]  # percent, after 200 epochs

    def __post_init__(self) -> None:
        number = np.full(5**6, -1)
        number[self._code(self.genes)] = np.arange(len(self.genes))
        object.__setattr__(self, "_number", number)

    def _code(self, genes: Genes) -> NDArray[np.int64]:
        return genes @ 5 ** np.arange(6)

    def rows(self, genes: Genes) -> NDArray[np.int64]:
        """Row of each network, -1 where it has no path."""
        return self._number[self._code(genes)]  # type: ignore[attr-defined]


def load_cells(folder: Path, table: Table, datasets: list[str]) -> Cells:
    space = NASBench201Space()
    known = pd.read_csv(folder / "nasbench201/accuracy.csv.gz")
    everything = space.parse_all(known["arch_str"].tolist())
    genes = table.features[:, : len(space.choices)].astype(np.int64)
    code = 5 ** np.arange(6)
    alive = np.isin(everything @ code, genes @ code)
    known = known[alive].reset_index(drop=True)
    assert np.array_equal(everything[alive], genes)
    validation = known[[f"{d}_val_acc_ep12" for d in datasets]]
    seen = ((validation - validation.mean()) / validation.std()).mean(axis=1).to_numpy()
    test = {d: known[f"{d}_test_acc_ep200"].to_numpy() for d in ("cifar10", "cifar100")}
    return Cells(space, genes, seen, test)


@dataclass
class Target:
    """One device of a held-out family: what may be known of it before a bound is given."""

    cells: Cells
    log_cost: Floats
    optimizer: NeuralOptimizer
    prior: Any
    X: Floats  # features and log costs on the proxies, for approach 1

    def __post_init__(self) -> None:
        self.measured = np.flatnonzero(~np.isnan(self.log_cost))
        on_device = np.zeros(len(self.log_cost), dtype=bool)
        on_device[self.measured] = True
        self.allowed = np.where(on_device, self.cells.seen, -np.inf)
        self.anchors = self.measured[self.optimizer.anchors(self.cells.genes[self.measured])]
        order = np.random.default_rng(0).permutation(self.measured)[:N_CANDIDATES]
        self.chosen = order[choose_rows(self.prior, self.X[order], N_ANCHORS)]

    def value(self, genes: Genes) -> Floats:
        """Accuracy seen; -inf where the device has no row to verify the network with."""
        rows = self.cells.rows(genes)
        return np.where(rows < 0, -np.inf, self.allowed[rows])


Choice = tuple[int | None, float]  # the network and the milliseconds until there were proposals
Method = Callable[[Target, Oracle, float, np.random.Generator], Choice]


def random_search(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    rows = rng.permutation(t.measured)[:N_MEASUREMENTS]
    return _best(t, rows, np.array([oracle.measure(r) for r in rows]), bound), 0.0


def approach_1(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    start = time.process_time()
    y = np.array([oracle.measure(r) for r in t.chosen])
    mean, std = _transferred(t, t.chosen, y, t.measured)
    meets = np.where(mean <= bound, t.cells.seen[t.measured], -np.inf)
    maybe = np.where(mean <= bound + 2 * std, t.cells.seen[t.measured], -np.inf)
    lists = [x.argsort()[::-1][:N_SHORTLIST] for x in (meets, maybe, -mean)]
    rows = t.measured[np.unique(np.concatenate(lists))]
    proposed_ms = 1e3 * (time.process_time() - start)

    def belief(done: NDArray[np.int64], costs: Floats) -> tuple[Floats, Floats]:
        given, known = np.concatenate([t.chosen, rows[done]]), np.concatenate([y, costs])
        return _transferred(t, given, known, rows)

    return _verified(t, oracle, bound, rows, belief, t.chosen, y), proposed_ms


def _transferred(
    t: Target, given: NDArray[np.int64], y: Floats, asked: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the log cost of rows `asked` by `TransferPredictor`."""
    model = TransferPredictor(t.prior.proxy_columns, prior=t.prior).fit(t.X[given], np.exp(y))
    low, high = (np.log(end) for end in model.predict_interval(t.X[asked], coverage=0.68))
    return (low + high) / 2, (high - low) / 2


def conditioned(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    start = time.process_time()
    device, y = _device(t, oracle)
    mean, std = t.optimizer.predict(t.cells.genes[t.measured], device)
    pool = Pool(t.cells.genes[t.measured], t.cells.seen[t.measured], mean, std)
    ms = 1e3 * (time.process_time() - start)
    return _verify_pool(t, oracle, bound, pool, y), ms


def no_optimiser(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    start = time.process_time()
    device, y = _device(t, oracle)

    def look(genes: Genes) -> Pool:
        return Pool(genes, t.value(genes), *t.optimizer.predict(genes, device))

    n = len(t.optimizer.designs(device, bound))
    drawn = np.unique(t.cells.space.sample(n, rng), axis=0)
    pool = repair(look(drawn), bound, look, t.cells.space)
    ms = 1e3 * (time.process_time() - start)
    return _verify_pool(t, oracle, bound, pool, y), ms


def as_is(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    start = time.process_time()
    device, _ = _device(t, oracle)
    design = t.optimizer.designs(device, bound)[:1]
    ms = 1e3 * (time.process_time() - start)
    return int(t.cells.rows(design)[0]), ms


def repaired(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    start = time.process_time()
    device, _ = _device(t, oracle)
    pool = t.optimizer.propose(device, bound, t.value)
    ms = 1e3 * (time.process_time() - start)
    return int(t.cells.rows(pool.genes[:1])[0]), ms


def instant(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    start = time.process_time()
    device, y = _device(t, oracle)
    pool = t.optimizer.propose(device, bound, t.value)
    ms = 1e3 * (time.process_time() - start)
    return _verify_pool(t, oracle, bound, pool, y), ms


def exhaustive(t: Target, oracle: Oracle, bound: float, rng: np.random.Generator) -> Choice:
    return _best(t, t.measured, t.log_cost[t.measured], bound), 0.0


METHODS: dict[str, Method] = {
    "random": random_search,
    "approach 1": approach_1,
    "conditioned": conditioned,
    "no optimiser": no_optimiser,
    "optimiser, as is": as_is,
    "optimiser, repaired": repaired,
    "instant": instant,
    "exhaustive": exhaustive,
}


def _device(t: Target, oracle: Oracle) -> tuple[Any, Floats]:
    y = np.array([oracle.measure(r) for r in t.anchors])
    return t.optimizer.embed(t.cells.genes[t.anchors], y), y


def _verify_pool(t: Target, oracle: Oracle, bound: float, pool: Pool, y: Floats) -> int | None:
    belief = t.optimizer.belief(pool, t.cells.genes[t.anchors], y)
    return _verified(t, oracle, bound, t.cells.rows(pool.genes), belief, t.anchors, y)


def _verified(
    t: Target,
    oracle: Oracle,
    bound: float,
    rows: NDArray[np.int64],
    belief: Any,
    known: NDArray[np.int64],
    y: Floats,
) -> int | None:
    """Verify networks `rows`; those measured to know the device are candidates, too."""
    value = np.where(rows < 0, -np.inf, t.allowed[rows])
    allowed = N_MEASUREMENTS - len(known)
    done = verify(value, belief, lambda i: oracle.measure(rows[i]), bound, allowed)
    every = np.concatenate([known, rows[done.rows]])
    return _best(t, every, np.concatenate([y, done.log_cost]), bound)


def _best(t: Target, rows: NDArray[np.int64], log_cost: Floats, bound: float) -> int | None:
    meets = rows[log_cost <= bound]
    return int(meets[t.cells.seen[meets].argmax()]) if len(meets) else None


def experiment(
    table: Table, cells: Cells, family: str, seed: int, models: Path
) -> Iterator[dict[str, Any]]:
    """Learn from all other families, then every device of `family`, every bound and method."""
    names = [d for d in table.log_cost if table.family[d] != family]
    kin = [table.family[d] for d in names]
    Z = complete(table, names)
    folder = models / f"without {family}, seed {seed}"
    if not (folder / "optimiser.json").exists():
        fitted = NeuralOptimizer(cells.space, seed=seed).fit(cells.genes, Z, kin, cells.seen)
        fitted.save(folder, devices=names)
    optimizer = NeuralOptimizer.load(folder, cells.space)
    X = np.concatenate([table.features, Z], axis=1)
    columns = tuple(range(table.features.shape[1], X.shape[1]))
    prior = learn_prior(X, proxy_columns=columns, families=kin, blocks=table.blocks)
    for device in (d for d in table.log_cost if table.family[d] == family):
        log_cost = table.log_cost[device].to_numpy()
        target = Target(cells, log_cost, optimizer, prior, X)
        for method, run in METHODS.items():
            if seed and method in ("approach 1", "exhaustive"):
                continue  # they have no seed
            read = set[int]()
            for number, q in enumerate(QUANTILES):
                bound = float(np.quantile(log_cost[target.measured], q))
                oracle = Oracle(log_cost)
                chosen, ms = run(target, oracle, bound, np.random.default_rng([seed, number]))
                read |= oracle.read
                yield {
                    "family": family,
                    "device": device,
                    "method": method,
                    "seed": seed,
                    "bound": round(float(q), 4),
                    "feasible": bool(chosen is not None and log_cost[chosen] <= bound),
                    **_regrets(target, chosen, bound),
                    "measured": len(oracle.read),
                    "measured_all_bounds": len(read),
                    "proposed_ms": round(ms, 2),
                }


def _regrets(t: Target, chosen: int | None, bound: float) -> dict[str, float]:
    """Against the best network of the device that meets the bound; NaN without a choice."""
    meets = t.measured[t.log_cost[t.measured] <= bound]
    known = {f"regret_{name}": accuracy for name, accuracy in t.cells.test.items()}
    known["regret_seen"] = t.cells.seen
    good = chosen is not None and t.log_cost[chosen] <= bound
    return {
        name: round(float(accuracy[meets].max() - accuracy[chosen]), 3) if good else float("nan")
        for name, accuracy in known.items()
    }


def summary(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means over devices and bounds; `spread` over seeds; a device's rows over all its bounds."""
    groups = rows.groupby(keys, sort=False)
    by_seed = rows.groupby([*keys, "seed"], sort=False)["regret_cifar100"].mean()
    per_device = rows.groupby([*keys, "device", "seed"])["measured_all_bounds"].max()
    return pd.DataFrame(
        {
            "feasible_pct": 100 * groups["feasible"].mean(),
            "regret_cifar100": groups["regret_cifar100"].mean(),
            "worst_cifar100": groups["regret_cifar100"].max(),
            "spread_cifar100": by_seed.groupby(keys).std(),
            "regret_cifar10": groups["regret_cifar10"].mean(),
            "worst_cifar10": groups["regret_cifar10"].max(),
            "regret_seen": groups["regret_seen"].mean(),
            "measured": groups["measured"].mean(),
            "most_measured": groups["measured"].max(),
            "measured_per_device": per_device.groupby(keys).mean(),
            "proposed_ms": groups["proposed_ms"].median(),
            "proposed_ms_p95": groups["proposed_ms"].quantile(0.95),
        }
    ).round(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--accuracies",
        nargs="+",
        default=["cifar10", "cifar100", "imagenet16_120"],
        help="data sets whose 12-epoch validation accuracy is seen",
    )
    parser.add_argument("--models", type=Path, required=True, help="folder of trained optimisers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="rows (JSON lines)")
    arguments = parser.parse_args()
    table = nasbench201(arguments.data)
    cells = load_cells(arguments.data, table, arguments.accuracies)
    done = set()
    if arguments.results.exists():
        lines = arguments.results.read_text().splitlines()
        done = {(row["family"], row["seed"]) for row in map(json.loads, lines)}
    for seed in range(arguments.seeds):
        for family in sorted(set(table.family.values())):
            if (family, seed) not in done:
                rows = list(experiment(table, cells, family, seed, arguments.models))
                with arguments.results.open("a") as file:
                    file.write("".join(json.dumps(row) + "\n" for row in rows))
                print(f"without {family}, seed {seed}", flush=True)
    rows = pd.read_json(arguments.results, lines=True)
    families = summary(rows, ["family", "method"])
    families.to_csv(
        arguments.results.with_name(arguments.results.stem + "_families.csv"), lineterminator="\n"
    )
    total = summary(rows, ["method"])
    total.to_csv(arguments.results.with_suffix(".csv"), lineterminator="\n")
    print(families.to_string(), total.to_string(), sep="\n\n")


if __name__ == "__main__":
    main()
