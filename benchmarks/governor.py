"""The governor against the kernels' own, fixed choices in hindsight, and the clairvoyant.

    python benchmarks/governor.py                 # 7 scenarios, 5 seeds, 60 s; goes on where it was
    python benchmarks/governor.py --sensitivity   # idle share, switch time, load, target
    python benchmarks/governor.py --tune          # the governor alone on other seeds and loads
    python benchmarks/governor.py --times         # of one decision, on a machine that is quiet
    python benchmarks/governor.py --show          # the tables of the rows that are there
    python benchmarks/governor.py --tables DIR --data DIR   # make the tables and traces again

Every figure is simulated: tables of three device models, whole images drawn from 2,000 evaluated
validation images of CIFAR-10. `a`: the largest subnet; `b`: the cheapest single subnet that meets
the floor, neither with early exits. Energy is the whole board's per completed frame. The exits of
a table are chosen from a grid that is denser than a search's (`THRESHOLDS`).

The constants of `nas/runtime/controller.py` are tuned with `--tune` alone, which uses neither the
seeds nor the loads that are reported.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from nas.runtime.compare import Comparison
from nas.runtime.controller import Job
from nas.runtime.governor import Governor
from nas.runtime.policies import Demands
from nas.runtime.scenarios import (
    ANY,
    SCENARIOS,
    Scenario,
    answers,
    board_of,
    build,
    delays,
)
from nas.runtime.table import CostTable, cost_table
from nas.runtime.traces import Traces, read_traces, write_traces
from search_spaces import write_text

FOLDER = Path(__file__).parent / "results"
RESULTS, TABLES = FOLDER / "governor.json", FOLDER / "governor_tables.json"
TRACES, TIMES = FOLDER / "governor_traces.npz", FOLDER / "governor_times.json"
SECONDS, SEEDS = 60.0, range(5)
TUNE_SECONDS, TUNE_SEEDS, TUNE_LOADS = 30.0, range(100, 102), (0.8, 1.1)  # of the images reported
THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.98)
DEFAULT = {"cpu": "schedutil", "gpu": "nvhost_podgov"}
ASKED = {  # least saving of whole-board energy in percent: (a), (b), fixed subnet, fixed with exits
    "odroid-bursts": (35, 14, 20, 0),
    "pi-bursts": (20, 8, 11, 0),
    "nx-bursts": (18, 6.5, 8, 0),
    "odroid-two": (35, 18, 20, 0),
    "nx-two": (15, 5, 8, 0),
    "odroid-changing": (30, 15, 30, 5),
    "nx-changing": (15, 8, 20, 6),
}


@dataclass(frozen=True)
class Device:
    """A board's table with what its baselines need."""

    name: str
    processor: str
    table: CostTable
    largest: int
    answered: tuple[np.ndarray, np.ndarray]

    @property
    def largest_pct(self) -> float:
        return float(self.table.error_pct[self.largest])


def load_device(name: str, traces: Traces) -> Device:
    made = json.loads(TABLES.read_text())[name]
    table = cost_table(made["governing"])
    largest = next(
        i
        for i, subnet in enumerate(table.subnets)
        if subnet == made["largest"] and not table.has_exits[i]
    )
    answered = answers(table, traces)
    return Device(name, made["processor"], table, largest, answered)


# ---- the rows of the issue -----------------------------------------------------------------------


def measure(rows: list[dict[str, Any]], seeds: range, only: list[str]) -> None:
    """Add the rows that are not there yet, and write after each."""
    traces = read_traces(str(TRACES))
    done = {(r["scenario"], r["seed"], r["agent"]) for r in rows}
    for seed in seeds:
        for name in only:
            device = load_device(SCENARIOS[name].device, traces)
            compared = _compared(SCENARIOS[name], device, SECONDS, seed)
            for agent, run in compared.runs.items():
                if (name, seed, agent) not in done:
                    start = time.perf_counter()
                    row = {"scenario": name, "seed": seed, "agent": agent, **run()}
                    rows.append({**row, "took_s": round(time.perf_counter() - start, 2)})
                    write_rows(rows)
            print(f"{name}, seed {seed}: done", flush=True)


