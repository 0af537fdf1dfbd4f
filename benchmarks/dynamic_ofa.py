"""Our search's library of once-for-all subnets against the published one of Dynamic-OFA.

    python benchmarks/dynamic_ofa.py --data hardware

From published tables alone (Dynamic-OFA, Xun et al., 2021, arXiv:2105.03596; no board is asked):
13 points of width 1.2 with measured latency and accuracy, ten subnets of them distinct; the block
table of a Jetson's GPU; DyNAS-T's accuracies of width 1.0. Both libraries get the same latencies
(sums of the block table, scaled to the 13 measured ones), the same accuracies and the same number
of points.

Accuracy: the predictor of the zoo's `ofa-mobilenetv3` (width 1.0, 224 pixels) plus three constants
that are fitted to the 13 measured accuracies: width, the logarithm of the resolution, and the
second library, whose copies of the same subnets are a point worse. Leaving one point out says how
far that is off, and intervals propagate it: 5 to 95 % of 2,000 draws of every network's error. A
library that a predictor chose looks better to it than it is: the predictor that chooses learned
from two of the published searches, the one that judges from the other two.

Other clocks: the block table times the ratio of the analytic model of Xavier NX in eager PyTorch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas.devices import AnalyticDevice, load_profile
from nas.pareto import hypervolume, non_dominated
from nas.samplers import GenerationSampler
from nas.search.front.archive import Archive
from nas.search.score.bounds import Bounds
from nas.search.score.objectives import trial_values
from nas.search.score.scorer import Scorer
from predictors import AccuracyPredictor, LutPredictor, ofa_keys
from published import published, table_of
from search_spaces import Bools, Floats, Genes, Ints, MobileNetV3Space, PolicyGrid

RESULTS = Path(__file__).parent / "results" / "dynamic_ofa.json"
NARROW = MobileNetV3Space(resolutions=(224,))
HALVES = (("evoga_acc", "linasnsga2_acc_macs"), ("linasga_acc", "evonsga2_acc_macs"))
N_SUBNETS, N_DRAWS, SEED = 3000, 2000, 0
PAPER = {
    "faster at similar accuracy": 2.4,
    "points more accurate at similar latency": 5.1,
    "compared with": "AutoSlim-MnasNet, US-Slimmable and MutualNet, by its authors on the GPU of a "
    "Xavier NX; their latencies are in no published table, so this cannot be computed here",
}


@dataclass(frozen=True)
class Accuracies:
    """Errors of width 1.2 at any resolution: the predictor of width 1.0 and three constants."""

    predictor: AccuracyPredictor
    constants: Floats  # width 1.2, second library, logarithm of the resolution

    @classmethod
    def fit(cls, predictor: AccuracyPredictor, genes: Genes, error: Floats, second: Bools) -> Any:
        """The accuracies, and the gaps of the published subnets when each is left out."""
        X = columns(genes, second)
        y = error - predict(predictor, genes)
        gaps = []
        for i in range(len(y)):
            others = np.arange(len(y)) != i
            gaps.append(X[i] @ np.linalg.lstsq(X[others], y[others])[0] - y[i])
        return cls(predictor, np.linalg.lstsq(X, y)[0]), np.array(gaps)

    grid = PolicyGrid(0)

    def error(self, genes: Genes) -> Floats:
        first = np.zeros(len(genes), dtype=bool)
        found: Floats = predict(self.predictor, genes) + columns(genes, first) @ self.constants
        return found

    def __call__(self, genes: Genes) -> tuple[Floats, Floats, Bools]:
        n = len(genes)
        return self.error(genes)[:, None], np.ones((n, 1, 1)), np.zeros(n, dtype=bool)


def columns(genes: Genes, second: Bools) -> Floats:
    return np.stack([np.ones(len(genes)), second, np.log(genes[:, -1] / 224)], axis=1)


def predict(predictor: AccuracyPredictor, genes: Genes) -> Floats:
    """Errors in percent of the same subnets at width 1.0 and 224 pixels; resolution comes last."""
    narrow = np.concatenate([genes[:, :-1], np.full((len(genes), 1), 224)], axis=1)
    errors: Floats = predictor.predict(narrow)[0][:, 0].astype(float)
    return errors


@dataclass(frozen=True)
class TableCosts:
    """Latency by the block table at the top clock, by the model's ratio elsewhere."""

    space: MobileNetV3Space
    table: LutPredictor
    device: AnalyticDevice

    def __call__(self, genes: Genes, programs: Bools) -> tuple[Floats, Floats]:
        """latency_ms and energy_mj `(n, 1, L)`; the energy is the model's power for that time."""
        top_ms = self.table.predict([ofa_keys(self.space, s) for s in self.space.subnets(genes)])
        heads = np.ones((len(genes), 1), dtype=bool)
        model_ms, model_mj = self.device.cost(self.space.operators(genes, heads))
        latency = top_ms[:, None] * model_ms / model_ms[:, -1:]
        return latency[:, None], (latency * model_mj / model_ms)[:, None]


