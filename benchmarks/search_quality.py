"""How close to the true front a search comes per architecture looked up, where all is known.

    python benchmarks/search_quality.py --data hardware

NAS-Bench-201 on measured devices: error on CIFAR-100 after the full training against log latency or
log energy, each scaled to [0, 1] over all cells. Cells without a path from input to output are not
networks: asking for one fails and costs nothing. Isomorphic cells are one network, looked up under
the index of the first. The budget counts networks looked up, error and cost together; asking for
one again costs nothing, for every method. The hypervolume (reference 1.1) of what was looked up is
given as a share of that of all networks, with IGD+ (Ishibuchi et al., 2015) to the true front.

The settings of `SurrogateSampler` (first trials, batch, candidates) were chosen on CIFAR-10 errors
and the devices of `TUNED_ON`; the tasks judged here use neither. Through their space our samplers
see isomorphic cells as one. Optuna's Gaussian process is limited by `SLOW` and `SLOW_ASKS`. Rows go
to `results/search_quality.jsonl` as they are ready and a rerun goes on;
`results/search_quality.csv` is the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nas.pareto import hypervolume, non_dominated
from nas.search import GenerationSampler, SurrogateSampler
from search_spaces import Genes, NASBench201Space, encode, feature_names

RESULTS = Path(__file__).parent / "results" / "search_quality.jsonl"
BUDGETS = (50, 100, 200, 300, 500)
REFERENCE = 1.1
POPULATION = 50
ASKS_PER_LOOKUP = 20  # a method that only repeats itself is stopped there
SPACE = NASBench201Space()
POWERS = 5 ** np.arange(6)[::-1]  # genes @ POWERS numbers the cells
ERRORS = {"cifar100": "cifar100_test_acc_ep200", "cifar10": "cifar10_test_acc_ep200"}
JUDGED = {
    "gold_6240": ("gold_6240",),
    "raspi4": ("raspi4",),
    "1080ti_1": ("1080ti_1",),
    "titanx_256": ("titanx_256",),
    "pixel3": ("pixel3",),
    "fpga": ("fpga",),
    "pi5_latency": ("pi5_litert_cifar100_lat_ms",),
    "pi5_energy": ("pi5_litert_cifar100_energy_mj",),
}
THREE = {
    "pi5_litert_both": ("pi5_litert_cifar100_lat_ms", "pi5_litert_cifar100_energy_mj"),
    "pi5_onnx_both": ("pi5_onnx_cifar100_lat_ms", "pi5_onnx_cifar100_energy_mj"),
}
TUNED_ON = {name: (name,) for name in ("silver_4114", "samsung_s7", "titanxp_32", "2080ti_1")}
SLOW = {"optuna-gp": (200, 3, 3)}  # evaluations, tasks and seeds that are affordable
SLOW_ASKS = 4  # per evaluation: it asks for what it knows, and every ask costs it half a second

Floats = NDArray[np.float64]


class Spent(Exception):
    """The budget is used up."""


@dataclass(frozen=True)
class Task:
    """Scaled objectives of every distinct network, and which network a cell is."""

    name: str
    costs: Floats  # (cells, objectives); NaN where the cell is no network
    network: NDArray[np.int64]  # (cells,) number of the cell that stands for it
    front: Floats
    volume: float


@dataclass(frozen=True)
class Networks(NASBench201Space):
    """The cells with isomorphic ones being equal, as `Space.canonical` promises."""

    network: NDArray[np.int64] | None = None

    def canonical(self, genes: ArrayLike) -> Genes:
        number = self.network[super().canonical(genes) @ POWERS]
        return number[:, None] // POWERS % 5


class Table:
    """What a search may look up, and what it has looked up so far."""

    def __init__(self, task: Task, budget: int, asks: int = ASKS_PER_LOOKUP) -> None:
        self.task, self.budget, self.max_asked = task, budget, asks * budget
        self.seen: dict[int, None] = {}
        self.n_asked = 0

    def look_up(self, genes: Any) -> Floats | None:
        """Objectives of one cell; None where it is no network; Spent when nothing is left."""
        self.n_asked += 1
        number = int(self.task.network[np.asarray(genes) @ POWERS])
        values = self.task.costs[number]
        known = number in self.seen or np.isnan(values).any()
        if not known and len(self.seen) == self.budget:
            raise Spent
        if self.n_asked > self.max_asked:
            raise Spent
        if np.isnan(values).any():
            return None
        self.seen[number] = None
        return values

    def rows(self) -> list[dict[str, float]]:
        """Share of the true hypervolume and IGD+ at every budget."""
        values = self.task.costs[list(self.seen)]
        return [
            _quality(self.task, values[:n]) | {"budget": n} for n in BUDGETS if n <= self.budget
        ]


def _quality(task: Task, values: Floats) -> dict[str, float]:
    found = values[non_dominated(values)]
    worse = np.maximum(found[None] - task.front[:, None], 0)
    return {
        "hypervolume_share": round(_volume(found) / task.volume, 5),
        "igd_plus": round(float(np.sqrt((worse**2).sum(axis=2)).min(axis=1).mean()), 5),
    }


def _volume(values: Floats) -> float:
    return hypervolume(values, (REFERENCE,) * values.shape[1])


def load_tasks(folder: Path, devices: dict[str, tuple[str, ...]], error: str) -> dict[str, Task]:
    """One task a device: all 15,625 cells in the order of their genes."""
    cells = pd.read_csv(folder / "nasbench201/accuracy.csv.gz").set_index("arch_idx")
    for name in ("latency_help_ms", "hwnb360_pi5_pixel"):
        cells = cells.join(pd.read_csv(folder / f"nasbench201/{name}.csv.gz").set_index("arch_idx"))
    genes = SPACE.parse_all(cells["arch_str"].tolist())
    cells["key"] = genes @ POWERS
    edges = encode(SPACE, genes, np.ones((1, 1), dtype=bool))[:, -1]
    assert feature_names(SPACE)[-1] == "path:edges"
    cells["alive"] = edges > 0
    network = cells["key"].reindex(cells["canonical_idx"]).to_numpy()
    cells["network"] = network
    cells = cells.sort_values("key")
    own = (cells["alive"] & (cells["network"] == cells["key"])).to_numpy()
    tasks = {}
    for name, columns in devices.items():
        raw = [100 - cells[ERRORS[error]], *(np.log(cells[c].where(cells[c] > 0)) for c in columns)]
        values = np.column_stack([v.where(own) for v in raw])
        values = values - np.nanmin(values, axis=0)
        values = values / np.nanmax(values, axis=0)
        known = values[~np.isnan(values).any(axis=1)]
        front = known[non_dominated(known)]
        tasks[name] = Task(name, values, cells["network"].to_numpy(), front, _volume(front))
    return tasks


# ---- methods: each asks `table` until it raises Spent -------------------------------------------


def run_random(table: Table, seed: int) -> None:
    rng = np.random.default_rng(seed)
    while True:
        table.look_up(SPACE.sample(1, rng)[0])


Maker = Callable[[int, Task], optuna.samplers.BaseSampler]


def run_optuna(make: Maker) -> Callable[[Table, int], None]:
    def run(table: Table, seed: int) -> None:
        directions = ["minimize"] * table.task.costs.shape[1]
        study = optuna.create_study(directions=directions, sampler=make(seed, table.task))
        while True:
            trial = study.ask()
            choices = SPACE.named_choices().items()
            values = table.look_up([trial.suggest_categorical(n, c) for n, c in choices])
            if values is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, values.tolist())

    return run


def run_pymoo(table: Table, seed: int) -> None:
    """NSGA-II with uniform crossover and mutation; a cell that is no network is dominated."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    class Redraw(Mutation):
        def _do(self, problem: Any, X: Any, random_state: Any = None, **kwargs: Any) -> Any:
            drawn = random_state.integers(0, 5, size=X.shape)
            return np.where(random_state.random(X.shape) < 1 / X.shape[1], drawn, X)

    class Cells(Problem):
        def __init__(self) -> None:
            m = table.task.costs.shape[1]
            super().__init__(n_var=6, n_obj=m, xl=0, xu=4, vtype=int)

        def _evaluate(self, x: Any, out: Any, *args: Any, **kwargs: Any) -> None:
            found = [table.look_up(row) for row in x]
            out["F"] = np.array([np.full(self.n_obj, 2.0) if v is None else v for v in found])

    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=UniformCrossover(),
        mutation=Redraw(),
        eliminate_duplicates=True,
    )
    minimize(Cells(), algorithm, ("n_gen", 10**6), seed=seed)


