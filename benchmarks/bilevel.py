"""Subnets x exits x clocks against exits or clocks alone, under bounds of the worst-case latency.

    python benchmarks/bilevel.py --data hardware --images cifar10

The zoo's supernet on three boards; costs are the boards' models (simulated). Every contender gets
the same bound, 1.0, 1.25 or 1.5 times the largest subnet without exits at the top clock, and may
lose half a point of validation accuracy against it. Savings are of its energy. `joint` is the
search that `nas search` runs, with the levels' clocks and with all (seed 0, the savings of three
seeds beside it); `of measured subnets` allows only those whose accuracy was measured, all of them
tried. `nas search` is the command's own result: its costs are predicted from 24 rows of the board,
its choice is judged by the board's model. In a cut-down space every subnet is tried under every
policy at every setting of the clocks, and the search is judged by that optimum. `sweeps`: what
clocks alone save at that slowdown on measured boards. With `--images` what was chosen is run on the
test images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

from device_data import Sweep, loudva, training_grid, tx2_vgg
from nas.devices import get_device
from nas.search import (
    Bounds,
    GenerationSampler,
    Scorer,
    Scores,
    SearchSettings,
    run_search,
)
from nas.search.front.best_measured import best_measured
from nas.search.model import Model, load_model
from nas.search.problem import Problem
from nas.search.score.clocks import ClockGrid
from nas.search.score.scorer import PART
from nas.search.study.generations import run as run_study
from search_levels import cut_down
from search_spaces import ExitPolicy, Floats, Genes, InputError, Space

RESULTS = Path(__file__).parent / "results" / "bilevel.json"
DEVICES = {"xavier-nx": "MODE_20W_6CORE", "agx-xavier": "MAXN", "tx2": "MAXN"}
SLOWDOWNS, LOSS_PCT = (1.0, 1.25, 1.5), 0.5
TRIALS, CUT_TRIALS, SEEDS = 1000, 400, 3
COMMAND = "nas search --clocks all"
TESTED = ("largest subnet, top clock", "exits and clocks, all three", "joint, all clocks", COMMAND)

Row = dict[str, Any]
Parts = Iterable[tuple[Genes, Scores]]


@dataclass(frozen=True)
class Simulated:
    """Costs of programs by the board's model itself."""

    space: Space
    device: Any

    def __call__(self, genes: Genes, programs: Any) -> tuple[Floats, Floats]:
        rows = np.repeat(genes, len(programs), axis=0)
        operators = self.space.operators(rows, np.tile(programs, (len(genes), 1)))
        shape = (len(genes), len(programs), -1)
        latency, energy = (c.reshape(shape) for c in self.device.cost(operators))
        return latency, energy


def board(name: str, model: Model) -> Scorer:
    """A scorer of the board at all of its clocks."""
    device = get_device(name, power_mode=DEVICES[name])
    clocks = ClockGrid.of(model.space, device)
    return Scorer(model.accuracy, Simulated(model.space, device), clocks.device.decision_ms, clocks)


