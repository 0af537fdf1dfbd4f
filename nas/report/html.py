"""One or more pareto.json as one HTML file that opens without a network."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from nas.files import write_for_user
from nas.pareto import WITHIN, ParetoTable, Point
from nas.pareto.verified import verified_points
from nas.report.levels import level_groups, top_baseline
from nas.report.provenance import banner, main_sources
from search_spaces import ExitPolicy

N_GENES = 8  # shown per objective


def write_report(tables: Sequence[ParetoTable], paths: Sequence[Path], out: Path) -> None:
    """Write `tables` to `out` as one page; `paths` are their files, named in its commands.

    The page holds every table whole: a reader's limits are asked of all points of all tables.
    """
    names = labels(tables)
    results = [_result(*one) for one in zip(tables, paths, names, strict=True)]
    data = [
        {key: one[key] for key in ("label", "file", "shell", "knees", "main", "pareto")}
        for one in results
    ]
    page = environment().get_template("page/report.html")
    limit_pct = WITHIN + min((p["top1_error_pct"] for t in tables for p in t.points), default=99.0)
    asked = {"accuracy": round(100 - limit_pct, 9)}
    write_for_user(
        out,
        page.render(
            results=results,
            banners=banner(names, [table.content for table in tables]),
            data={"results": data, "asked": asked},
            proposed=_proposed(tables, names, limit_pct),
        ),
    )


def _proposed(
    tables: Sequence[ParetoTable], names: Sequence[str], limit_pct: float
) -> tuple[str, Point] | None:
    """What the page answers before anything is asked, for those who let no script run."""
    near = [
        (point["energy_mj"] or math.inf, point["latency_ms"], point["id"], name, point)
        for table, name in zip(tables, names, strict=True)
        if any(p["top1_error_pct"] <= limit_pct for p in table.points)
        for point in [table.cheapest(max_error_pct=limit_pct)]
    ]
    return min(near, key=lambda one: one[:4])[3:] if near else None


def labels(tables: Sequence[ParetoTable]) -> list[str]:
    """The device of every table; where two are of one device, what tells them apart as well."""
    names = [table.content["device"]["name"] for table in tables]
    if len(set(names)) < len(names):
        more = ((t.content["device"]["power_mode"], t.content["space"]) for t in tables)
        names = [
            " ".join(filter(None, (name, *words))) for name, words in zip(names, more, strict=True)
        ]
    counts = Counter(names)
    return [f"{name} {i + 1}" if counts[name] > 1 else name for i, name in enumerate(names)]


def _result(table: ParetoTable, path: Path, label: str) -> dict[str, Any]:
    """What the page needs of one table."""
    pareto = table.content
    return {
        "label": label,
        "file": str(path),
        "shell": shlex.quote(str(path)),
        "knees": table.knees(),
        "main": main_sources(pareto),
        "pareto": pareto,
        "levels": table.searched,
        "groups": level_groups(table),
        "rival": top_baseline(table),
        "verified": [p for p in pareto["points"] if p.get("verified")],
        "cost_verified": verified_points(pareto),
        "n_target_rows": len(pareto.get("target_rows") or ()),
        "has_exits": any(p["exits"]["after"] for p in pareto["points"]),
        "importance": largest_shares(pareto),
    }


def largest_shares(pareto: Mapping[str, Any]) -> dict[str, list[tuple[str, float, float]]]:
    """Per objective the genes that count most: name, share, width of the bar in percent."""
    found = {}
    for objective, shares in ((pareto.get("search") or {}).get("importance") or {}).items():
        ranked = sorted(shares.items(), key=lambda pair: -pair[1])[:N_GENES]
        widest = ranked[0][1] or 1
        found[objective] = [(gene, share, 100 * share / widest) for gene, share in ranked]
    return found


def short(value: object, digits: int = 3) -> str:
    """`value` with that many significant digits and no exponent; an en dash where it is missing."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


@cache
def environment() -> Environment:
    """Templates of this folder, with the filters `short`, `exits`, `leaving` and `signed`."""
    loader = PackageLoader("nas", "report")
    made = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made.filters["short"] = short
    made.filters["exits"] = lambda exits: str(ExitPolicy.from_dict(exits))
    made.filters["leaving"] = leaving
    made.filters["signed"] = signed
    return made


def signed(value: float, digits: int = 0) -> str:
    """`+1.2`, `−0.3`; what rounds to zero has no sign."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if any(digit in "123456789" for digit in text) else text[1:]


def leaving(rates: Sequence[float] | None) -> list[tuple[str, float, str]]:
    """Where images leave: name, percent and colour of every exit at which some do."""
    rates = rates or ()
    named = [
        ("end" if k == len(rates) - 1 else f"exit {k}", 100 * rate) for k, rate in enumerate(rates)
    ]
    colours = ["end" if name == "end" else f"x{k % 6}" for k, (name, _) in enumerate(named)]
    return [(*one, c) for one, c in zip(named, colours, strict=True) if one[1] > 0]