def _tpe(seed: int, task: Task) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


def _nsga2(seed: int, task: Task) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)


def _nsga3(seed: int, task: Task) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIIISampler(population_size=POPULATION, seed=seed)


def _gp(seed: int, task: Task) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


def _generations(seed: int, task: Task) -> optuna.samplers.BaseSampler:
    space = Networks(network=task.network)
    return GenerationSampler(space, seed=seed, population=POPULATION)


def _surrogate(seed: int, task: Task) -> optuna.samplers.BaseSampler:
    return SurrogateSampler(Networks(network=task.network), seed=seed)


def _surrogate_alone(seed: int, task: Task) -> optuna.samplers.BaseSampler:
    """Without the space: it sees six categories, as Optuna's own samplers do."""
    return SurrogateSampler(seed=seed)


METHODS: dict[str, Callable[[Table, int], None]] = {
    "random": run_random,
    "pymoo-nsga2": run_pymoo,
    "optuna-nsga2": run_optuna(_nsga2),
    "optuna-nsga3": run_optuna(_nsga3),
    "optuna-tpe": run_optuna(_tpe),
    "optuna-gp": run_optuna(_gp),
    "ours-nsga2": run_optuna(_generations),
    "ours-surrogate": run_optuna(_surrogate),
    "ours-surrogate-no-space": run_optuna(_surrogate_alone),
}


