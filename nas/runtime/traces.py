"""Exit traces: confidence and correctness of every exit for real images, one row per image.

A file is an `.npz` of plain arrays (`nas.traces/1`): what a simulation draws whole images from, so
that an image that is hard for one network is hard for the next one too.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any, NamedTuple

import numpy as np

from .files import plain_size, write_whole
from .manifest import ManifestError

SCHEMA = "nas.traces/1"
MAX_BYTES = 1 << 28  # unpacked; 50 subnets with 10,000 images have 10 MB


class Traces(NamedTuple):
    """S subnets, N images, E exits (the final classifier last)."""

    about: dict[str, Any]  # supernet_sha256, dataset, split, n_images, source
    subnets: list[str]
    confidence: np.ndarray  # (S, N, E) float32, calibrated
    correct: np.ndarray  # (S, N, E) bool

    def leave(self, subnet: str, exits: list[int], thresholds: list[float]) -> Any:
        """Which of `exits` (0 for the first asked) answers each image (N,), and whether rightly."""
        if subnet not in self.subnets:
            raise ManifestError(
                f"the traces have no images of {subnet}; run `nas export --traces` on this table"
            )
        row = self.subnets.index(subnet)
        sure = self.confidence[row][:, exits].astype(np.float64) >= [*thresholds, -np.inf]
        at = sure.argmax(axis=1)
        return at, self.correct[row][np.arange(len(at)), np.asarray(exits)[at]]


def write_traces(path: str, traces: Traces) -> str:
    """Write aside and rename; returns the checksum of the arrays, which the file holds too."""
    confidence = traces.confidence.astype(np.float32)
    sha256 = _sha256(confidence, traces.correct)
    about = {**traces.about, "schema": SCHEMA, "subnets": traces.subnets, "sha256": sha256}
    data = io.BytesIO()
    np.savez_compressed(
        data, about=np.array(json.dumps(about)), confidence=confidence, correct=traces.correct
    )
    write_whole(path, data.getvalue())
    return sha256


def read_traces(path: str) -> Traces:
    """ManifestError: not there, another schema, arrays that were changed."""
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as found:
            about = json.loads(str(found["about"]))
            confidence, correct = found["confidence"], found["correct"]
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist; `nas export --traces` writes one") from None
    except Exception as error:  # the file can be wrong in any way: zip, zlib, arrays, JSON
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ManifestError(f"{path} is no readable file of exit traces: {reason}") from None
    if not isinstance(about, dict):
        raise ManifestError(f"{path} is no readable file of exit traces: {str(about)[:40]}")
    if about.get("schema") != SCHEMA:
        raise ManifestError(f"{path} has schema {about.get('schema')!r}, expected {SCHEMA!r}")
    if about.get("sha256") != _sha256(confidence, correct):
        raise ManifestError(f"{path} was changed since it was written; export it again")
    return Traces(about, list(about["subnets"]), confidence, correct)


def _check_size(path: str) -> None:
    """ValueError before anything too large is unpacked."""
    plain_size(path, MAX_BYTES)
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MAX_BYTES:
        raise ValueError(f"it holds {size} bytes, over {MAX_BYTES >> 20} MiB")


def _sha256(confidence: np.ndarray, correct: np.ndarray) -> str:
    data = np.ascontiguousarray(confidence).tobytes() + np.ascontiguousarray(correct).tobytes()
    return hashlib.sha256(data).hexdigest()
