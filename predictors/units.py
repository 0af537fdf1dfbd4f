"""Columns in other units than ours: `latency_s` for `latency_ms`, `top1_acc_pct` for its error.

A unit is taken where it stands in the column's name, however that is written (`Latency [us]`), and
guessed nowhere.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from predictors.cells import numbers
from predictors.dialect import TableError
from search_spaces import Row

Convert = Callable[[pd.Series], pd.Series]


def _times(factor: float) -> Convert:
    return lambda values: values * factor


def _scaled(stem: str, ours: str, factors: dict[str, float]) -> dict[str, Convert]:
    """Columns `stem_UNIT` by the factor from UNIT to ours."""
    return {f"{stem}_{unit}": _times(f) for unit, f in factors.items() if unit != ours}


TIMES = {
    **{"ns": 1e-6, "nsec": 1e-6, "nanoseconds": 1e-6, "us": 1e-3, "usec": 1e-3},
    **{"microseconds": 1e-3, "ms": 1.0, "msec": 1.0, "milliseconds": 1.0},
    **{"s": 1e3, "sec": 1e3, "seconds": 1e3},
}
ENERGIES = {
    **{"nj": 1e-6, "uj": 1e-3, "microjoules": 1e-3, "mj": 1.0, "mws": 1.0, "millijoules": 1.0},
    **{"j": 1e3, "ws": 1e3, "joules": 1e3, "kj": 1e6, "mwh": 3.6e3, "wh": 3.6e6},
}
CLOCKS = {"hz": 1e-6, "khz": 1e-3, "mhz": 1.0, "ghz": 1e3}
POWERS = {"uw": 1e-6, "mw": 1e-3, "milliwatts": 1e-3, "w": 1.0, "watts": 1.0, "kw": 1e3}
OTHERS: dict[str, dict[str, Convert]] = {
    **{f"{name}_ms": _scaled(name, "ms", TIMES) for name in ("latency", "latency_p95", "decision")},
    "energy_mj": _scaled("energy", "mj", ENERGIES),
    "power_w": _scaled("power", "w", POWERS),
    **{f"{part}_mhz": _scaled(part, "mhz", CLOCKS) for part in ("gpu", "cpu", "emc")},
    "top1_error_pct": {
        "top1_acc_pct": lambda values: 100 - values,
        "top1_error": _times(100),
        "top1_acc": lambda values: 100 - 100 * values,
    },
}
SIGNS = {"µ": "u", "μ": "u", "%": " pct", "percent": "pct", "top-1": "top1", "top 1": "top1"}
SIGNS |= {"top_1": "top1", "accuracy": "acc"}
LIKE = {  # words in the name of a column that may be meant
    "latency_ms": "latency|time|duration|delay|fps|throughput",
    "energy_mj": "energy|power|consumption",
    "gpu_mhz": "freq|clock|gpu",
    "top1_error_pct": "acc|error|err|top1",
}
EXAMPLES = {
    "latency_ms": ("latency_us", "latency_s"),
    "energy_mj": ("energy_j", "power_w"),
    "gpu_mhz": ("gpu_ghz", "gpu_hz"),
    "top1_error_pct": ("top1_acc_pct", "top1_error"),
}
MAY_BE_ZERO = ("top1_error_pct",)
NAMES = {*Row.__annotations__, *OTHERS, *(name for others in OTHERS.values() for name in others)}
NAMES -= {"source", "notes"}  # words that a column of the user's own may have


def in_our_units(cells: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Text `cells` with columns of other units turned into ours.

    `power_w` beside a latency stands for `energy_mj` in rows that have none. TableError: two
    columns for one figure, or a cell that is no number.
    """
    cells = _named(cells, path)
    given = list(map(str, cells.columns))
    for ours, others in OTHERS.items():
        found = [name for name in (ours, *others) if name in cells]
        if len(found) > 1:
            raise TableError(f"{path} has {' and '.join(found)}, one figure in two units; keep one")
        if found and found[0] != ours:
            values = _column(cells, found[0], path, positive=ours not in MAY_BE_ZERO)
            cells = cells.drop(columns=found[0])
            cells[ours] = _text(others[found[0]](values))
    empty = cells.get("energy_mj", pd.Series("", index=cells.index)) == ""
    if "power_w" in cells and "latency_ms" in cells and (empty & (cells["power_w"] != "")).any():
        power = _column(cells, "power_w", path, positive=True)
        latency = _column(cells, "latency_ms", path, positive=True)
        stated = _text(power * latency)
        cells["energy_mj"] = stated.where(empty, cells.get("energy_mj", stated))
    rows = "latency_ms" in cells and "energy_mj" not in cells
    if rows and (unread := like("energy_mj", given)):
        warnings.warn(f"{path}: {unread}; the rows have no energy", stacklevel=2)
    return cells


def like(ours: str, columns: Sequence[str]) -> str:
    """Which of `columns` may be the one that a table lacks, and how to name it; "" for none."""
    ours = ours.split(" or ")[0]
    found = [
        name
        for name in columns
        if name not in NAMES and re.search(rf"(^|_)({LIKE.get(ours, '$.')})", _spelled(name))
    ]
    if not found:
        return ""
    units = ", ".join([ours, *EXAMPLES[ours]])
    return f"column {found[0]!r} is not read: what is it, in which unit? Name it {units}"


def _named(cells: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Columns by our names where theirs mean one: `Latency (ms)` is `latency_ms`."""
    renamed: dict[str, str] = {}
    for name in map(str, cells.columns):
        spelled = _spelled(name)
        base = re.sub(r"\.\d+$", "", name)  # as pandas names the second of two columns
        if base != name and base in NAMES and base in cells:
            raise TableError(f"{path} has two columns for {base}, one is {name!r}; keep one")
        if spelled != name and spelled in NAMES:
            if spelled in [*cells.columns, *renamed.values()]:
                raise TableError(f"{path} has two columns for {spelled}, one is {name!r}; keep one")
            renamed[name] = spelled
    return cells.rename(columns=renamed)


def _spelled(name: str) -> str:
    """A column's name in our letters: `Top-1 acc. (%)` becomes `top1_acc_pct`."""
    text = name.lower()
    for theirs, ours in SIGNS.items():
        text = text.replace(theirs, ours)
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def _column(cells: pd.DataFrame, name: str, path: Path, *, positive: bool) -> pd.Series:
    return numbers(cells, name, path, positive=positive, required=False)


def _text(values: pd.Series) -> pd.Series:
    """As a file would hold them: fifteen digits, so that 0.003 s is 3 ms."""
    return values.map(lambda value: "" if pd.isna(value) else f"{value:.15g}")
