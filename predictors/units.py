"""Columns in other units than ours: `latency_s` for `latency_ms`, `top1_acc_pct` for its error.

A unit is taken where it stands in the column's name, and guessed nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from predictors.cells import TableError, numbers


def _times(factor: float) -> Callable[[pd.Series], pd.Series]:
    return lambda values: values * factor


OTHERS: dict[str, dict[str, Callable[[pd.Series], pd.Series]]] = {
    "latency_ms": {
        "latency_s": _times(1e3),
        "latency_us": _times(1e-3),
        "latency_ns": _times(1e-6),
    },
    "energy_mj": {"energy_j": _times(1e3), "energy_uj": _times(1e-3)},
    **{
        f"{part}_mhz": {
            f"{part}_ghz": _times(1e3),
            f"{part}_khz": _times(1e-3),
            f"{part}_hz": _times(1e-6),
        }
        for part in ("gpu", "cpu", "emc")
    },
    "top1_error_pct": {
        "top1_acc_pct": lambda values: 100 - values,
        "top1_error": _times(100),
        "top1_acc": lambda values: 100 - 100 * values,
    },
}
MAY_BE_ZERO = ("top1_error_pct",)


def in_our_units(cells: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Text `cells` with columns of other units turned into ours.

    `power_w` beside a latency stands for `energy_mj` where there is none. TableError: two columns
    for one figure, or a cell that is no number.
    """
    for ours, others in OTHERS.items():
        found = [name for name in (ours, *others) if name in cells]
        if len(found) > 1:
            raise TableError(f"{path} has {' and '.join(found)}, one figure in two units; keep one")
        if found and found[0] != ours:
            values = _column(cells, found[0], path, positive=ours not in MAY_BE_ZERO)
            cells = cells.drop(columns=found[0])
            cells[ours] = _text(others[found[0]](values))
    if "power_w" in cells and "energy_mj" not in cells and "latency_ms" in cells:
        power = _column(cells, "power_w", path, positive=True)
        latency = _column(cells, "latency_ms", path, positive=True)
        cells["energy_mj"] = _text(power * latency)
    return cells


def _column(cells: pd.DataFrame, name: str, path: Path, *, positive: bool) -> pd.Series:
    return numbers(cells, name, path, positive=positive, required=False)


def _text(values: pd.Series) -> pd.Series:
    """As a file would hold them: fifteen digits, so that 0.003 s is 3 ms."""
    return values.map(lambda value: "" if pd.isna(value) else f"{value:.15g}")
