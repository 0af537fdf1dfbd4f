"""What is asked of a governor, and what yields first when not everything can be had."""

from __future__ import annotations

import difflib
from typing import NamedTuple

import numpy as np

from .manifest import ManifestError
from .table import CostTable

POLICIES = {
    "time": ("accuracy", "energy"),  # the target is kept longest
    "accuracy": ("energy", "time"),  # the floor is kept longest
    "energy": ("accuracy", "time"),  # the budgets are kept longest
}


class Demands(NamedTuple):
    """All may change while the governor runs. A configuration is used only within the floor."""

    target_ms: float  # from the arrival of a frame to its last answer
    floor_error_pct: float = 100.0  # the largest error of a configuration
    power_w: float | None = None  # whole board, while a frame runs
    energy_mj: float | None = None  # whole board, of one image
    temperature_c: float | None = None
    policy: str = "time"


def check_demands(table: CostTable, demands: Demands, n_images: int = 1) -> None:
    """ManifestError for what no configuration can meet even for `n_images` alone on the board."""
    if demands.policy not in POLICIES:
        raise ManifestError(unknown("policy", demands.policy, list(POLICIES)))
    best = float(table.error_pct.min())
    if not demands.floor_error_pct >= best:
        raise ManifestError(
            f"`floor_error_pct` {demands.floor_error_pct:g} was asked; the most accurate "
            f"configuration has {best:g} % error: ask at least that"
        )
    within = table.error_pct <= demands.floor_error_pct
    fastest = n_images * float(table.mean_ms[within].min())
    if not demands.target_ms >= fastest:
        raise ManifestError(
            f"`target_ms` {demands.target_ms:g} was asked; the fastest configuration within the "
            f"floor takes {fastest:.3g} ms for {n_images} image{'s' * (n_images > 1)}: ask more "
            "time or allow more error"
        )
    if demands.policy == "energy" and not _affordable(table, demands).any():
        budgets = {"power_w": demands.power_w, "energy_mj": demands.energy_mj}
        asked = " and ".join(f"`{name}` {value:g}" for name, value in budgets.items() if value)
        least_w, least_mj = (table.mean_mj / table.mean_ms).min(), table.mean_mj.min()
        raise ManifestError(
            f"{asked} cannot be kept longest, for no configuration keeps it: the least are "
            f"{least_w:.3g} W and {least_mj:.3g} mJ; ask more, or another `policy`"
        )


def relaxed(table: CostTable, demands: Demands) -> list[tuple[np.ndarray, bool, str]]:
    """Which configurations and levels may be used (C, L), from all demands to the last kept.

    Each step says whether the target still counts and what has yielded so far.
    """
    allowed = {"accuracy", "energy", "time"}
    steps: list[tuple[np.ndarray, bool, str]] = []
    for yielding in ("", *POLICIES[demands.policy]):
        allowed = allowed - {yielding}
        mask = np.ones_like(table.mean_ms, dtype=bool)
        if "accuracy" in allowed:
            mask &= (table.error_pct <= demands.floor_error_pct)[:, None]
        if "energy" in allowed:
            mask &= _affordable(table, demands)
        gone = [name for name in POLICIES[demands.policy] if name not in allowed]
        if mask.any() and (not steps or (mask != steps[-1][0]).any() or "time" not in allowed):
            steps.append((mask, "time" in allowed, " and ".join(gone)))
    return steps


def _affordable(table: CostTable, demands: Demands) -> np.ndarray:
    """Which configurations and levels keep the budgets, (C, L) bool."""
    watts = table.mean_mj / table.mean_ms
    found: np.ndarray = watts <= (demands.power_w or np.inf)
    found &= table.mean_mj <= (demands.energy_mj or np.inf)
    return found


def unknown(what: str, name: str, known: list[str]) -> str:
    """One line that names the nearest of the known names."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {what} {name!r}; {hint}known: {', '.join(known)}"
