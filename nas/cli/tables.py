"""A result on the screen: the knee point of every level, each figure with its source."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from nas.pareto import ParetoTable


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
    out.print(_levels(table, top))
    reference = table.baseline("largest", top)
    out.print(
        f"saving: energy against the largest subnet without exits at the top clock, "
        f"{_number(reference['energy_mj'])} mJ ({reference['energy_source'] or 'unknown'}), "
        f"{reference['latency_ms']:.4g} ms ({reference['latency_source']}), "
        f"{reference['top1_error_pct']:.2f} % error ({reference['error_source']})"
    )
    for name in ("largest", "smallest"):
        out.print(_least_energy(table, name))
    verified = [p for p in table.points if "verified" in p]
    if verified:
        gap = [p["verified"]["top1_error_pct"] - p["top1_error_pct"] for p in verified]
        out.print(
            f"verified on {verified[0]['verified']['n_images']} {verified[0]['verified']['split']} "
            f"images: error is {sum(gap) / len(gap):+.2f} points from the table's on average, "
            f"{max(gap, key=abs):+.2f} at most"
        )


def _least_energy(table: ParetoTable, name: str) -> str:
    """Where a baseline's energy is lowest, and why that may be an end."""
    rows = [b for b in table.content["baselines"] if b["name"] == name]
    if rows[0]["energy_mj"] is None or len(rows) == 1:
        return f"energy of the {name} subnet: unknown"
    best = min(rows, key=lambda b: b["energy_mj"])
    text = (
        f"energy of the {name} subnet is lowest at level {best['level']}: "
        f"{best['energy_mj']:.4g} mJ ({best['energy_source']})"
    )
    if best["launch_share"] is not None:
        text += f"; kernel starts take {100 * best['launch_share']:.0f} % of its time (simulated)"
    return text


def quality(entry: dict[str, Any]) -> str:
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


def _levels(table: ParetoTable, top: int) -> Table:
    shown = Table(
        "level", "MHz", "points", "exits", "knee subnet", "knee exits", "error %", "ms", "worst ms",
        "mJ", "saving %", title="knee point of every level",
    )  # fmt: skip
    reference = table.baseline("largest", top)["energy_mj"]
    knees = table.knees()
    for level in table.levels:
        points = table.at(level["level"])
        if not points:
            shown.add_row(str(level["level"]), _clock(level), "0", *[""] * 8)
            continue
        knee = next(p for p in points if p["id"] == knees[level["level"]])
        mark = "" if knee["error_source"] == "measured" else "~"
        saving = "" if reference is None else f"{100 * (1 - knee['energy_mj'] / reference):.0f}"
        shown.add_row(
            str(level["level"]),
            _clock(level),
            str(len(points)),
            str(sum(bool(p["exits"]["after"]) for p in points)),
            knee["subnet"],
            _exits(knee),
            f"{mark}{knee['top1_error_pct']:.2f}",
            f"{knee['latency_ms']:.4g}",
            f"{knee['latency_worst_ms']:.4g}",
            _number(knee["energy_mj"]),
            saving,
        )
    device = table.content["device"]
    shown.caption = (
        f"exits: points with early exits; error: ~ predicted, others measured; "
        f"ms: {device['latency_source']}; mJ: {device['energy_source'] or 'unknown'}"
    )
    return shown


def _clock(level: dict[str, Any]) -> str:
    return f"{level['gpu_mhz'] if level['gpu_mhz'] is not None else level['cpu_mhz']:g}"


def _exits(point: dict[str, Any]) -> str:
    exits = point["exits"]
    pairs = zip(exits["after"], exits["thresholds"], strict=True)
    return " ".join(f"{k}@{t:g}" for k, t in pairs) or "none"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
