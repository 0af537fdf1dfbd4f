"""`nas search --instant` beside the full search: hypervolume and seconds on the zoo's supernet.

    python benchmarks/instant_search.py

The optimiser is trained without the profiles of the target and of its near kin, so the target is
a device it never saw. Hypervolume of a level's whole front, in percent of what the search of
1,000 subnets finds there (reference point: 1.1 x the worst of that front). All costs rest on the
analytic models: simulated. Seconds are processor time (OMP_NUM_THREADS=1). Writes
`results/instant_search.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas.pareto import hypervolume
from nas.samplers.nsga2 import GenerationSampler
from nas.search import Bounds, Scorer, SearchSettings, load_proxy, target_costs
from nas.search.front.archive import Archive
from nas.search.front.best_measured import best_measured
from nas.search.instant import N_KNOWN, proposals, train_optimiser
from nas.search.model import Model, load_model
from nas.search.problem import Problem
from nas.search.study.generations import run
from nas.search.study.open import open_study
from nas.search.target_rows import measure_plan
from nas.search.targets import find_devices
from nas.transfer.plan import plan_rows
from predictors import Embedding, NeuralOptimizer
from search_spaces import Genes

RESULTS = Path(__file__).parent / "results" / "instant_search.json"
TARGET, LEFT_OUT = "xavier-nx", ("xavier-nx", "agx-xavier")
N_TRIALS = 1000


class Undirected(NeuralOptimizer):
    """The same predictors and repair, from random designs."""

    def designs(self, device: Embedding, log_bound: float) -> Genes:
        n = len(super().designs(device, log_bound))
        return np.unique(self.space.sample(n, np.random.default_rng(0)), axis=0)


def compare(model: Model, target: str, optimizer: NeuralOptimizer) -> list[dict[str, Any]]:
    settings = SearchSettings(device=target, out=Path("unused"))
    (device,), space = find_devices(settings), model.space
    proxy = load_proxy(space, "auto")
    planned = plan_rows(space, device, proxy, 24, np.random.default_rng(0))
    rows = pd.DataFrame(measure_plan(space, device, planned))
    costs = target_costs(space, device, proxy, rows)
    scorer = Scorer(model.accuracy, costs, device.decision_ms)
    n_levels = len(device.levels)

    measured = model.accuracy.table.genes
    problem = Problem(space, scorer, Bounds(), (n_levels,))
    known = best_measured(measured, problem, N_KNOWN)  # all but random have them

    def scored(genes: np.ndarray) -> Archive:
        archive = Archive(n_levels, Bounds())
        archive.add(genes, scorer(genes))
        return archive

    def searched(n: int) -> Archive:
        with tempfile.TemporaryDirectory() as folder:
            sampler = GenerationSampler(space, seed=0)
            sampler.start_from(known)
            study = open_study(None, Path(folder) / "study.journal", sampler)
            return run(study, problem, n)

    full, full_s = _timed(lambda: searched(N_TRIALS))
    (proposed, n_bounds), proposed_s = _timed(lambda: proposals(optimizer, costs, device, settings))
    genes = np.unique(np.concatenate([proposed, known]), axis=0)
    instant, scored_s = _timed(lambda: scored(genes))
    undirected = Undirected(space)
    vars(undirected).update(vars(optimizer))
    blind, _ = proposals(undirected, costs, device, settings)
    same, same_s = _timed(lambda: searched(len(genes)))
    drawn, drawn_s = _timed(lambda: scored(space.sample(len(genes), np.random.default_rng(0))))
    seconds = {"search": full_s, "search, as many": same_s, "random, as many": drawn_s}
    seconds["instant"] = proposed_s + scored_s
    archives = {"search": full, "instant": instant}
    archives |= {
        "no optimiser": scored(np.unique(np.concatenate([blind, known]), axis=0)),
        "search, as many": same,
        "random, as many": drawn,
    }
    found = []
    for method, archive in archives.items():
        percent = _percent(archive, full)
        row = {
            "device": target,
            "method": method,
            "subnets": archive.n_subnets,
            "hypervolume_pct": round(float(np.mean(percent)), 2),
            "worst_level_pct": round(float(np.min(percent)), 2),
            "seconds": round(seconds[method], 2) if method in seconds else None,
        }
        if method == "instant":
            row["ms_per_bound"] = round(1e3 * proposed_s / n_bounds, 2)
        found.append(row)
    return found


def _percent(archive: Archive, full: Archive) -> list[float]:
    """Hypervolume of every level's front in percent of `full`'s."""
    found = []
    for front, best in zip(archive.fronts, full.fronts, strict=True):
        reference = (1.1 * best.costs.max(axis=0)).tolist()
        ours, theirs = (hypervolume(f.costs, reference) for f in (front, best))
        found.append(100 * ours / theirs)
    return found


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return call(), time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--optimiser", type=Path, help="folder: read, or written where missing")
    arguments = parser.parse_args()
    model = load_model(SearchSettings(device=TARGET, out=Path("unused")))
    folder = arguments.optimiser
    if folder is None or not (folder / "optimiser.json").exists():
        optimizer, train_s = _timed(lambda: train_optimiser(model, seed=0, without=LEFT_OUT))
        print(f"trained in {train_s:.0f} s", flush=True)
        if folder is not None:
            optimizer.save(folder)
    else:
        optimizer = NeuralOptimizer.load(folder, model.space)
    rows = compare(model, TARGET, optimizer)
    RESULTS.write_text(json.dumps({"trained_without": LEFT_OUT, "rows": rows}, indent=1) + "\n")
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    main()
