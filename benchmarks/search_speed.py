"""What a search costs beside its score: Optuna's NSGA-II, pymoo's and ours, in one process.

    python benchmarks/search_speed.py

`overhead`: 25 categorical genes and three objectives that cost next to nothing. Ours is the whole
`nas.search.study.generations.run`: generations, fronts, and every subnet a finished trial with one
named parameter per gene, in memory or in Optuna's journal. pymoo keeps its last population alone.
Methods take turns, the least of the repeats counts: the machine may be shared, so ratios say more
than seconds. `score`: the same with the zoo's supernet on Xavier NX, 729 policies at 15 levels.
`growth`: up to 100,000 subnets, each search in a process of its own for its peak of memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from nas.devices.host import cpu_name
from nas.search import GenerationSampler
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.objectives import trial_values
from nas.search.score.scorer import Scores
from nas.search.study.generations import run as run_study
from nas.search.study.open import open_study
from search_spaces import Genes, ResNetSpace, Space

RESULTS = Path(__file__).parent / "results" / "search_speed.json"
POPULATION = 100
SPACE = ResNetSpace(
    name="resnet-25-genes",
    resolution=64,
    in_channels=3,
    n_classes=10,
    widths=((16, 24, 32), (24, 32, 48), (48, 64, 96), (64, 96, 128), (96, 128, 192)),
    depths=(1, 2, 3),
    expands=(25, 50, 75, 100),
    strides=(1, 2, 2, 2, 2),
    head_widths=(32, 32, 32, 32),
)

Score = Callable[[Genes], Scores]


class CheapScorer:
    """Three conflicting sums over the genes, as one policy at one level."""

    def __call__(self, genes: Genes) -> Scores:
        return _sums(genes)

    def at_all_clocks(self, genes: Genes, scores: Scores) -> Iterator[tuple[Genes, Scores]]:
        yield genes, scores


cheap_score = CheapScorer()


def _sums(genes: Genes) -> Scores:
    size = genes @ np.linspace(1, 2, genes.shape[1])
    error = 100 / (1 + size / 500)
    latency = genes @ np.linspace(2, 1, genes.shape[1]) / 100
    energy = np.abs(genes - 60) @ np.linspace(1, 2, genes.shape[1])[::-1] / 100
    n, shape = len(genes), (len(genes), 1, 1)
    rates = np.zeros((n, 1, SPACE.n_exits + 1))
    rates[:, :, -1] = 1
    latency, energy = latency.reshape(shape), energy.reshape(shape)
    return Scores(error[:, None], rates, np.zeros(n, dtype=bool), latency, energy, latency)


def ours(space: Space, score: Score, n: int, n_levels: int, journal: Path | None) -> int:
    """Search `n` subnets; returns the number of configurations."""
    sampler = GenerationSampler(space, population=POPULATION)
    if journal is None:
        study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
    else:
        study = open_study(None, journal, sampler)
    problem = Problem(space, score, Bounds(), (n_levels,))  # type: ignore[arg-type]
    archive = run_study(study, problem, n)
    assert archive.n_subnets == n
    return archive.n_configurations


def with_journal(space: Space, score: Score, n: int, n_levels: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return ours(space, score, n, n_levels, Path(folder) / "study.journal")


def pymoo(space: Space, score: Score, n: int, n_levels: int) -> None:
    """Its NSGA-II on indices of choices, with uniform crossover and mutation, whole generations."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    top = np.array([len(c) - 1 for c in space.choices])
    table = np.zeros((len(top), top.max() + 1), dtype=np.int64)
    for i, choices in enumerate(space.choices):
        table[i, : len(choices)] = choices

    class Redraw(Mutation):
        def _do(self, problem: Any, X: Any, random_state: Any = None, **kwargs: Any) -> Any:
            drawn = random_state.integers(0, top + 1, size=X.shape)
            return np.where(random_state.random(X.shape) < 1 / X.shape[1], drawn, X)

    class Subnets(Problem):
        def __init__(self) -> None:
            super().__init__(n_var=len(top), n_obj=3, xl=0, xu=top, vtype=int)

        def _evaluate(self, x: Any, out: Any, *args: Any, **kwargs: Any) -> None:
            genes = space.canonical(table[np.arange(len(top)), x.astype(np.int64)])
            out["F"] = trial_values(score(genes), n_levels // 2)

    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=UniformCrossover(),
        mutation=Redraw(),
        eliminate_duplicates=True,
    )
    minimize(Subnets(), algorithm, ("n_eval", n), seed=0)


