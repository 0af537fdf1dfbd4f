"""In one line how good a predictor is, and whether its proxy may be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.pareto.records import PredictorEntry
from nas.words import counted


def proxies(entries: Mapping[str, PredictorEntry]) -> str:
    """Which rows predict the target, said once for all quantities; what `go` means."""
    named = {(x.get("proxy", ""), x.get("n_proxy_rows", 0)) for x in entries.values()}
    told = " and ".join(f"{name}, {n_rows} rows" for name, n_rows in sorted(named) if name)
    return f"proxy: {told}; go or no-go: does it rank the target's own rows well enough to predict"


def quality(entry: PredictorEntry) -> str:
    """One line on a proxy: what held-out target rows say of it, and what predicts instead."""
    said = []
    if "srcc" in entry:
        interval, srcc = entry["srcc_interval"], "rank correlation unknown"
        if entry["srcc"] is not None and None not in interval:
            low, high = interval
            srcc = f"rank correlation {entry['srcc']:.3f} ({low:.3f} to {high:.3f})"
        said.append(
            f"{srcc}, mean error {entry['mape_pct']:.1f} % on {entry['n_target_rows']} "
            "held-out rows of the target"
        )
    colour = "green" if entry["decision"] == "go" else "yellow"
    said.append(f"[{colour}]{entry['decision']}[/]")
    if "fallback" in entry:
        why = "but its rows do not cover the clocks: " if entry["decision"] == "go" else ""
        said.append(f"{why}{entry['fallback']['model']}, predicts instead")
    return "; ".join(said)


def fitted_quality(entry: Mapping[str, Any], source: str, *, held_out: bool = False) -> str:
    """One line on a predictor: rows, error, ranks with their interval, what intervals cover."""
    on = "; held-out subnets" if held_out else ""
    low, high = entry["srcc_interval"]
    rank = "rank correlation unknown"
    if None not in (entry["srcc"], low, high):
        rank = f"rank correlation {entry['srcc']:.4f} [{low:.4f}, {high:.4f}]"
    covered = "too few subnets for intervals"
    if entry["coverage_pct"] is not None:
        covered = (
            f"90 % intervals of ±{entry['interval_half_width_pct']:.1f} % hold "
            f"{entry['coverage_pct']:.1f} %"
        )
    return (
        f"{counted(entry['n_rows'], f'{source} row')} of "
        f"{counted(entry['n_subnets'], 'subnet')}{on}: "
        f"MAPE {entry['mape_pct']:.2f} %, {rank}, {covered}"
    )
