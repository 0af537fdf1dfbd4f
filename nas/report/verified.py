"""On the screen: what points cost by measured programs, beside what was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.words import counted

NAMES = {
    "latency_ms": "expected latency",
    "latency_worst_ms": "worst-case latency",
    "energy_mj": "expected energy",
}


def verified_cost_lines(content: Mapping[str, Any]) -> list[str]:
    """One line per quantity of a parsed pareto.json; none where no cost was verified."""
    told = content.get("verified_cost")
    if not told:
        return []
    lines = [_line(name, told[name], told["source"]) for name in NAMES if told[name]]
    if told["energy_mj"] is None:
        lines.append("expected energy: the rows do not hold it")
    measured = told["source"] == "measured"
    verified = "verified" if measured else f"compared, not verified ({told['source']} rows),"
    lines.append(
        f"costs {verified} with {told['backend']} {told['precision']} by "
        f"{counted(told['n_programs'], 'program')}; a decision at an exit takes "
        f"{told['decision_ms']:.3g} ms ({told['decision_source']})"
    )
    if told["n_left_out"]:
        lines.append(
            f"left out: {counted(told['n_left_out'], 'point')}, whose programs did not all run, "
            "or not at the clocks of their level (column `notes` of the rows)"
        )
    return lines


def _line(name: str, entry: Mapping[str, Any], source: str) -> str:
    said = [
        f"{NAMES[name]}, {entry['predicted_source']} against {source}, "
        f"{counted(entry['n_points'], 'point')}: error {entry['median_error_pct']:.1f} % in the "
        f"middle, {entry['worst_error_pct']:+.1f} % at worst ({entry['worst_point']}), "
        f"bias {entry['bias_pct']:+.1f} %"
    ]
    if "n_in_interval" in entry:
        said.append(f"{entry['n_in_interval']} in their 90 % interval")
    if entry["srcc"] is not None:
        said.append(f"rank correlation {entry['srcc']:.3f} within levels")
    return ", ".join(said)