def plain(scorer: Scorer, genes: Genes) -> Parts:
    """Scores at the levels' own clocks, in parts."""
    for part in np.array_split(genes, -(-len(genes) // PART)):
        yield part, scorer(part)


def at_all_clocks(scorer: Scorer, genes: Genes) -> Parts:
    """Scores at every setting that some policy could want, in parts."""
    for part, scores in plain(scorer, genes):
        yield from scorer.at_all_clocks(part, scores)


def cheapest(parts: Parts, bounds: list[Bounds], *, exits: bool, top: int | None) -> list[Row]:
    """Per bound, the least energy of all configurations that meet it; `top` fixes the level."""
    found: list[Row] = [{"energy_mj": np.inf}] * len(bounds)
    for genes, scores in parts:
        for i, bound in enumerate(bounds):
            energy = np.where(bound.violation(scores) <= 0, scores.energy_mj, np.inf)
            if not exits:
                energy[:, 1:] = np.inf
            if top is not None:
                energy[:, :, scores.setting != top] = np.inf
            row, policy, column = np.unravel_index(energy.argmin(), energy.shape)
            if energy[row, policy, column] < found[i]["energy_mj"]:
                found[i] = _configuration(scores, genes, row, policy, column)
    return found


def _configuration(scores: Scores, genes: Genes, row: int, policy: int, column: int) -> Row:
    return {
        "energy_mj": float(scores.energy_mj[row, policy, column]),
        "genes": genes[row],
        "policy": int(policy),
        "setting": int(scores.setting[column]),
        "error_pct": float(scores.error_pct[row, policy]),
        "measured": bool(scores.measured[row]),
    }


def described(found: Row, scorer: Scorer, space: Space) -> Row:
    """A configuration as a row of the results."""
    assert scorer.clocks is not None
    at = scorer.clocks.settings[found["setting"]]
    return {
        "energy_mj": found["energy_mj"],
        "subnet": str(space.subnet(found["genes"])),
        "exits": str(scorer.grid[found["policy"]]),
        "gpu_mhz": at.gpu_mhz,
        "cpu_mhz": at.cpu_mhz,
        "emc_mhz": at.emc_mhz,
        "top1_error_pct": round(found["error_pct"], 3),
        "error_source": "measured" if found["measured"] else "predicted",
    }


def search(
    scorer: Scorer, space: Space, known: Genes, bound: Bounds, n: int, *, all_clocks: bool
) -> tuple[list[Row], Genes]:
    """The cheapest that the search finds with every seed, and the subnets it scored.

    It begins with the best of the `known` subnets, as `nas search` does.
    """
    assert scorer.clocks is not None
    chosen = scorer if all_clocks else replace(scorer, clocks=None)
    rows, scored = [], []
    for seed in range(SEEDS):
        sampler = GenerationSampler(space, seed=seed)
        study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
        n_levels = len(scorer.clocks.device.levels)
        problem = Problem(space, chosen, bound, (n_levels,))
        sampler.start_from(best_measured(known, problem, sampler.population // 2))
        archive = run_study(study, problem, n)
        scored.append(archive.population())
        front = min(
            (f for f in archive.fronts if len(f.costs)), key=lambda f: float(f.costs[:, 2].min())
        )
        i = int(front.costs[:, 2].argmin())
        at = scorer.at(scored[-1][front.subnet[i]][None], front.setting[i : i + 1])
        rows.append(_configuration(at, scored[-1][front.subnet[i]][None], 0, front.policy[i], 0))
    return rows, np.unique(np.concatenate(scored), axis=0)


def commanded(name: str, bound: Bounds, scorer: Scorer, model: Model) -> Row:
    """The cheapest point that `nas search --clocks all` writes, judged by the board's model."""
    assert scorer.clocks is not None
    options: Row = {"power_mode": DEVICES[name], "clocks": "all", "n_trials": TRIALS}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        table = run_search(SearchSettings(name, out, bounds=bound, **options))
    point = min(table.points, key=lambda p: p["energy_mj"])
    top = table.baseline("largest", len(table.levels) - 1)
    gpu_mhz = table.levels[point["level"]]["gpu_mhz"]
    clocks = (gpu_mhz, point["cpu_mhz"], point["emc_mhz"])
    settings = [(s.gpu_mhz, s.cpu_mhz, s.emc_mhz) for s in scorer.clocks.settings]
    policy = scorer.grid.index(ExitPolicy.from_dict(point["exits"]))
    genes = model.space.genes([model.space.parse(point["subnet"])])
    at = scorer.at(genes, np.array([settings.index(clocks)]))
    assert bound.max_worst_latency_ms is not None
    worst_ms = float(at.worst_ms[0, policy, 0])
    return _configuration(at, genes, 0, policy, 0) | {
        "predicted_saving_pct": round(100 * (1 - point["energy_mj"] / top["energy_mj"]), 2),
        "worst_latency_of_bound": round(worst_ms / bound.max_worst_latency_ms, 3),
    }


def contenders(name: str, scorer: Scorer, model: Model) -> tuple[list[Row], list[Bounds]]:
    """One row per bound and contender, and the bounds."""
    space, top = model.space, len(scorer.clocks.device.levels) - 1  # type: ignore[union-attr]
    alone = scorer(space.largest)
    static = {"ms": float(alone.worst_ms[0, 0, top]), "mj": float(alone.energy_mj[0, 0, top])}
    error = float(alone.error_pct[0, 0]) + LOSS_PCT
    bounds = [
        Bounds(max_error_pct=error, max_worst_latency_ms=s * static["ms"] * (1 + 1e-9))
        for s in SLOWDOWNS
    ]
    largest, known = space.largest, model.accuracy.table.genes
    found: dict[str, list[Row]] = {}

    def add(label: str, parts: Parts, *, exits: bool, at: int | None = None) -> None:
        best = cheapest(parts, bounds, exits=exits, top=at)
        found[label] = [described(row, scorer, space) for row in best]

    add("exits", plain(scorer, largest), exits=True, at=top)
    add("clock", plain(scorer, largest), exits=False)
    add("clocks, all three", at_all_clocks(scorer, largest), exits=False)
    add("exits and clock", plain(scorer, largest), exits=True)
    add("exits and clocks, all three", at_all_clocks(scorer, largest), exits=True)
    scored = largest
    for label, all_clocks in (("joint", False), ("joint, all clocks", True)):
        found[label] = []
        for bound in bounds:
            runs, genes = search(scorer, space, known, bound, TRIALS, all_clocks=all_clocks)
            saved = [round(100 * (1 - run["energy_mj"] / static["mj"]), 2) for run in runs]
            row = described(runs[0], scorer, space)
            found[label].append(row | {"saving_pct_of_seeds": saved})
            scored = np.unique(np.concatenate([scored, genes]), axis=0)
    found[COMMAND] = []
    for i, bound in enumerate(bounds):
        try:
            run = commanded(name, bound, scorer, model)
        except InputError as fault:  # by its predictions nothing meets the bounds: nothing changes
            found[COMMAND].append(found["exits"][i] | {"exits": "none", "refused": str(fault)})
            found[COMMAND][-1]["energy_mj"] = static["mj"]
            continue
        extra = {k: run[k] for k in ("predicted_saving_pct", "worst_latency_of_bound")}
        found[COMMAND].append(described(run, scorer, space) | extra)
    add("subnets", plain(scorer, scored), exits=False, at=top)
    add("subnets and exits", plain(scorer, scored), exits=True, at=top)
    add("subnets and clock", plain(scorer, scored), exits=False)
    add("joint of measured subnets, all clocks", at_all_clocks(scorer, known), exits=True)
    rows = [
        {"device": name, "slowdown": s, "contender": label}
        | {"saving_pct": round(100 * (1 - of[i]["energy_mj"] / static["mj"]), 2)}
        | of[i]
        for i, s in enumerate(SLOWDOWNS)
        for label, of in found.items()
    ]
    about = {"device": name, "slowdown": None, "contender": "largest subnet, top clock"}
    about |= {"subnet": str(space.subnet(space.largest[0])), "exits": "none"}
    about |= {"energy_mj": static["mj"], "top1_error_pct": round(error - LOSS_PCT, 3)}
    return [about | {"latency_ms": static["ms"]}, *rows], bounds


def enumerated(name: str, scorer: Scorer, model: Model, bounds: list[Bounds]) -> list[Row]:
    """The search of a cut-down space beside the optimum of all its configurations."""
    assert scorer.clocks is not None
    space = cut_down(model.space)  # type: ignore[arg-type]
    static = scorer(space.largest).energy_mj[0, 0, -1]
    every = space.enumerate()
    best = cheapest(at_all_clocks(scorer, every), bounds, exits=True, top=None)
    known = every[model.accuracy.table.rows(every) >= 0]
    rows = []
    for slowdown, bound, truth in zip(SLOWDOWNS, bounds, best, strict=True):
        runs, _ = search(scorer, space, known, bound, CUT_TRIALS, all_clocks=True)
        for seed, run in enumerate(runs):
            saved = [100 * (1 - of["energy_mj"] / static) for of in (run, truth)]
            row = {"device": name, "slowdown": slowdown, "seed": seed, "subnets": CUT_TRIALS}
            row |= {"saving_pct": saved[0], "optimum_pct": saved[1], "gap": saved[1] - saved[0]}
            rows.append({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
    return rows


def sweeps(folder: Path) -> list[Row]:
    """What clocks alone save on measured boards, of one inference or training step."""
    classifier = [("xavier-nx", "image classifier"), ("agx-xavier", "image classifier")]
    gpu = [(f"{device}, {what}, GPU clock", loudva(folder, device)) for device, what in classifier]
    gpu.append(("tx2, VGG-19, GPU clock", tx2_vgg(folder)[0]))
    rows = [{"sweep": label} | _allowed(sweep.ms, _joules(sweep)) for label, sweep in gpu]
    for what, grid in training_grid(folder).groupby("what"):
        order = grid.sort_values(["gpu_mhz", "cpu_mhz", "emc_mhz"])
        top = order.iloc[-1]
        single = order[(order["cpu_mhz"] == top.cpu_mhz) & (order["emc_mhz"] == top.emc_mhz)]
        for clocks, part in (("GPU clock", single), ("all three clocks", order)):
            ms = part["ms"].to_numpy()
            saved = _allowed(ms, ms * part["watts"].to_numpy())
            rows.append({"sweep": f"{what}, {clocks}"} | saved)
    return rows


def _joules(sweep: Sweep) -> Any:
    """Energy of an inference with the gap after it, where that was measured."""
    gap = 0 if sweep.device == "agx-xavier" else sweep.gap_ms
    return (sweep.ms + gap) * sweep.watts


def _allowed(ms: Any, energy: Any) -> Row:
    """Saving per slowdown; the last row is the top setting."""
    kept = {f"{s:g}": energy[ms <= s * ms[-1]].min() for s in SLOWDOWNS}
    return {s: round(100 * (1 - float(e / energy[-1])), 1) for s, e in kept.items()}


def tested(rows: list[Row], model: Model, images: Path) -> None:
    """Add the error on test images, and what an oracle would reach with the same exits."""
    from nas.zoo.folder import matching_dataset
    from search_spaces import ideal_mapping
    from supernets import Evaluation, confidence_and_correct, load_supernet

    assert model.folder is not None
    supernet, metadata = load_supernet(model.folder / "weights.safetensors")
    data = Evaluation.of(matching_dataset(metadata, images), "test")
    table, seen = model.accuracy.table, {}
    for row in (row for row in rows if row["contender"] in TESTED):
        if row["subnet"] not in seen:
            logits = data.logits(supernet, supernet.space.parse(row["subnet"]))
            seen[row["subnet"]] = confidence_and_correct(logits, data.labels, table.temperatures)
        confidence, correct = seen[row["subnet"]]
        index = next(i for i in range(len(table.grid)) if str(table.grid[i]) == row["exits"])
        error = float(table.grid.response(confidence, correct)[0][index])
        asked = [*table.grid[index].after, table.grid.n_exits]
        oracle, dissimilarity = ideal_mapping(correct[:, asked])
        row["test_error_pct"] = round(error, 3)
        row["oracle"] = {
            "top1_error_pct": round(oracle, 3),
            "dissimilarity": [round(d, 3) for d in dissimilarity],
        }


def write(content: Row) -> None:
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of measured tables: run everything")
    parser.add_argument("--images", type=Path, help="CIFAR-10: test what the results chose")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    model = load_model(SearchSettings("xavier-nx", Path()))
    if arguments.data:
        content: Row = {
            "command": "python benchmarks/bilevel.py --data hardware --images cifar10",
            "costs": "simulated",
            "sweeps": sweeps(arguments.data),
            "contenders": [],
            "enumerated": [],
        }
        for name in DEVICES:
            scorer = board(name, model)
            rows, bounds = contenders(name, scorer, model)
            content["contenders"] += rows
            content["enumerated"] += enumerated(name, scorer, model, bounds)
            write(content)
    content = json.loads(RESULTS.read_text())
    if arguments.images:
        tested(content["contenders"], model, arguments.images)
        write(content)
    shown = ["device", "slowdown", "contender", "saving_pct", "top1_error_pct", "error_source"]
    print(pd.DataFrame(content["sweeps"]).to_string(index=False))
    print(pd.DataFrame(content["contenders"])[shown].to_string(index=False))
    print(pd.DataFrame(content["enumerated"]).to_string(index=False))


if __name__ == "__main__":
    main()
