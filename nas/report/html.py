"""pareto.json as one HTML file that opens without a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from nas.pareto import Baseline, Point, searched_levels
from nas.pareto.records import Quantity
from nas.pareto.verified import FIELD, verified_points
from search_spaces import ExitPolicy, write_text

N_GENES = 8  # shown per objective

SOURCES = {
    "top1_error_pct": "error_source",
    "latency_ms": "latency_source",
    "energy_mj": "energy_source",
}


def write_report(
    pareto: Mapping[str, Any],
    out: Path,
    *,
    knees: Mapping[int, str],
) -> None:
    """Write the parsed pareto.json to `out` as a page.

    `knees` maps a level to the id of its knee point.
    """
    rows = pareto.get("target_rows") or []
    baselines = baselines_by_level(pareto)
    decisions = {key: p.get("decision") for key, p in (pareto.get("predictors") or {}).items() if p}
    pareto = {**pareto, "levels": searched_levels(pareto)}
    template = environment().get_template("report.html")
    page = template.render(
        pareto=pareto,
        levels=level_rows(pareto, knees, baselines),
        verified=[p for p in pareto["points"] if p.get("verified")],
        cost_verified=verified_points(pareto),
        simulated=any("simulat" in source for source in sources(pareto, rows)),
        no_go=[key for key, decision in decisions.items() if decision == "no-go"],
        n_target_rows=len(rows),
        doubtful=[row["doubtful"] for row in rows if row.get("doubtful")],
        has_exits=any(len(p.get("exit_rates") or ()) > 1 for p in pareto["points"]),
        importance=largest_shares(pareto),
        data={"pareto": pareto, "knees": knees, "baselines": baselines, "rows": rows},
    )
    write_text(out, page)


def largest_shares(pareto: Mapping[str, Any]) -> dict[str, list[tuple[str, float, float]]]:
    """Per objective the genes that count most: name, share, width of the bar in percent."""
    found = {}
    for objective, shares in ((pareto.get("search") or {}).get("importance") or {}).items():
        ranked = sorted(shares.items(), key=lambda pair: -pair[1])[:N_GENES]
        widest = ranked[0][1] or 1
        found[objective] = [(gene, share, 100 * share / widest) for gene, share in ranked]
    return found


def baselines_by_level(pareto: Mapping[str, Any]) -> dict[int, dict[str, Baseline]]:
    """The `largest` and the `smallest` baseline of every level that has some."""
    found: dict[int, dict[str, Baseline]] = {}
    for point in pareto.get("baselines") or ():
        found.setdefault(point["level"], {})[point["name"]] = point
    return found


def level_rows(
    pareto: Mapping[str, Any],
    knees: Mapping[int, str],
    baselines: Mapping[int, Mapping[str, Baseline]],
) -> list[dict[str, Any]]:
    """One row per level: its clocks, number of points, knee point, savings in percent.

    `saved[key]` is the pair of savings against the largest baseline at the same level and at the
    top clock; None where a figure is missing.
    """
    by_id = {point["id"]: point for point in pareto["points"]}
    top = max((level["level"] for level in pareto["levels"]), default=0)
    rows = []
    for level in pareto["levels"]:
        number = level["level"]
        knee = by_id.get(knees.get(number, ""))
        rivals = [baselines.get(n, {}).get("largest") for n in (number, top)]
        saved = {
            "latency_ms": [saving_pct(knee, rival, "latency_ms") for rival in rivals],
            "energy_mj": [saving_pct(knee, rival, "energy_mj") for rival in rivals],
        }
        n_points = sum(point["level"] == number for point in pareto["points"])
        rows.append({**level, "n_points": n_points, "knee": knee, "saved": saved})
    return rows


def saving_pct(point: Point | None, baseline: Point | None, key: Quantity) -> float | None:
    """How much less of `key` the point costs than the baseline, in percent; negative is more."""
    cost, rival = point and point.get(key), baseline and baseline.get(key)
    if cost is None or not rival:
        return None
    return 100 * (1 - cost / rival)


def sources(pareto: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The provenance of every figure in the report."""
    for point in [pareto["device"], *pareto["points"], *(pareto.get("baselines") or ())]:
        yield from (point.get(name) or "" for name in SOURCES.values())
    yield from (point[FIELD]["source"] for point in verified_points(pareto))
    yield from (row.get("source") or "" for row in rows)


def short(value: object, digits: int = 3) -> str:
    """`value` with that many significant digits and no exponent; an en dash where it is missing."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


def environment() -> Environment:
    """Templates of this folder, with the filters `short` and `exits`."""
    loader = PackageLoader("nas", "report")
    made = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters["short"] = short
    made.filters["rates"] = lambda rates: " · ".join(f"{100 * r:.0f} %" for r in rates or ()) or "–"
    made.filters["exits"] = lambda exits: str(ExitPolicy.from_dict(exits))
    return made