def optuna_nsga2(space: Space, score: Score, n: int, n_levels: int) -> None:
    """Optuna's own in memory: asked and told in batches."""
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=0)
    study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
    choices = space.named_choices()
    for _ in range(n // POPULATION):
        trials = [study.ask() for _ in range(POPULATION)]
        rows = [[t.suggest_categorical(k, c) for k, c in choices.items()] for t in trials]
        values = trial_values(score(space.canonical(rows)), n_levels // 2)
        for trial, value in zip(trials, values.tolist(), strict=True):
            study.tell(trial, value)


def in_memory(space: Space, score: Score, n: int, n_levels: int) -> int:
    return ours(space, score, n, n_levels, None)


def compare(
    methods: dict[str, Callable[..., Any]], repeats: int, *arguments: Any
) -> list[dict[str, Any]]:
    """Least seconds of every method, in turns."""
    best = dict.fromkeys(methods, np.inf)
    for _ in range(repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            method(*arguments)
            best[name] = min(best[name], time.perf_counter() - start)
    n = arguments[2]
    return [
        {
            "method": name,
            "subnets": n,
            "seconds": round(seconds, 3),
            "subnets_per_s": round(n / seconds),
            "times_pymoo": round(seconds / best.get("pymoo", np.nan), 2),
        }
        for name, seconds in best.items()
    ]


def zoo_score() -> tuple[Space, Score, int, int]:
    """The space, scorer, number of levels and configurations per subnet of a real search."""
    from nas.devices import get_device
    from nas.search import Scorer, SearchSettings, load_proxy, plan_search, target_costs, write_plan
    from nas.search.model import load_model
    from nas.search.target_rows import measure_plan
    from predictors import read_rows

    with tempfile.TemporaryDirectory() as folder:
        settings = SearchSettings("xavier-nx", Path(folder) / "run")
        model, device = load_model(settings), get_device("xavier-nx")
        rows = Path(folder) / "rows.csv"
        write_plan(measure_plan(model.space, device, plan_search(settings)), rows)
        proxy = load_proxy(model.space, "auto")
        costs = target_costs(model.space, device, proxy, read_rows(rows, model.space))
        scorer = Scorer(model.accuracy, costs, device.decision_ms)
    return model.space, scorer, len(device.levels), len(device.levels) * len(scorer.grid)


def large(method: str, n: int, queue: Any) -> None:
    """In a process of its own: seconds and peak memory."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "study.journal"
        ours(SPACE, cheap_score, n, 1, None if method == "ours" else journal)
        seconds = time.perf_counter() - start
        row: dict[str, Any] = {"method": method, "subnets": n, "seconds": round(seconds, 1)}
        if method != "ours":
            row["journal_mb"] = round(journal.stat().st_size / 1e6)
            start = time.perf_counter()
            ours(SPACE, cheap_score, n + POPULATION, 1, journal)
            row["resumed_s"] = round(time.perf_counter() - start, 1)
    status = Path("/proc/self/status").read_text()  # getrusage would include the parent's peak
    row["peak_mb"] = round(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    queue.put(row)


def overhead(repeats: int) -> list[dict[str, Any]]:
    """10,000 subnets whose score costs next to nothing; Optuna's own NSGA-II once."""
    rows = compare(METHODS, repeats, SPACE, cheap_score, 10_000, 1)
    (slow,) = compare({"optuna": optuna_nsga2}, 1, SPACE, cheap_score, 10_000, 1)
    return [*rows, slow | {"times_pymoo": round(slow["seconds"] / rows[0]["seconds"], 1)}]


def real_score(repeats: int) -> list[dict[str, Any]]:
    """1,000 subnets of the zoo's supernet under all policies at all levels."""
    space, score, n_levels, per_subnet = zoo_score()
    rows = compare(METHODS, repeats, space, score, 1000, n_levels)
    return [r | {"configurations_per_s": r["subnets_per_s"] * per_subnet} for r in rows]


def growth(repeats: int) -> list[dict[str, Any]]:
    """To 100,000 subnets, each search in a process of its own."""
    del repeats
    rows, context = [], multiprocessing.get_context("spawn")
    for method, n in (("ours", 10_000), ("ours", 100_000), ("ours, journal", 100_000)):
        queue = context.Queue()
        process = context.Process(target=large, args=(method, n, queue))
        process.start()
        rows.append(queue.get())
        process.join()
    return rows


METHODS = {"pymoo": pymoo, "ours": in_memory, "ours, journal": with_journal}
PARTS = {"overhead": overhead, "score": real_score, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description="See the docstring.")
    parser.add_argument("--parts", default=",".join(PARTS), help="the others keep their results")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: dict[str, Any] = {"command": "python benchmarks/search_speed.py"}
    if RESULTS.exists():
        found = json.loads(RESULTS.read_text())
    for part in arguments.parts.split(","):
        load = round(os.getloadavg()[0], 1)
        rows = PARTS[part](arguments.repeats)
        host = f"{cpu_name()}, {os.cpu_count()} cores"
        found[part] = {"host": host, "load_average": load, "rows": rows}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        for row in rows:
            print(part, *(f"{k} {v}" for k, v in row.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()