def run(method: str, task: Task, seed: int, budget: int) -> dict[str, Any]:
    """One search: what the file keeps of it."""
    table = Table(task, budget, SLOW_ASKS if method in SLOW else ASKS_PER_LOOKUP)
    start = time.process_time()
    with contextlib.suppress(Spent):
        METHODS[method](table, seed)
    about = {"method": method, "task": task.name, "seed": seed}
    cost = {"seconds": round(time.process_time() - start, 2), "asked": table.n_asked}
    cost["looked_up"] = len(table.seen)
    return about | cost | {"quality": table.rows()}


def summary(path: Path) -> pd.DataFrame:
    """Mean and spread over seeds, and over all tasks of two objectives together."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    flat = pd.DataFrame([r | q for r in rows for q in r["quality"]]).drop(columns="quality")
    both = [flat, flat[flat["task"].isin(JUDGED)].assign(task="mean of devices")]
    grouped = pd.concat(both).groupby(["task", "method", "budget"])
    table = grouped.agg(
        n=("seed", "size"),
        hypervolume_share=("hypervolume_share", "mean"),
        sd=("hypervolume_share", "std"),
        worst=("hypervolume_share", "min"),
        igd_plus=("igd_plus", "mean"),
    )
    return table.round(4).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description="See the docstring.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nasbench201")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tasks", default="", help="default: all that are judged")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tasks = load_tasks(arguments.data, JUDGED | THREE, "cifar100")
    names = arguments.tasks.split(",") if arguments.tasks else list(tasks)
    path = arguments.results
    done = set()
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            done.add((row["method"], row["task"], row["seed"]))
    for seed in range(arguments.seeds):
        for method in arguments.methods.split(","):
            budget, n_tasks, n_seeds = SLOW.get(method, (max(BUDGETS), len(names), 10**6))
            for name in names[:n_tasks]:
                if (method, name, seed) in done or seed >= n_seeds:
                    continue
                row = run(method, tasks[name], seed, budget)
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                last = row["quality"][-1]
                print(method, name, seed, last["hypervolume_share"], row["seconds"], flush=True)
    table = summary(path)
    table.to_csv(path.with_suffix(".csv"), index=False, lineterminator="\n")
    mean = table[table["task"] == "mean of devices"]
    print(
        mean.pivot_table(index="method", columns="budget", values="hypervolume_share").to_string()
    )


if __name__ == "__main__":
    main()
