"""The weights of a network, cut out of the supernet's when it is prepared.

An exported folder holds the supernet's weights once. `slices.json.gz` says of every graph how each
of its weights comes from them: a slice of a tensor, filters made smaller by matrices, the batch
norm that is folded in with the statistics of the network's subnet.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import numpy as np

from .checks import ManifestError
from .files import plain_size
from .records import SharedEntry
from .tensors import read_tensors

SCHEMA = "nas.slices/1"
MAX_BYTES = 1 << 25


class SharedWeights:
    """What the graphs of a folder take their weights from; nothing is read before it is asked."""

    def __init__(self, folder: str, described: SharedEntry, precision: str = "fp32") -> None:
        self.path = f"{folder}/{described['slices']}"
        self.tensors = read_tensors(f"{folder}/{described['weights']}")
        self.statistics = read_tensors(f"{folder}/{described['statistics']}")
        self.dtype = np.float16 if precision == "fp16" else np.float32
        try:
            plain_size(self.path, MAX_BYTES)
            # folders of earlier versions have it as it is
            with (gzip.open if self.path.endswith(".gz") else open)(self.path, "rb") as file:
                content = json.loads(file.read(MAX_BYTES).decode())
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is {content['schema']!r}, expected {SCHEMA!r}")
            self.eps = np.float32(content["eps"])
            self.graphs: dict[str, dict[str, Any]] = dict(content["graphs"])
            self.inside: dict[str, str] = dict(content.get("statistics", {}))
        except (OSError, EOFError, zlib.error, ArithmeticError, ValueError, TypeError, KeyError,
                AttributeError, RecursionError) as error:  # fmt: skip
            raise ManifestError(f"{self.path} is no readable list of slices: {error}") from None

    def __contains__(self, graph: str) -> bool:
        """Whether `graph` has its weights outside."""
        return graph in self.graphs

    def of(self, graph: str, subnet: str) -> dict[str, np.ndarray]:
        """The weights of a graph file by name, contiguous.

        ManifestError: a slice that the tensors do not have.
        """
        try:
            mean, var = self.statistics.get(self.inside.get(subnet, subnet), (None, None))
            return {
                name: np.ascontiguousarray(self._weight(part, mean, var), dtype=self.dtype)
                for name, part in self.graphs[graph].items()
            }
        except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
            raise ManifestError(
                f"{self.path}: the weights of {graph} cannot be cut ({type(error).__name__} "
                f"{str(error)[:80]}); copy the whole exported folder"
            ) from None

    def _weight(self, part: dict[str, Any], mean: Any, var: Any) -> np.ndarray:
        """One weight, float32 as in torch: the order of the operations is the same."""
        weight = self._picked(part["tensor"], part.get("picks", []))
        for matrix in part.get("through", []):
            weight = smaller(weight, self._picked(matrix, []))
        if part.get("flat"):
            weight = weight.reshape(len(weight), -1)
        if "norm" not in part:
            return weight
        norm, seen = part["norm"], slice(part["at"], part["at"] + len(weight))
        gamma = self._picked(norm + ".weight", part["picks"][:1])
        scale = 1 / np.sqrt(var[seen] + self.eps)
        if part["tensor"] == norm + ".bias":
            bias: np.ndarray = weight - mean[seen] * scale * gamma
            return bias
        folded: np.ndarray = weight * (gamma * scale).reshape(-1, *[1] * (weight.ndim - 1))
        return folded

    def _picked(self, name: str, picks: list[Any]) -> np.ndarray:
        """A tensor at the first so many, or at the listed, entries of its first dimensions."""
        array = self.tensors[name]
        for dim, pick in enumerate(picks):
            if isinstance(pick, list):
                array = array.take(pick, axis=dim)
            elif pick is not None:
                if not 0 < pick <= array.shape[dim]:
                    raise ValueError(f"{name} has no {pick} in dimension {dim}")
                array = array[(slice(None),) * dim + (slice(pick),)]
        return array.astype(np.float32)


def smaller(weight: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Filters (C, 1, K, K) as (C, 1, k, k): their centres, flattened, times a matrix (k^2, k^2)."""
    k = math.isqrt(len(matrix))
    begin = (weight.shape[-1] - k) // 2
    centre = weight[:, :, begin : begin + k, begin : begin + k].reshape(len(weight), k * k)
    made: np.ndarray = (centre @ matrix.T).reshape(len(weight), 1, k, k)
    return made
