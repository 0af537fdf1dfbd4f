"""What a search ends with: the point to run, what it saves for what it loses, what to type next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from nas.pareto import WITHIN, Baseline, Level, ParetoTable, Point, is_predicted
from nas.zoo.folder import ships_statistics

CLOCKS = {"gpu_mhz": "GPU", "cpu_mhz": "CPU", "emc_mhz": "memory"}


@dataclass(frozen=True)
class Comparison:
    """What savings are counted from: the largest subnet without exits at the top clock."""

    table: ParetoTable
    baseline: Baseline

    @classmethod
    def of(cls, table: ParetoTable) -> Comparison:
        return cls(table, table.baseline("largest", max(level["level"] for level in table.levels)))

    @property
    def saving(self) -> str:
        """What is saved: energy where it is known, else latency."""
        return "latency" if self.baseline["energy_mj"] is None else "energy"

    def saved_pct(self, point: Point) -> float | None:
        return self.energy_pct(point) if self.saving == "energy" else self.latency_pct(point)

    def energy_pct(self, point: Point) -> float | None:
        ours, base = point["energy_mj"], self.baseline["energy_mj"]
        return None if ours is None or base is None else 100 * (1 - ours / base)

    def latency_pct(self, point: Point) -> float:
        return 100 * (1 - point["latency_ms"] / self.baseline["latency_ms"])

    def as_accurate(self, level: int) -> Point | None:
        """The cheapest point of a level that is not less accurate than the baseline."""
        limit = self.baseline["top1_error_pct"]
        if all(p["top1_error_pct"] > limit for p in self.table.at(level)):
            return None
        return self.table.cheapest(max_error_pct=limit, levels=[level])


def answer(table: ParetoTable) -> Point:
    """The cheapest point within a percentage point of the best accuracy, over all levels."""
    best_pct = min(p["top1_error_pct"] for p in table.points)
    return table.cheapest(max_error_pct=best_pct + WITHIN)


def sentence(compared: Comparison, point: Point) -> str:
    """The answer in words."""
    level = next(x for x in compared.table.levels if x["level"] == point["level"])
    predicted = " (predicted)" if is_predicted(point["error_source"]) else ""
    energy_mj = point["energy_mj"]
    latency = f"{digits(point['latency_ms'])} ms"
    if point["exits"]["after"]:
        latency += f" ({digits(point['latency_worst_ms'])} ms where no exit is taken)"
    energy = "energy unknown" if energy_mj is None else f"{digits(energy_mj)} mJ"
    return (
        f"The cheapest point within {WITHIN:g} percentage point of the best accuracy is "
        f"{point['id']}: level {level['level']} ({_clocks(level, point)}), "
        f"{point['top1_error_pct']:.2f} % error{predicted}{_on_new_images(point)}, {latency}, "
        f"{energy}; against the "
        f"largest subnet it {_saves_and_loses(compared, point)}."
    )


def _on_new_images(point: Point) -> str:
    """`, 7.55 ± 0.41 expected on new images`; empty where the search could not tell."""
    if "error_se_pct" not in point:
        return ""
    deviation = point["error_se_pct"]
    return f", {point['expected_error_pct']:.2f} ± {deviation:.2f} expected on new images"


def _saves_and_loses(compared: Comparison, point: Point) -> str:
    """`saves 44 % energy and loses 0.78 points of accuracy`."""
    points = round(compared.baseline["top1_error_pct"] - point["top1_error_pct"], 2)
    changes = [(points, f"{abs(points):.2f} points of accuracy")]
    costs = {"energy": compared.energy_pct(point), "latency": compared.latency_pct(point)}
    changes += [(x, f"{abs(x):.0f} % of the {name}") for name, x in costs.items() if x is not None]
    saved = [text for change, text in changes[1:] if change >= 0.5]
    gained = [text for change, text in changes[:1] if change > 0]
    lost = [text for change, text in changes[:1] if change < 0]
    more = [text.replace("of the", "more") for change, text in changes[1:] if change <= -0.5]
    told = {"saves": saved, "gains": gained, "loses": lost, "takes": more}
    parts = [f"{verb} {' and '.join(texts)}" for verb, texts in told.items() if texts]
    parts = parts if saved or more else [*parts, "costs the same"]
    return ", and ".join(parts) + ("" if gained or lost else ", at the same accuracy")


def next_steps(
    table: ParetoTable, pareto: Path, report: Path, point: Point, data: Path | None = None
) -> list[list[str]]:
    """The report, and the commands for a board: what it is, then words that stay together."""
    from nas.remote.device import RUNNER_OF

    file, device, remote = shlex.quote(str(pareto)), table.content["device"], []
    if device["name"] != "host":
        remote = ["--remote USER@HOST"]
        remote += [] if device["backend"] in RUNNER_OF else ["--backend onnxruntime"]
    steps = [
        ["open:", shlex.quote(str(report))],
        ["measure:", "nas measure", f"--of {file}", *remote, "--out rows.csv"],
    ]
    supernet = table.content["supernet"]
    if supernet is not None and supernet["sha256"] is not None:
        chosen = [f"--pareto {file}", f"--id {point['id']}"]
        folder = str(data or ("digits" if supernet["dataset"] == "digits" else "DIR"))
        images = [] if ships_statistics(supernet["name"]) else [f"--data {shlex.quote(folder)}"]
        steps.append(["export:", "nas export", *chosen, *images, "--out board"])
    elif supernet is not None and (checkpoint := supernet.get("checkpoint")):
        steps.append(["weights:", "nas supernet import", checkpoint, "--out DIR"])
    return steps


def _clocks(level: Level, point: Point) -> str:
    """Those of the level, and where a search chose them those of the point."""
    clocks = {**level, **{name: mhz for name in CLOCKS if (mhz := point.get(name))}}
    return ", ".join(f"{CLOCKS[name]} {clocks[name]:g}" for name in CLOCKS if clocks[name]) + " MHz"


def digits(value: float | None) -> str:
    """Three significant digits, zeros at the end too: `0.200`, `1.91`, `12.0`, `3061`."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")