def write_rows(rows: list[dict[str, Any]]) -> None:
    """One line a row, so that a change is one line in a comparison."""
    lines = ",\n ".join(json.dumps(_rounded(row)) for row in rows)
    write_text(RESULTS, f"[\n {lines}\n]\n")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}


def show(rows: list[dict[str, Any]]) -> None:
    """Tables of all rows, and the savings that were asked."""
    for name in ASKED:
        mine = [row for row in rows if row["scenario"] == name]
        if mine:
            _show_scenario(name, mine)


def _show_scenario(name: str, rows: list[dict[str, Any]]) -> None:
    agents = list(dict.fromkeys(row["agent"] for row in rows))
    print(f"\n## {name} (simulated, {len({r['seed'] for r in rows})} seeds of {SECONDS:g} s)\n")
    print(
        "| agent | mJ per frame | above idle | late % | error % | switches/s | drops/s | config/s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    mean = {}
    for agent in agents:
        own = [row for row in rows if row["agent"] == agent]
        mean[agent] = {k: float(np.mean([r[k] for r in own])) for k in own[0] if _figure(own[0], k)}
        spread = np.std([r["mj_per_frame"] for r in own])
        cells = [f"{mean[agent]['mj_per_frame']:.1f} ± {spread:.1f}"]
        for key in ("mj_above_idle", "late_pct", "error_pct"):
            cells.append(f"{mean[agent][key]:.2f}" if key in mean[agent] else "")
        for key in ("switches_per_s", "drops_per_s", "changes_per_s"):
            cells.append(f"{mean[agent][key]:.2f}" if key in mean[agent] else "")
        print(f"| {agent} | {' | '.join(cells)} |")
    _show_savings(name, mean)


def _figure(row: dict[str, Any], key: str) -> bool:
    return isinstance(row[key], float) or key == "frames"


def _show_savings(name: str, mean: dict[str, dict[str, float]]) -> None:
    """What was asked, what the governor saves, and what the bound would."""
    kernel = DEFAULT["gpu" if name.startswith("nx") else "cpu"]
    both = [f"best fixed (subnet, exits, level){more}" for more in ("", ", drop when idle")]
    against = (
        f"{kernel} + a",
        f"{kernel} + b",
        "best fixed (subnet, level)",
        min(both, key=lambda agent: mean[agent]["mj_per_frame"]),
    )
    ours, bound = mean["governor"], mean["bound"]
    print(
        "\n| saving against | asked % | whole board % | bound % | above idle % | late %, theirs |"
    )
    print("|---|---|---|---|---|---|")
    for other, asked in zip(against, ASKED[name], strict=True):
        saved, possible, above = (
            100 * (1 - row[key] / mean[other][key])
            for row, key in ((ours, WHOLE), (bound, WHOLE), (ours, "mj_above_idle"))
        )
        verdict = "" if saved >= asked else " MISSED" + " (impossible)" * (possible < asked)
        cells = f"{asked:g} | {saved:.1f}{verdict} | {possible:.1f} | {above:.1f}"
        print(f"| {other} | {cells} | {mean[other]['late_pct']:.1f} |")
    reference = mean[against[1]][WHOLE]
    share = (reference - ours[WHOLE]) / (reference - bound[WHOLE])
    print(f"\nshare of the saving to the bound: {100 * share:.1f} %", end="")
    if "clairvoyant" in mean:
        paid = mean["clairvoyant"][WHOLE]
        print(f"; the clairvoyant's: {100 * (reference - paid) / (reference - bound[WHOLE]):.1f} %")
        print(f"above the clairvoyant: {100 * (ours[WHOLE] / paid - 1):.2f} %", end="")
    print()


WHOLE = "mj_per_frame"

# ---- tuning --------------------------------------------------------------------------------------


def tune() -> None:
    """The governor on the seeds and loads that are not reported."""
    traces = read_traces(str(TRACES))
    print("| scenario | mJ | saving against b % | of what is possible % | late % |")
    print("|---|---|---|---|---|")
    for name in ASKED:
        device, found = load_device(SCENARIOS[name].device, traces), []
        for load, seed in product(TUNE_LOADS, TUNE_SEEDS):
            scenario = _loaded(SCENARIOS[name], load)
            compared = _compared(scenario, device, TUNE_SECONDS, seed)
            wanted = ("governor", f"{DEFAULT[device.processor]} + b", "bound")
            runs = [compared.runs[agent]() for agent in wanted]
            found.append([*(run[WHOLE] for run in runs), runs[0]["late_pct"]])
        ours, b, bound, late = np.mean(found, axis=0)
        cells = f"{100 * (1 - ours / b):.2f} | {100 * (b - ours) / (b - bound):.1f} | {late:.2f}"
        print(f"| {name} | {ours:.2f} | {cells} |", flush=True)


def _loaded(scenario: Scenario, factor: float) -> Scenario:
    loads = [x._replace(n_images=max(1, round(factor * x.n_images))) for x in scenario.loads]
    return scenario._replace(loads=loads)


def _compared(scenario: Scenario, device: Device, seconds: float, seed: int) -> Comparison:
    board = board_of(device.table, device.processor, device.name)
    args = device.table, device.answered, device.largest_pct, seconds, seed
    models = build(scenario, *args)
    return Comparison(models, board, device.processor, device.largest, seconds)


# ---- sensitivity ---------------------------------------------------------------------------------


def sensitivity(rows: list[dict[str, Any]]) -> None:
    """Saving of the governor against the kernel's with (b), one thing moved at a time."""
    traces = read_traces(str(TRACES))
    for name in ("odroid-bursts", "nx-bursts"):
        base, device = SCENARIOS[name], load_device(SCENARIOS[name].device, traces)
        for what, value, scenario, table, switch in _variants(base, device):
            key = f"{name}: {what} {value:g}"
            if any(row["scenario"] == key for row in rows):
                continue
            board = board_of(table, device.processor, device.name, switch)
            models = build(scenario, table, device.answered, device.largest_pct, SECONDS, 0)
            wanted = ("governor", f"{DEFAULT[device.processor]} + b", "bound")
            compared = Comparison(models, board, device.processor, device.largest, SECONDS)
            for agent, run in compared.runs.items():
                if agent in wanted:
                    rows.append({"scenario": key, "seed": 0, "agent": agent, **run()})
            write_rows(rows)
            print(key, "done", flush=True)


def _variants(base: Scenario, device: Device) -> Iterator[tuple[Any, ...]]:
    load, table = base.loads[0], device.table
    for share in (0.0, 1.0, 2.0):
        idle = table.idle_w[0] + share * (table.idle_w - table.idle_w[0])
        yield "idle share x", share, base, table._replace(idle_w=idle), None
    for ms in (0.2, 1.0, 5.0, 20.0):
        yield "switch ms", ms, base, table, ms
    whole = table.mean_ms[device.largest, -1]
    for share in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8):
        n = max(1, round(share * load.period_ms / whole))
        yield "load", share, base._replace(loads=[load._replace(n_images=n)]), table, None
    for target in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        yield "target", target, base._replace(loads=[load._replace(target=target)]), table, None