def search(space: MobileNetV3Space, scorer: Scorer, n_levels: int) -> Genes:
    """`N_SUBNETS` subnets that the search's own sampler chooses."""
    sampler, archive = (
        GenerationSampler(space, seed=SEED, population=50),
        Archive(n_levels, Bounds()),
    )
    while archive.n_subnets < N_SUBNETS:
        genes = sampler.ask()[1]
        scores = scorer(genes)
        archive.add(genes, scores)
        sampler.tell(genes, trial_values(scores, n_levels // 2), np.zeros(len(genes)))
    return archive.population()


@dataclass(frozen=True)
class Library:
    """Networks with errors in percent `(n,)` and latencies `(n, L)`."""

    error: Floats
    latency: Floats

    @property
    def both(self) -> tuple[Floats, Floats]:
        return self.error, self.latency

    def part(self, chosen: Ints) -> Library:
        """The networks of these numbers."""
        return Library(self.error[chosen], self.latency[chosen])

    def cheapest(self, most_error: float, level: int) -> float:
        """Least latency of a network that is no worse; infinite where there is none."""
        fits = self.error <= most_error + 1e-9
        return float(self.latency[fits, level].min()) if fits.any() else np.inf

    def best(self, most_ms: float, level: int) -> float:
        """Least error of a network that is no slower; infinite where there is none."""
        fits = self.latency[:, level] <= most_ms * (1 + 1e-9)
        return float(self.error[fits].min()) if fits.any() else np.inf


def greedy(pool: Library, levels: Sequence[int], n: int) -> Ints:
    """`n` networks of `pool`: one after the other that which adds most hypervolume over levels."""
    costs = [np.stack([pool.error, pool.latency[:, level]], axis=1) for level in levels]
    costs = [(c - c.min(axis=0)) / (c.max(axis=0) - c.min(axis=0)) for c in costs]
    best = np.unique(np.concatenate([np.flatnonzero(non_dominated(c)) for c in costs]))
    chosen: list[int] = []
    for _ in range(n):
        gained = [
            sum(hypervolume(c[[*chosen, i]], (1.1, 1.1)) for c in costs) for i in best.tolist()
        ]
        chosen.append(int(best[int(np.argmax(gained))]))
    return np.array(chosen)


def compare(ours: Library, theirs: Library, level: int) -> dict[str, float]:
    """At one level: hypervolumes, and what ours gives at each of their points."""
    costs = [np.stack([x.error, x.latency[:, level]], axis=1) for x in (ours, theirs)]
    reference = 1.1 * np.concatenate(costs).max(axis=0)
    volumes = [hypervolume(c, reference) for c in costs]
    faster = [
        ms / ours.cheapest(error, level)
        for error, ms in zip(theirs.error, theirs.latency[:, level], strict=True)
    ]
    better = [
        error - ours.best(ms, level)
        for error, ms in zip(theirs.error, theirs.latency[:, level], strict=True)
    ]
    matched = [f for f in faster if f > 0]
    bounded = [b for b in better if np.isfinite(b)]
    found = {
        "hypervolume ratio": volumes[0] / volumes[1],
        "faster, geometric mean": np.exp(np.mean(np.log(matched))),
        "faster, most": max(matched),
        "points matched": len(matched),
        "points more accurate, mean": np.mean(bounded),
        "points more accurate, most": max(bounded),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


def with_interval(ours: Library, theirs: Library, level: int, off: float) -> dict[str, list[float]]:
    """`compare` as [value, 5 %, 95 %] of draws in which every network's error is off by `off`."""
    rng = np.random.default_rng(SEED)

    def moved(x: Library) -> Library:
        return replace(x, error=x.error + rng.normal(0, off, len(x.error)))

    value = compare(ours, theirs, level)
    draws = pd.DataFrame([compare(moved(ours), moved(theirs), level) for _ in range(N_DRAWS)])
    low, high = draws.quantile(0.05), draws.quantile(0.95)
    return {k: [round(float(v), 3) for v in (value[k], low[k], high[k])] for k in value}


def against_static(known: Library, libraries: dict[str, Library], limits: Floats) -> dict[str, Any]:
    """Mean error under latency limits while the clock changes: one network, or one per level.

    The static one is the most accurate network of `known` that keeps a limit at every level at
    which any of `known` does; each library is asked at the same levels.
    """
    errors: dict[str, list[float]] = {name: [] for name in ("static", *libraries)}
    for limit in limits:
        levels = np.flatnonzero((known.latency <= limit).any(axis=0))
        always = (known.latency[:, levels] <= limit).all(axis=1)
        found = {name: [x.best(limit, k) for k in levels] for name, x in libraries.items()}
        if not always.any() or not np.isfinite(list(found.values())).all():
            continue
        errors["static"].append(float(known.error[always].min()))
        for name, values in found.items():
            errors[name].append(float(np.mean(values)))
    return {
        "limits": len(errors["static"]),
        **{name: round(float(np.mean(values)), 3) for name, values in errors.items()},
    }


def read_library(path: Path, space: MobileNetV3Space) -> tuple[pd.DataFrame, Genes]:
    """The published points, and their subnets."""
    rows = pd.read_csv(path)
    lists = {c: [list(map(int, text.split("-"))) for text in rows[c]] for c in ("ks", "e", "d")}
    lists["r"] = [[side] for side in rows["r"]]
    listed = zip(*lists.values(), strict=True)
    return rows, space.genes([space.from_ofa(dict(zip(lists, x, strict=True))) for x in listed])


def read_blocks(path: Path) -> tuple[dict[str, float], tuple[int, ...]]:
    """Milliseconds by key, and the resolutions of the table."""
    rows = pd.read_csv(path)
    sides = tuple(sorted(rows["resolution"].unique().tolist()))
    return dict(zip(rows["block"], rows["mean_ms"], strict=True)), sides


def judge(folder: Path) -> dict[str, Any]:
    """Everything that the benchmark says."""
    blocks, sides = read_blocks(folder / "dynamicofa_jetson_gpu_block_lut.csv.gz")
    space = MobileNetV3Space(width_mult=1.2, resolutions=sides)
    rows, known = read_library(folder / "dynamicofa_jetson_library.csv", space)
    measured_ms, second = rows["latency_ms"].to_numpy(), (rows["library"] == "nets_7").to_numpy()
    keys = [ofa_keys(space, subnet) for subnet in space.subnets(known)]
    table = LutPredictor(blocks).fit(keys, measured_ms)
    device = AnalyticDevice(load_profile("xavier-nx"), backend="pytorch", precision="fp32")
    cost, n_levels = TableCosts(space, table, device), len(device.levels)

    found = published(folder / "accuracy_dynast.csv.gz", NARROW)
    halves = []
    for runs in HALVES:
        half = found[found["run"].isin(runs)].groupby("subnet")["top1_error_pct"].mean()
        predictor = AccuracyPredictor(NARROW, regressor="kernel").fit(table_of(half, NARROW))
        error = 100 - rows["imagenet_top1_pct"].to_numpy()
        halves.append(Accuracies.fit(predictor, known, error, second))
    (chooser, _), (umpire, gaps) = halves
    off = float(np.sqrt(np.mean(gaps**2)))

    def priced(genes: Genes, accuracy: Accuracies) -> Library:
        return Library(accuracy.error(genes), cost(genes, np.ones((1, 1), dtype=bool))[0][:, 0])

    population = search(space, Scorer(chooser, cost, 0.0), n_levels)
    as_chosen, as_judged = priced(population, chooser), priced(population, umpire)
    distinct = np.unique(known, axis=0)
    theirs, n = priced(distinct, umpire), len(distinct)
    one = greedy(as_chosen, range(n_levels), n)
    ours, top = as_judged.part(one), n_levels - 1
    whole = Library(*(np.concatenate(x) for x in zip(as_judged.both, theirs.both, strict=True)))
    libraries = {"published library": theirs, "our library": ours}
    return {
        "points": {"published": n, "ours": n, "searched": N_SUBNETS},
        "latency of the table, mean error %": round(
            float(100 * np.mean(np.abs(table.predict(keys) / measured_ms - 1))), 2
        ),
        "accuracy left out, root mean square": round(off, 3),
        "one library for all levels, at the top clock": with_interval(ours, theirs, top, off),
        "the same, judged by what chose it": compare(
            as_chosen.part(one), priced(distinct, chooser), top
        ),
        "one library for all levels": by_level(device, [ours] * n_levels, theirs),
        "a library for each level": by_level(
            device,
            [as_judged.part(greedy(as_chosen, [level], n)) for level in range(n_levels)],
            theirs,
        ),
        "mean error while clocks change": against_static(whole, libraries, theirs.latency[:, top]),
        "paper": PAPER,
    }


def by_level(
    device: AnalyticDevice, ours: Sequence[Library], theirs: Library
) -> list[dict[str, float]]:
    """`compare` at every level of the device."""
    return [
        {"gpu_mhz": level.clock_mhz, **compare(ours[level.level], theirs, level.level)}
        for level in device.levels
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    found = judge(parser.parse_args().data / "ofa_mobilenetv3")
    content = {"command": "python benchmarks/dynamic_ofa.py --data hardware", **found}
    text = json.dumps(content, indent=1, default=float) + "\n"
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
