"""A result on the screen: the knee point of every level, each figure with its source."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from nas.cli.verified import verified_cost_lines
from nas.pareto import Level, ParetoTable, Point
from nas.pareto.records import PredictorEntry, SearchEntry
from nas.pareto.verified import QUANTITIES

if TYPE_CHECKING:
    from nas.search.front.shared_set import SharedContent

WIDE = 130  # columns of a terminal that has room for subnet strings


def print_result(table: ParetoTable) -> None:
    """Print device, predictors, one row per level, and what the saving is measured against."""
    out = Console(highlight=False)
    device = table.content["device"]
    described = f"{device['name']} {device['power_mode'] or ''} {device['backend']}"
    out.print(f"\n[bold]{described} {device['precision']} batch {device['batch']}[/]")
    out.print(
        f"latency: {device['latency_source']}; energy: {device['energy_source'] or 'unknown'}"
    )
    for name, entry in table.content["predictors"].items():
        out.print(f"{name}: {quality(entry)}")
    top = max(level["level"] for level in table.levels)
    out.print(_levels(table, top, wide=out.width >= WIDE))
    out.print(_best(table))
    for line in _search(table.content.get("search", {})):
        out.print(line)
    reference = table.baseline("largest", top)
    out.print(
        f"saving: energy against the largest subnet without exits at the top clock, "
        f"{_number(reference['energy_mj'])} mJ ({reference['energy_source'] or 'unknown'}), "
        f"{reference['latency_ms']:.4g} ms ({reference['latency_source']}), "
        f"{reference['top1_error_pct']:.2f} % error ({reference['error_source']})"
    )
    for size in ("largest", "smallest"):
        out.print(_least_energy(table, size))
    verified = [(p, found) for p in table.points if (found := p.get("verified"))]
    if verified:
        gap = [found["top1_error_pct"] - p["top1_error_pct"] for p, found in verified]
        images = verified[0][1]
        out.print(
            f"verified on {images['n_images']} {images['split']} images: error is "
            f"{sum(gap) / len(gap):+.2f} points from the table's on average, "
            f"{max(gap, key=abs):+.2f} at most"
        )
    for line in verified_cost_lines(table.content):
        out.print(line, markup=False)


def _best(table: ParetoTable) -> Table:
    """The ends of every level's front, each reached by another point."""
    shown = Table(title="best of every level", box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("level", "least error %", "least ms", "least worst ms", "least mJ"):
        shown.add_column(name, no_wrap=True)
    for level in table.searched:
        points = table.at(level["level"])
        cells = [str(level["level"])]
        if points:
            best = min(points, key=lambda p: p["top1_error_pct"])
            mark = "" if best["error_source"] == "measured" else "~"
            cells.append(f"{mark}{best['top1_error_pct']:.2f}")
            for name in QUANTITIES:
                values = [x for p in points if (x := p[name]) is not None]
                cells.append(_number(min(values, default=None)))
        shown.add_row(*cells)
    return shown


def _search(search: SearchEntry) -> list[str]:
    """How far the search came, and from where; empty for files that do not say."""
    lines = []
    if progress := search.get("progress"):
        last, growth = progress[-1], ""
        if len(progress) > 1 and (before := progress[-2]["hypervolume"]):
            percent = 100 * (last["hypervolume"] / before - 1)
            growth = f", {percent:+.2f} % in the last generation"
        lines.append(
            f"hypervolume after {last['n_subnets']} subnets: {last['hypervolume']:.4f}{growth} "
            "(mean over levels; share of the box from no cost to 1.1 times the costlier of the "
            "largest and the smallest subnet)"
        )
    if warm := search.get("warm_start"):
        lines.append(f"started from {warm['n_subnets']} subnets of {warm['file']}")
    return lines


def print_shared(content: SharedContent) -> None:
    """Print which subnets serve all devices of a search."""
    devices = content["devices"]
    kept = f"{100 - content['loss_pct']:g} %"
    shown = Table(
        title=f"the fewest subnets that keep {kept} of every device's hypervolume",
        caption="kept by this subnet and those above it, mean over levels",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    for name in ("", *devices, "subnet"):
        shown.add_column(name, no_wrap=name != "subnet")
    for number, row in enumerate(content["set"], start=1):
        cells = (f"{row['kept_pct'][device]:.2f} %" for device in devices)
        shown.add_row(str(number), *cells, row["subnet"])
    out = Console(highlight=False)
    out.print(shown)
    out.print(
        f"{len(content['on_every_front'])} of {content['n_on_some_front']} subnets are on a front "
        f"of every device"
    )


def _least_energy(table: ParetoTable, name: str) -> str:
    """Where a baseline's energy is lowest, and why that may be an end."""
    rows = [b for b in table.content["baselines"] if b["name"] == name]
    energy_mj = [b["energy_mj"] or math.inf for b in rows]
    if math.inf in energy_mj or len(rows) == 1:
        return f"energy of the {name} subnet: unknown"
    least = min(energy_mj)
    best = rows[energy_mj.index(least)]
    text = (
        f"energy of the {name} subnet is lowest at level {best['level']}: "
        f"{least:.4g} mJ ({best['energy_source']})"
    )
    share = best.get("launch_share")
    if share is not None:
        text += f"; kernel starts take {100 * share:.0f} % of its time (simulated)"
    return text


def quality(entry: PredictorEntry) -> str:
    """One line on a proxy: what held-out target rows say of it, and what predicts instead."""
    said = []
    if "srcc" in entry:
        interval, srcc = entry["srcc_interval"], "rank correlation unknown"
        if entry["srcc"] is not None and None not in interval:
            srcc = f"rank correlation {entry['srcc']:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
        said.append(
            f"proxy {entry['proxy']}, {entry['n_proxy_rows']} rows: {srcc}, MAPE "
            f"{entry['mape_pct']:.1f} % on {entry['n_target_rows']} held-out target rows"
        )
    colour = "green" if entry["decision"] == "go" else "yellow"
    said.append(f"[{colour}]{entry['decision']}[/]")
    if "fallback" in entry:
        said.append(f"{entry['fallback']['model']}, predicts instead")
    return "; ".join(said)


def fitted_quality(entry: dict[str, Any], source: str, *, held_out: bool = False) -> str:
    """One line on a predictor: rows, error, ranks with their interval, what intervals cover."""
    on = "; held-out subnets" if held_out else ""
    low, high = entry["srcc_interval"]
    rank = "rank correlation unknown"
    if None not in (entry["srcc"], low, high):
        rank = f"rank correlation {entry['srcc']:.4f} [{low:.4f}, {high:.4f}]"
    covered = "too few subnets for intervals"
    if entry["coverage_pct"] is not None:
        covered = (
            f"90 % intervals of +-{entry['interval_half_width_pct']:.1f} % hold "
            f"{entry['coverage_pct']:.1f} %"
        )
    return (
        f"{entry['n_rows']} {source} rows of {entry['n_subnets']} subnets{on}: "
        f"MAPE {entry['mape_pct']:.2f} %, {rank}, {covered}"
    )


def _levels(table: ParetoTable, top: int, *, wide: bool) -> Table:
    """One row per level; the knee's subnet only where the screen is wide enough for it."""
    shown = Table(
        title="knee point of every level", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False
    )
    for name in ("level", "MHz", "points", "exits", "error %", "ms", "worst", "mJ", "save %"):
        shown.add_column(name, no_wrap=True)
    if wide:
        shown.add_column("subnet", no_wrap=True)
    reference = table.baseline("largest", top)["energy_mj"]
    knees = table.knees()
    for level in table.searched:
        points = table.at(level["level"])
        cells = [str(level["level"]), _clock(level), str(len(points))]
        if points:
            knee = next(p for p in points if p["id"] == knees[level["level"]])
            with_exits = sum(bool(p["exits"]["after"]) for p in points)
            cells[-1] += f" ({with_exits})"
            if wide:
                own = (knee.get("cpu_mhz"), knee.get("emc_mhz"))  # where they were searched
                cells[1] += "".join(f" {mhz:g}" for mhz in own if mhz)
            cells += _knee_cells(knee, reference)
            cells += [knee["subnet"]] * wide
        shown.add_row(*cells)
    ids = set(knees.values())
    shown_points = [p for p in table.points if p["id"] in ids]
    words = {
        "ms": _words(p["latency_source"] for p in shown_points),
        "mJ": _words(p["energy_source"] for p in shown_points),
    }
    shown.caption = "points (with early exits); error: ~ predicted, others measured; " + "; ".join(
        f"{unit}: {word}" for unit, word in words.items()
    )
    if any("emc_mhz" in p for p in table.points):
        where = "behind the level's" if wide else "in report.html and pareto.csv"
        shown.caption += f"; own CPU and memory clocks: {where}"
    return shown


def _words(sources: Iterable[str | None]) -> str:
    return " or ".join(sorted({source or "unknown" for source in sources}))


def _knee_cells(knee: Point, reference_mj: float | None) -> list[str]:
    mark, energy_mj = "" if knee["error_source"] == "measured" else "~", knee["energy_mj"]
    saved = ""
    if reference_mj is not None and energy_mj is not None:
        saved = f"{100 * (1 - energy_mj / reference_mj):.0f}"
    return [
        _exits(knee),
        f"{mark}{knee['top1_error_pct']:.2f}",
        f"{knee['latency_ms']:.3g}",
        f"{knee['latency_worst_ms']:.3g}",
        _number(energy_mj),
        saved,
    ]


def _clock(level: Level) -> str:
    return f"{level['gpu_mhz'] if level['gpu_mhz'] is not None else level['cpu_mhz']:g}"


def _exits(point: Point) -> str:
    exits = point["exits"]
    pairs = zip(exits["after"], exits["thresholds"], strict=True)
    return " ".join(f"{k}@{t:g}" for k, t in pairs) or "none"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
