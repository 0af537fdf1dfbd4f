"""Fitted predictors on disk: models in open formats and one JSON sidecar that vouches for them.

The sidecar is written last and holds every file's checksum, so files of two different saves, or of
a save that was killed half-way, are refused instead of mixed. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import xgboost
from xgboost import XGBRegressor
from xgboost.core import XGBoostError

from search_spaces import (
    InputError,
    Space,
    feature_names,
    json_object,
    json_sha256,
    read_bytes,
    read_text,
    write_bytes,
)

MAX_BYTES = 1 << 28  # of a file that a sidecar vouches for
MAX_JSON = 1 << 24  # of a sidecar
DIGEST = "content_sha256"


class ArtifactError(InputError):
    """A saved predictor cannot be used; the message says why and what to do."""


def versions() -> dict[str, str]:
    """Of this package and of what wrote the trees."""
    try:
        ours = version("nas")
    except PackageNotFoundError:  # a checkout
        ours = "not installed"
    return {"nas": ours, "xgboost": xgboost.__version__}


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
    if not sidecar.exists():
        raise ArtifactError(
            f"{folder} holds no predictor of {name}; `nas predictor train --out DIR` makes one"
        )
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
