"""The manifest of an exported folder (`nas.manifest/1`), read and checked."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np

from .checks import ManifestError, check_manifest
from .files import plain_size
from .records import Configuration, ManifestContent, NetworkEntry

__all__ = ["SCHEMA", "Manifest", "ManifestError", "read_manifest"]

SCHEMA = "nas.manifest/1"
MAX_SEGMENT = (1 << 31) - 1  # bytes of an ONNX file, as its format has it
MAX_BYTES = 1 << 25  # of manifest.json; one of 360 configurations has a megabyte


class Manifest:
    """A checked folder: `content` is the JSON of `manifest.json`.

    Configurations are looked up for every inference, so that they are kept by id and by level.
    """

    def __init__(self, folder: str, content: ManifestContent) -> None:
        self.folder, self.content = folder, content
        self._by_id = {c["id"]: c for c in content["configurations"]}
        self._by_level: dict[int, list[Configuration]] = {}
        for configuration in content["configurations"]:
            self._by_level.setdefault(configuration["level"], []).append(configuration)

    def __repr__(self) -> str:
        n, networks = len(self._by_id), len(self.content["networks"])
        return f"Manifest({self.folder}: {n} configurations of {networks} networks)"

    @property
    def ids(self) -> list[str]:
        """The configurations, in the order of the file."""
        return list(self._by_id)

    def configuration(self, id_: str) -> Configuration:
        """What is known of a configuration; ManifestError: no such one."""
        try:
            return self._by_id[id_]
        except KeyError:
            known = f"it has {len(self._by_id)}, such as {', '.join(self.ids[:3])}"
            raise ManifestError(f"no configuration {id_!r} in {self.folder}: {known}") from None

    def at(self, level: int) -> list[Configuration]:
        """The configurations of one DVFS level, in the order of the file."""
        return self._by_level.get(level, [])

    def network(self, id_: str) -> NetworkEntry:
        """The network of a configuration: its exits, temperatures and segment files."""
        return self.content["networks"][self.configuration(id_)["network"]]

    def path(self, file: str) -> str:
        return os.path.join(self.folder, file)

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (N, C, H, W) as the networks take them: float32 of zero mean, unit std."""
        described = self.content["input"]
        if described["mean"] is None:
            raise ManifestError(
                f"{self.folder} does not say how images are normalised: its weights were imported; "
                "normalise them as their authors did"
            )
        n_channels, found = len(described["mean"]), tuple(np.shape(images))
        if len(found) != 4 or found[1] != n_channels or images.dtype != np.uint8:
            raise ManifestError(
                f"pixels must be uint8 of the shape (N, {n_channels}, height, width), got "
                f"{images.dtype} of {found}; channels come before height and width"
            )
        mean = np.asarray(described["mean"], np.float32).reshape(1, -1, 1, 1)
        std = np.asarray(described["std"], np.float32).reshape(1, -1, 1, 1)
        return ((images.astype(np.float32) / np.float32(255) - mean) / std).astype(np.float32)


def read_manifest(folder: str) -> Manifest:
    """Read `manifest.json` in `folder`, check what it says, compare every file with its checksum.

    ManifestError: no manifest, another schema, a value that cannot be, a file that is missing or
    was changed.
    """
    path = os.path.join(folder, "manifest.json")
    content = _read(path)
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise ManifestError(f"{path} has schema {found!r}, expected {SCHEMA!r}")
    try:
        check_manifest(content)
    except ManifestError as fault:
        raise ManifestError(f"{path}: {fault}") from None
    for name, described in content["files"].items():
        _check(os.path.join(folder, name), described["sha256"])
    return Manifest(folder, content)


def _read(path: str) -> Any:
    """The JSON of `path`; its size is looked at before it is parsed."""
    try:
        plain_size(path, MAX_BYTES)
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist; `nas export` writes one") from None
    except RecursionError:
        raise ManifestError(f"{path} is no readable manifest: it is nested too deep") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} is no readable manifest: {error}") from None


def _check(path: str, sha256: str) -> None:
    """Whether `path` is a file of the folder itself, with this checksum."""
    if os.path.islink(path):
        raise ManifestError(f"{path} is no file but a link; copy the exported folder itself")
    found = hashlib.sha256()
    try:
        plain_size(path, MAX_SEGMENT)
        with open(path, "rb") as file:
            for part in iter(lambda: file.read(1 << 20), b""):
                found.update(part)
    except OSError:
        raise ManifestError(f"{path} is missing; copy the whole exported folder") from None
    except ValueError as fault:
        raise ManifestError(f"{path} is none of an export: {fault}") from None
    if found.hexdigest() != sha256:
        raise ManifestError(f"{path} was changed since it was exported; copy it again")
