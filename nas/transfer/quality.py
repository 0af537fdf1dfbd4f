"""From a file of measured rows to a fitted predictor and its quality on subnets it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from nas.transfer.plausible import check_one_setting, check_rows_alone
from nas.transfer.source import source_of
from predictors import (
    EnergyPredictor,
    LatencyPredictor,
    genes_and_heads,
    half_width,
    half_widths,
    kendall_tau,
    mape_pct,
    read_rows,
    srcc_within,
    srcc_within_interval,
)
from search_spaces import Floats, InputError, Space, encode

QUANTITIES = {"latency_ms": LatencyPredictor, "energy_mj": EnergyPredictor}
SETTING = ("device", "processor", "backend", "precision", "batch", "level", "gpu_mhz")
COVERAGE = 0.9
N_RESAMPLES, LARGE = 1000, 2_000_000  # of the bootstrap; rows times resamples at most

Names = NDArray[np.object_]


class Quality(TypedDict):
    """How good predicted costs are; None where the rows are too few to tell."""

    n_rows: int
    n_subnets: int
    mape_pct: float
    srcc: float | None
    srcc_interval: list[float | None]
    kendall_tau: float | None
    coverage_pct: float | None
    interval_half_width_pct: float | None


def predictor_kind(quantity: str) -> type[LatencyPredictor | EnergyPredictor]:
    """The class that predicts `quantity`; InputError lists what can be asked."""
    if quantity not in QUANTITIES:
        raise InputError(f"`quantity` must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    return QUANTITIES[quantity]


def rows_of(
    path: Path,
    space: Space,
    quantity: str,
    level: int | None = None,
    *,
    varying: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Rows that hold `quantity`, of one device at one setting but for the columns `varying`."""
    rows = check_rows_alone(path, read_rows(path, space, lines=True), space)
    rows = rows.reset_index(drop=True)
    if level is not None:
        known = sorted(rows["level"].dropna().unique()) if "level" in rows else []
        if level not in known:
            found = ", ".join(f"{value:g}" for value in known) or "no level"
            raise InputError(f"{path} has no rows at `level` {level}; it has {found}")
        rows = rows[rows["level"] == level]
    check_has(rows, quantity, str(path))
    rows = rows[rows[quantity].notna()].reset_index(drop=True)
    asked = [c for c in (*SETTING, "threads") if c not in varying]
    if "level" in asked:
        check_one_setting(path, rows, ["level"], "choose with `level`")
    check_one_setting(path, rows, asked)
    return rows


def check_has(rows: pd.DataFrame, quantity: str, where: str) -> None:
    """InputError unless some row holds `quantity`."""
    if quantity not in rows or rows[quantity].isna().all():
        raise InputError(
            f"{where} holds no {quantity}; it has {', '.join(rows.columns)}; measure it or ask "
            "for another `quantity`"
        )


def about(rows: pd.DataFrame) -> dict[str, Any]:
    """What the rows are: the setting they were measured at, and their source."""
    setting = {c: rows[c].iloc[0] for c in SETTING if c in rows}
    known = {c: getattr(v, "item", lambda v=v: v)() for c, v in setting.items() if not pd.isna(v)}
    return known | {"source": source_of(rows)}


def training_data(
    path: Path, space: Space, quantity: str, level: int | None = None
) -> tuple[Floats, Floats, Names, dict[str, Any]]:
    """Features (n, features), costs (n,), subnet names (n,), and what the rows are."""
    rows = rows_of(path, space, quantity, level)
    X, y = encode(space, *genes_and_heads(rows, space)), rows[quantity].to_numpy(dtype=float)
    return X, y, rows["subnet"].to_numpy(dtype=object), about(rows)


def held_out(fitted: LatencyPredictor | EnergyPredictor, y: Floats, subnets: Names) -> Quality:
    """Quality on subnets left out while `fitted` learned y (n,); each row by another fold's model.

    Intervals are judged the same way: a fold's rows by how wide the other folds would make them.
    """
    errors = fitted.held_out_log_errors_
    if not np.isfinite(errors).all():
        raise InputError("the rows hold one subnet; measure at least two to learn from")
    width = np.full(len(y), np.inf)
    n_folds = min(fitted.n_folds, len(set(subnets)))
    for rest, test in GroupKFold(n_folds).split(y, groups=subnets):
        width[test] = half_width(half_widths(errors[rest], subnets[rest]), COVERAGE)
    predicted = y / np.exp(errors)
    half = np.exp(width)
    return quality(y, predicted, (predicted / half, predicted * half), subnets)


def quality(
    y: Floats,
    predicted: Floats,
    interval: Sequence[Floats],
    subnets: Names,
    clock_mhz: Floats | None = None,
) -> Quality:
    """Error, ranks with a bootstrap interval over subnets, and how many rows intervals cover.

    Ranks are compared within a clock. None where the rows are too few to tell.
    """
    low, high = interval
    clock = np.zeros(len(y)) if clock_mhz is None else clock_mhz
    ends = srcc_within_interval(
        y,
        predicted,
        clock,
        subnets,
        n_resamples=max(100, min(N_RESAMPLES, LARGE // len(y))),
    )
    half_pct = 100 * (np.median(np.sqrt(high / np.maximum(low, 1e-300))) - 1)
    known = bool(np.isfinite(high).all())
    at_clock = [clock == c for c in np.unique(clock)]
    return {
        "n_rows": len(y),
        "n_subnets": len(set(subnets)),
        "mape_pct": mape_pct(y, predicted),
        "srcc": _or_none(srcc_within(y, predicted, clock)),
        "srcc_interval": [_or_none(end) for end in ends],
        "kendall_tau": _or_none(_mean_known([kendall_tau(y[c], predicted[c]) for c in at_clock])),
        "coverage_pct": float(100 * np.mean((low <= y) & (y <= high))) if known else None,
        "interval_half_width_pct": float(half_pct) if known else None,
    }


def _mean_known(values: Sequence[float]) -> float:
    """Mean of those that are known, NaN for none: a clock with one row ranks nothing."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
