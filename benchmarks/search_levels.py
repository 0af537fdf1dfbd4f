"""The whole two-level search against an enumeration: the zoo's supernet on Xavier NX.

    python benchmarks/search_levels.py

A part of the supernet's space is small enough to score every subnet under every exit policy at
every level. A search of it is judged by the hypervolume of each level's front as a share of the
true one (objectives scaled to [0, 1] over the true front of the level, reference 1.1), mean over
levels and the worst of them. `random` draws subnets without repeats and scores them the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.pareto import hypervolume
from nas.search import GenerationSampler, SurrogateSampler
from nas.search.front.archive import Archive
from nas.search.score.bounds import Bounds
from nas.search.score.objectives import trial_values
from search_spaces import Floats, Genes, ResNetSpace
from search_speed import zoo_score

RESULTS = Path(__file__).parent / "results" / "search_levels.json"
BUDGETS = (50, 100, 200, 400)
SEEDS, PART = 3, 256
Next = Callable[[], Genes]
Tell = Callable[[Genes, Floats], None]


def cut_down(space: ResNetSpace) -> ResNetSpace:
    """Two choices of every depth, expand ratio and width, but one width of the first stages."""
    ends = tuple((w[-1],) if i < 2 else (w[0], w[-1]) for i, w in enumerate(space.widths))
    return replace(
        space,
        widths=ends,
        depths=(space.depths[0], space.depths[-1]),
        expands=(space.expands[0], space.expands[-1]),
    )


def shares(archive: Archive, truth: list[Floats]) -> list[float]:
    """Share of the true hypervolume of every level."""
    found = []
    for front, true in zip(archive.fronts, truth, strict=True):
        low, high = true.min(axis=0), true.max(axis=0)
        scale = np.where(high > low, high - low, 1)
        whole, part = ((c - low) / scale for c in (true, front.costs))
        found.append(hypervolume(part, (1.1,) * 3) / hypervolume(whole, (1.1,) * 3))
    return found


def searcher(method: str, space: ResNetSpace, seed: int) -> tuple[Next, Tell]:
    """How a method asks for subnets and hears of them."""
    if method == "random":
        everything = np.random.default_rng(seed).permutation(space.enumerate())
        parts = iter(np.array_split(everything, len(everything) // 50))
        return lambda: next(parts), lambda genes, values: None
    sampler: Any = (
        GenerationSampler(space, seed=seed, population=50)
        if method == "generations"
        else SurrogateSampler(space, seed=seed)
    )
    return lambda: sampler.ask()[1], lambda g, v: sampler.tell(g, v, np.zeros(len(g)))


def run(method: str, seed: int, space: ResNetSpace, score: Any, truth: list[Floats]) -> Any:
    """Shares at every budget, for the table."""
    ask, tell = searcher(method, space, seed)
    n_levels = len(truth)
    archive, rows = Archive(n_levels, Bounds()), []
    for budget in BUDGETS:
        while archive.n_subnets < budget:
            genes = ask()[: budget - archive.n_subnets]
            scores = score(genes)
            archive.add(genes, scores)
            tell(genes, trial_values(scores, n_levels // 2))
        found = shares(archive, truth)
        rows.append({"subnets": budget, "mean": np.mean(found), "worst": min(found)})
    return rows


def main() -> None:
    whole, score, n_levels, per_subnet = zoo_score()
    space = cut_down(whole)  # type: ignore[arg-type]
    everything = space.enumerate()
    archive = Archive(n_levels, Bounds())
    for part in np.array_split(everything, -(-len(everything) // PART)):
        archive.add(part, score(part))
    truth = [front.costs for front in archive.fronts]
    about = {"subnets": len(everything), "configurations": len(everything) * per_subnet}
    print(about)
    table = []
    for method in ("random", "generations", "surrogate"):
        runs = [run(method, seed, space, score, truth) for seed in range(SEEDS)]
        for at in zip(*runs, strict=True):
            mean = {k: round(float(np.mean([r[k] for r in at])), 4) for k in ("mean", "worst")}
            table.append({"method": method, "subnets": at[0]["subnets"], "seeds": SEEDS} | mean)
            print(table[-1], flush=True)
    content = {"command": "python benchmarks/search_levels.py", "space": about, "rows": table}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