def show_sensitivity(rows: list[dict[str, Any]]) -> None:
    """Savings by what was moved."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if ": " in row["scenario"]:
            found.setdefault(row["scenario"], {})[row["agent"]] = row
    if found:
        print("\n## sensitivity: saving against the kernel's governor + b (simulated, one seed)\n")
        print("| what | saving % | of what is possible % | late % |\n|---|---|---|---|")
    for key, agents in found.items():
        other = next(row for name, row in agents.items() if name.endswith("+ b"))["mj_per_frame"]
        ours, bound = agents["governor"], agents["bound"]["mj_per_frame"]
        saved, possible = other - ours["mj_per_frame"], other - bound
        cells = f"{100 * saved / other:.1f} | {100 * saved / possible:.0f} | {ours['late_pct']:.2f}"
        print(f"| {key} | {cells} |")


# ---- the time of a decision ----------------------------------------------------------------------


def decision_times() -> None:
    """Microseconds of a decision for 15 levels x 50 configurations, and of what comes with it.

    What is measured moves by a few percent, so that the table is corrected now and then.
    """
    table = load_device("xavier-nx", read_traces(str(TRACES))).table
    table = table.take(np.resize(np.arange(len(table.ids)), 50).tolist())
    rows = [row for n_models in (1, 2) for row in _times_of(table, n_models)]
    print(
        "| models | call | median us | p99 us | CPU time: median | p99 |\n|---|---|---|---|---|---|"
    )
    for row in rows:
        print("| " + " | ".join(f"{x:.1f}" if isinstance(x, float) else str(x) for x in row) + " |")
    keys = "models", "call", "median_us", "p99_us", "cpu_median_us", "cpu_p99_us"
    lines = ",\n ".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows)
    write_text(TIMES, f"[\n {lines}\n]\n")


def _times_of(table: CostTable, n_models: int) -> list[tuple[int | str | float, ...]]:
    governor = Governor(
        [table] * n_models, [Demands(30.0, 8.2)] * n_models, delays(table.n_levels, "gpu")
    )
    took: dict[str, list[tuple[float, float]]] = {}
    noise = np.random.default_rng(0).normal(1.0, 0.03, 10_000)
    for i in range(10_000):
        jobs, level = [Job(m, 1 + i * 7 % 60, 30.0 + m) for m in range(n_models)], i % 15
        calls: list[tuple[str, Callable[[], object]]] = [
            ("arrived", partial(governor.arrived, 0, jobs[0].n, 33.0 * i)),
            ("decide", partial(governor.decide, jobs, level, 33.0 * i)),
            ("holds", partial(governor.holds, jobs[0], level)),
            ("observe", partial(governor.models[0].observe, level, 10.0, 10.0 * noise[i])),
            ("rest", partial(governor.rest, level, 33.0 * i)),
        ]
        for name, call in calls:
            start, cpu = time.perf_counter(), time.thread_time()
            call()
            spent = time.thread_time() - cpu, time.perf_counter() - start
            took.setdefault(name, []).append((1e6 * spent[1], 1e6 * spent[0]))
    found: list[tuple[int | str | float, ...]] = []
    for name, values in took.items():
        wall, cpu_time = np.percentile(values, [50, 99], axis=0).round(1).T.tolist()
        found.append((n_models, name, *wall, *cpu_time))
    return found


# ---- tables and traces ---------------------------------------------------------------------------


def make_tables(runs: Path, data: Path | None) -> None:
    """Tables of the devices in `runs`/DEVICE/pareto.json; with `data`, their subnets' traces first.

    A table has the subnets and exits that are cheapest, on the device's model, for every error on
    the images that are drawn.
    """
    if data:
        write_traces(str(TRACES), _evaluate(runs, data))
    traces = read_traces(str(TRACES))
    names = sorted({s.device for s in SCENARIOS.values()} - {ANY})
    made = {name: _device_table(runs / name / "pareto.json", traces) for name in names}
    write_text(TABLES, json.dumps(made) + "\n")


def _device_table(path: Path, traces: Traces) -> dict[str, Any]:
    from nas.devices import AnalyticDevice, load_profile
    from nas.export.every_level import governing
    from nas.pareto import read_pareto
    from nas.search.score.scorer import expected_costs, with_decisions
    from search_spaces import PolicyGrid, get_space

    table = read_pareto(path)
    about, space = table.content["device"], get_space(str(table.content["space"]))
    device, grid = (
        AnalyticDevice(load_profile(str(about["name"]))),
        PolicyGrid(space.n_exits, THRESHOLDS),
    )
    seen = [grid.response(c, r) for c, r in zip(traces.confidence, traces.correct, strict=True)]
    error, rates = (np.array(values) for values in zip(*seen, strict=True))
    genes, n = space.parse_all(traces.subnets), len(grid.programs)
    rows = np.repeat(genes, n, axis=0), np.tile(grid.programs, (len(genes), 1))
    ms, mj = (c.reshape(len(genes), n, -1) for c in device.cost(space.operators(*rows)))
    ms, mj = with_decisions(grid, ms, mj, device.decision_ms)
    ms, mj, _ = expected_costs(grid, rates, ms, mj)
    above = (mj - ms * device.idle_w()[0])[:, :, ms.shape[2] // 2]
    free = np.array([not grid[p].after for p in range(len(grid))])
    chosen = {one for allowed in (free, ~free) for one in _cheap(error, above, allowed)}
    big = next(b for b in table.content["baselines"] if b["name"] == "largest")["subnet"]
    points = [
        {
            "id": f"{traces.subnets[i]} {grid[p]}",
            "subnet": traces.subnets[i],
            "exits": grid[p].to_dict(),
            "top1_error_pct": float(error[i, p]),
            "exit_rates": rates[i, p].tolist(),
        }
        for i, p in sorted(chosen | {(traces.subnets.index(big), int(np.flatnonzero(free)[0]))})
    ]
    made = governing(table, points)
    return {"processor": about["processor"], "largest": big, "governing": made}


def _cheap(error: Any, cost: Any, allowed: Any) -> set[tuple[int, int]]:
    """The two cheapest (subnet, policy) within every error, a tenth of a point apart."""
    found = set()
    for most in np.arange(7.0, MOST_ERROR, 0.1):
        within = np.where((error <= most) & allowed, cost, np.inf)
        for flat in np.argsort(within, axis=None)[:2]:
            i, p = np.unravel_index(flat, within.shape)
            if np.isfinite(within[i, p]):
                found.add((int(i), int(p)))
    return found


def _evaluate(runs: Path, data: Path) -> Traces:
    """What every exit of the subnets of the searches says of the first validation images."""
    from nas.export.traces import evaluate_traces
    from nas.pareto import read_pareto
    from nas.zoo.folder import matching_dataset, supernet_folder
    from predictors import read_accuracy_table
    from supernets import Evaluation, load_supernet, sha256

    tables = [read_pareto(path) for path in sorted(runs.glob("*/pareto.json"))]
    rows = [row for table in tables for row in (*table.points, *table.content["baselines"])]
    subnets = sorted({r["subnet"] for r in rows if r["top1_error_pct"] <= SEARCHED_ERROR})
    folder = supernet_folder("auto")
    supernet, metadata = load_supernet(folder / "weights.safetensors")
    known = read_accuracy_table(folder / "accuracy.safetensors", supernet.space)
    whole = Evaluation.of(matching_dataset(metadata, data), "validation")
    part = replace(whole, images=whole.images[:N_IMAGES], labels=whole.labels[:N_IMAGES])
    checksum = sha256(folder / "weights.safetensors")
    about = {"supernet_sha256": checksum, "dataset": metadata["dataset"]}
    return evaluate_traces(supernet, subnets, part, known.temperatures, about)


MOST_ERROR, SEARCHED_ERROR, N_IMAGES = 9.5, 9.3, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--only", nargs="*", choices=list(ASKED), default=list(ASKED))
    parser.add_argument("--sensitivity", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--tables", type=Path, help="folder of searches, one per device")
    parser.add_argument("--data", type=Path, help="CIFAR-10, for the traces")
    chosen = parser.parse_args()
    if chosen.tables:
        make_tables(chosen.tables, chosen.data)
        return
    if chosen.tune or chosen.times:
        (tune if chosen.tune else decision_times)()
        return
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if chosen.sensitivity:
        sensitivity(rows)
    elif not chosen.show:
        measure(rows, range(chosen.seeds), chosen.only)
    show(rows)
    show_sensitivity(rows)


if __name__ == "__main__":
    main()
