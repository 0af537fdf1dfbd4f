"""Fitted cost predictors on disk: models or rows, and a sidecar that says what they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from sklearn.utils.validation import check_is_fitted

from predictors.artifacts import (
    ArtifactError,
    dump_trees,
    faults_named,
    load_trees,
    read_artifact,
    versions,
    write_artifact,
)
from predictors.cost.boosted import EnergyPredictor, LatencyPredictor, rows_sha256
from predictors.cost.intervals import COVERAGES
from predictors.cost.work import WorkLaw
from predictors.transfer.pooled import TransferPredictor
from predictors.transfer.prior import CostPrior
from search_spaces import Floats, Space, feature_names

SCHEMA, TRANSFER_SCHEMA = "nas.predictor/2", "nas.transfer/2"
UNITS = {"latency_ms": "ms", "energy_mj": "mJ"}


def save_predictor(
    predictor: LatencyPredictor | EnergyPredictor, folder: Path | str, space: Space, **about: Any
) -> None:
    """Write `QUANTITY.ubj` and `QUANTITY.json` into `folder`.

    `about` joins the sidecar: the device, backend and source of the training rows.
    """
    check_is_fitted(predictor)
    names = feature_names(space)
    if predictor.n_features_in_ != len(names):
        raise ValueError(
            f"{space.name} has {len(names)} features, the predictor {predictor.n_features_in_}"
        )
    described = {
        "schema": SCHEMA,
        "quantity": predictor.quantity,
        "unit": UNITS[predictor.quantity],
        "output": "log of the quantity above the law's: cost = law . features * exp(trees)",
        "space": space.name,
        "feature_names": names,
        "law": dict(zip([*names, "constant"], predictor.law_.weights.tolist(), strict=True)),
        "law_least": predictor.law_.least,
        "interval_log": _intervals_to_dict(predictor.half_widths_),
        "n_rows": predictor.n_rows_,
        "n_subnets": predictor.n_groups_,
        "rows_sha256": predictor.rows_sha256_,
        "settings": predictor.get_params(),
        "versions": versions(),
    }
    files = {"ubj": dump_trees(predictor.model_)}
    write_artifact(Path(folder), predictor.quantity, files, about | described)


def load_predictor(
    folder: Path | str, quantity: str, space: Space
) -> LatencyPredictor | EnergyPredictor:
    """The predictor of `quantity` that `save_predictor` wrote for `space`."""
    files, described = read_artifact(Path(folder), quantity, SCHEMA, space)
    kind = {"latency_ms": LatencyPredictor, "energy_mj": EnergyPredictor}[quantity]
    sidecar = Path(folder) / f"{quantity}.json"
    with faults_named(sidecar):
        if described["quantity"] != quantity:
            found = described["quantity"]
            raise ArtifactError(f"{sidecar} is for {found}, asked {quantity}")
        predictor = kind(**described["settings"])
        predictor.model_ = load_trees(files["ubj"])
        names = described["feature_names"]
        weights = [float(described["law"][name]) for name in (*names, "constant")]
        predictor.law_ = WorkLaw(np.array(weights), float(described["law_least"]))
        predictor.half_widths_ = _intervals_from_dict(described["interval_log"])
        predictor.n_features_in_ = len(names)
        predictor.n_rows_, predictor.n_groups_ = described["n_rows"], described["n_subnets"]
        predictor.rows_sha256_ = described["rows_sha256"]
    if predictor.model_.n_features_in_ != predictor.n_features_in_:
        raise ArtifactError(
            f"{Path(folder) / quantity}.ubj has {predictor.model_.n_features_in_} features, its "
            f"sidecar {predictor.n_features_in_}; save the predictor again"
        )
    return predictor


def _intervals_to_dict(half_widths: Floats) -> dict[str, float | None]:
    """Half widths in log units by coverage; None where they are infinite."""
    known = [float(w) if np.isfinite(w) else None for w in half_widths]
    return {f"{c:.2f}": w for c, w in zip(COVERAGES, known, strict=True)}


def _intervals_from_dict(entries: Mapping[str, float | None]) -> Floats:
    known = [entries[f"{c:.2f}"] for c in COVERAGES]
    if any(w is not None and not 0 <= w < np.inf for w in known):
        raise ValueError(f"interval widths must be 0 or more, got {known}")
    return np.array([np.inf if w is None else float(w) for w in known])


def save_transfer(
    predictor: TransferPredictor,
    folder: Path | str,
    space: Space,
    quantity: str,
    proxies: Sequence[str],
    **about: Any,
) -> None:
    """Write `transfer_QUANTITY.{json,safetensors}`: the prior and the target's rows.

    `proxies` names the proxy columns in order. The posterior is fitted again when it is loaded.
    """
    if len(proxies) != len(predictor.proxy_columns):
        raise ValueError(f"{len(predictor.proxy_columns)} proxy columns, {len(proxies)} names")
    check_is_fitted(predictor, "prior_")
    arrays = {f"prior.{k}": v for k, v in predictor.prior_.to_arrays().items()}
    arrays |= {"X": predictor.X_, "y": predictor.y_}
    files = {"safetensors": safetensors.numpy.save({k: _plain(v) for k, v in arrays.items()})}
    described = {
        "schema": TRANSFER_SCHEMA,
        "quantity": quantity,
        "unit": UNITS[quantity],
        "space": space.name,
        "feature_names": feature_names(space),
        "proxies": list(proxies),
        "clock_columns": [int(c) for c in predictor.clock_columns],
        "group_column": predictor.group_column,
        "n_rows": len(predictor.y_),
        "rows_sha256": rows_sha256(predictor.X_, predictor.y_),
        "versions": versions(),
    }
    write_artifact(Path(folder), f"transfer_{quantity}", files, about | described)


def load_transfer(
    folder: Path | str, quantity: str, space: Space
) -> tuple[TransferPredictor, list[str]]:
    """What `save_transfer` wrote for `space`, and the names of its proxy columns."""
    name = f"transfer_{quantity}"
    files, described = read_artifact(Path(folder), name, TRANSFER_SCHEMA, space)
    with faults_named(Path(folder) / f"{name}.json"):
        arrays = safetensors.numpy.load(files["safetensors"])
        prior = CostPrior.from_arrays(
            {k.removeprefix("prior."): v for k, v in arrays.items() if k.startswith("prior.")}
        )
        predictor = TransferPredictor(
            prior.proxy_columns,
            tuple(described["clock_columns"]),
            described["group_column"],
            prior=prior,
        )
        return predictor.fit(arrays["X"], arrays["y"]), described["proxies"]


def _plain(values: Floats) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)
