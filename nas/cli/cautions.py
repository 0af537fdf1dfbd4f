"""What of a result is not to be trusted as it stands: why, most likely, and what to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from nas.cli.answer import digits
from nas.pareto import ParetoTable, Point
from nas.pareto.provenance import MEASURED
from nas.pareto.records import PredictorEntry
from nas.zoo.folder import DEFAULT

Predictors = dict[str, PredictorEntry]  # by quantity

FEW = 1.0  # points of error; where half a binomial interval is wider, the images are few


@dataclass(frozen=True)
class Caution:
    """A warning in a sentence or two, and the command it asks for, in parts that stay together."""

    text: str
    command: tuple[str, ...] = ()


def cautions(table: ParetoTable, point: Point) -> list[Caution]:
    """Warnings of a result whose answer is `point`."""
    return _no_go(table) + _infeasible(table) + _wide(point) + _few_images(point)


def _no_go(table: ParetoTable) -> list[Caution]:
    """One for all quantities whose proxy cannot be trusted."""
    predictors = table.content["predictors"]
    failed = {name: x for name, x in predictors.items() if x["decision"] == "no-go"}
    if not failed:
        return []
    ranks = " and ".join(_ranks(name, entry) for name, entry in failed.items())
    return [
        Caution(
            f"no-go: on the held-out rows the proxy {ranks}; "
            f"{_instead(predictors, failed)}. Likely cause: {_cause(table)}. "
            "Next, the rows to measure:",
            ("nas search", *_asked(table), "--plan plan.csv"),
        )
    ]


def _ranks(name: str, entry: PredictorEntry) -> str:
    srcc = entry.get("srcc")
    return f"cannot rank {name}" if srcc is None else f"ranks {name} with only {srcc:.3f}"


def _instead(predictors: Predictors, failed: Predictors) -> str:
    """What predicts in the place of the proxy."""
    models = {x["fallback"]["model"] for x in failed.values() if "fallback" in x}
    if models:
        return f"in its place predicts: {' and '.join(sorted(models))}"
    if "fallback" in predictors.get("latency_ms", {}):
        return "in its place the device's own model predicts"
    return "no model of the device can take its place"


def _cause(table: ParetoTable) -> str:
    rows = table.content.get("target_rows") or []
    if any(row.get("source") == MEASURED for row in rows):
        return "rows that are noisy, or of other clocks or programs than they say"
    return "a proxy that does not behave like this device; choose another or measure the target"


def _asked(table: ParetoTable) -> list[str]:
    """The options that search the same on the same device."""
    device = table.content["device"]
    asked = {"--device": device["name"], "--power-mode": device["power_mode"]}
    asked |= {"--backend": device["backend"], "--precision": device["precision"]}
    asked |= {"--batch": str(device["batch"])} if device["batch"] != 1 else {}
    parts = [f"{option} {shlex.quote(value)}" for option, value in asked.items() if value]
    return parts + searched(table)


def searched(table: ParetoTable) -> list[str]:
    """`--supernet NAME`, or `--space NAME`, where another was searched than a search takes."""
    supernet, space = table.content["supernet"], shlex.quote(table.content["space"])
    if supernet is None:
        return [f"--space {space}", "--accuracy-table TABLE.csv"]
    return [] if supernet["name"] == DEFAULT else [f"--supernet {shlex.quote(supernet['name'])}"]


def _infeasible(table: ParetoTable) -> list[Caution]:
    empty = [str(x["level"]) for x in table.searched if not table.at(x["level"])]
    if not empty:
        return []
    bounds = table.content.get("search", {}).get("bounds", {})
    limits = [
        f"--{k.replace('_', '-')} {v:g}" for k, v in bounds.items() if isinstance(v, int | float)
    ]
    return [
        Caution(
            f"level {', '.join(empty)}: no configuration was found within "
            f"{' and '.join(limits) or 'the limits'}. Likely cause: clocks too slow for the "
            "limits. Next: raise a limit, or leave these levels out with --levels."
        )
    ]


def _wide(point: Point) -> list[Caution]:
    """Where nine in ten predictions are spread by more than the latency itself."""
    if point["latency_interval_ms"] is None:
        return []
    low, high = point["latency_interval_ms"]
    if high - low <= point["latency_ms"]:
        return []
    return [
        Caution(
            f"the latency of {point['id']} is uncertain: {digits(low)} to {digits(high)} ms (90 % "
            "interval). Likely cause: few or noisy rows of the target. Next: measure it, as below."
        )
    ]


def _few_images(point: Point) -> list[Caution]:
    found = point.get("verified")
    if not found:
        return []
    from scipy.stats import binomtest

    n_wrong = round(found["top1_error_pct"] / 100 * found["n_images"])
    interval = binomtest(n_wrong, found["n_images"]).proportion_ci(method="wilson")
    low, high = 100 * interval.low, 100 * interval.high
    if (high - low) / 2 <= FEW:
        return []
    return [
        Caution(
            f"{found['n_images']} {found['split']} images say little: with "
            f"{found['top1_error_pct']:.2f} % of them wrong, the error of {point['id']} is "
            f"{low:.1f} to {high:.1f} % (95 % binomial interval). Next: --data with more images."
        )
    ]
