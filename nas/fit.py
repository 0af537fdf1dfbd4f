"""From a file of measured rows to a fitted predictor and its held-out quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from predictors import (
    EnergyPredictor,
    LatencyPredictor,
    genes_and_heads,
    mape_pct,
    read_rows,
    srcc,
)
from search_spaces import InputError, Space, encode

QUANTITIES = {"latency_ms": LatencyPredictor, "energy_mj": EnergyPredictor}
Floats = NDArray[np.float64]


def training_data(
    path: Path, space: Space, quantity: str
) -> tuple[Floats, Floats, NDArray[np.object_], dict[str, Any]]:
    """Features (n, features), costs (n,), subnet names (n,), and what the rows are."""
    rows = read_rows(path, space)
    if quantity not in rows or rows[quantity].isna().all():
        raise InputError(f"{path} holds no {quantity}; it has {', '.join(rows.columns)}")
    rows = rows[rows[quantity].notna()]
    genes, heads = genes_and_heads(rows, space)
    about = {
        "device": str(rows["device"].iloc[0]),
        "source": str(rows["source"].iloc[0]) if "source" in rows else "measured",
    }
    X, y = encode(space, genes, heads), rows[quantity].to_numpy(dtype=float)
    return X, y, rows["subnet"].to_numpy(dtype=object), about


def held_out(estimator: Any, X: Floats, y: Floats, subnets: NDArray[np.object_]) -> dict[str, Any]:
    """Five-fold MAPE and rank correlation; all rows of a subnet are in one fold."""
    n_folds = min(5, len(set(subnets)))
    if n_folds < 2:
        raise InputError("the rows hold one subnet; measure at least two to learn from")
    predicted = np.empty_like(y)
    for train, test in GroupKFold(n_folds).split(X, y, groups=subnets):
        predicted[test] = clone(estimator).fit(X[train], y[train]).predict(X[test])
    return {"mape_pct": mape_pct(y, predicted), "srcc": srcc(y, predicted)}
