"""Fitted predictors on disk: models in open formats and one JSON sidecar that vouches for them.

The sidecar is written last and holds every file's checksum, so files of two different saves, or of
a save that was killed half-way, are refused instead of mixed. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import xgboost
from sklearn.utils.validation import check_is_fitted
from xgboost import XGBRegressor
from xgboost.core import XGBoostError

from predictors.cost.boosted import EnergyPredictor, LatencyPredictor, rows_sha256
from predictors.cost.intervals import COVERAGES
from predictors.cost.work import WorkLaw
from predictors.transfer.pooled import TransferPredictor
from predictors.transfer.prior import CostPrior
from search_spaces import (
    Floats,
    InputError,
    Space,
    feature_names,
    json_object,
    json_sha256,
    read_bytes,
    read_text,
    write_bytes,
)

SCHEMA, TRANSFER_SCHEMA = "nas.predictor/2", "nas.transfer/2"
MAX_BYTES = 1 << 28  # of a file that a sidecar vouches for
MAX_JSON = 1 << 24  # of a sidecar
DIGEST = "content_sha256"
UNITS = {"latency_ms": "ms", "energy_mj": "mJ"}


class ArtifactError(InputError):
    """A saved predictor cannot be used; the message says why and what to do."""


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


def versions() -> dict[str, str]:
    """Of this package and of what wrote the trees."""
    try:
        ours = version("nas")
    except PackageNotFoundError:  # a checkout
        ours = "not installed"
    return {"nas": ours, "xgboost": xgboost.__version__}


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


def _check_numbers(value: Any, name: str = "") -> None:
    """ValueError where a number is not finite, too large for one, or counts less than nothing."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            _check_numbers(part, str(key))
    elif isinstance(value, list):
        for part in value:
            _check_numbers(part, name)
    elif isinstance(value, int | float) and not _possible(
        value, count=name in ("n_rows", "n_subnets")
    ):
        raise ValueError(f"{name} is {str(value)[:40]}")


def _possible(value: float, *, count: bool) -> bool:
    return abs(value) < 1e300 and (not count or (value >= 0 and value % 1 == 0))


def _plain(values: Floats) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def write_artifact(
    folder: Path, name: str, files: Mapping[str, bytes], described: Mapping[str, Any]
) -> None:
    """Write `NAME.suffix` for each of `files` by suffix, then the sidecar `NAME.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for suffix, data in files.items():
        write_bytes(folder / f"{name}.{suffix}", data)
        checksums[suffix] = hashlib.sha256(data).hexdigest()
    told = {**described, "sha256": checksums}
    text = json.dumps({**told, DIGEST: json_sha256(told)}, indent=1)
    write_bytes(folder / f"{name}.json", text.encode())


def read_artifact(
    folder: Path, name: str, schema: str, space: Space
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files by suffix and the sidecar of `NAME`; ArtifactError unless all fit `space`."""
    sidecar = folder / f"{name}.json"
    try:
        described = json_object(read_text(sidecar, limit=MAX_JSON), sidecar)
        digest = described.pop(DIGEST, None)  # older versions wrote none
        if digest not in (None, json_sha256(described)):
            raise InputError(f"{sidecar} was changed since it was written")
    except InputError as error:
        raise ArtifactError(f"{error}; save the predictor again") from None
    with faults_named(sidecar):
        _check_numbers(described)
        if described["schema"] != schema:
            found = described["schema"]
            raise ArtifactError(f"{sidecar} has schema {found!r}, expected {schema!r}")
        if described["space"] != space.name:
            raise ArtifactError(f"{sidecar} is for space {described['space']}, asked {space.name}")
        if described["feature_names"] != feature_names(space):
            raise ArtifactError(f"{sidecar} has other features than {space.name}; fit it again")
        checksums = described["sha256"].items()
        return {s: _checked(folder / f"{name}.{s}", sha256) for s, sha256 in checksums}, described


@contextmanager
def faults_named(sidecar: Path) -> Iterator[None]:
    """Turn what a damaged sidecar causes into one ArtifactError that names it."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        reason = f"it lacks {fault}" if isinstance(fault, KeyError) else str(fault)[:200]
        raise ArtifactError(f"{sidecar} is damaged ({reason}); save the predictor again") from None


def dump_trees(model: XGBRegressor) -> bytes:
    """The trees as UBJ."""
    return bytes(model.get_booster().save_raw("ubj"))


def load_trees(data: bytes) -> XGBRegressor:
    """The model of `dump_trees`, on one thread."""
    model = XGBRegressor(n_jobs=1)
    try:
        model.load_model(bytearray(data))
    except XGBoostError:
        raise ArtifactError("the UBJ file holds no XGBoost model; save it again") from None
    return model


def _checked(path: Path, sha256: str) -> bytes:
    try:
        data = read_bytes(path, limit=MAX_BYTES)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"{path} differs from its checksum in the sidecar; save it again")
    return data
