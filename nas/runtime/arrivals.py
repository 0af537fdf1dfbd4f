"""Frames as they arrive: periodic, in bursts, or from a file; each holds some images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .files import plain_size
from .manifest import ManifestError

MAX_BYTES = 1 << 25  # two million arrivals
MAX_IMAGES = 10**8


class Frames(NamedTuple):
    """F frames in order of arrival, and which image each of their images is."""

    at_ms: np.ndarray  # (F,)
    n: np.ndarray  # (F,) images
    images: list[np.ndarray]  # F arrays (n,), rows of the exit traces

    def __len__(self) -> int:
        return len(self.at_ms)


def periodic(seconds: float, period_ms: float) -> np.ndarray:
    """Arrivals every `period_ms`, the first one after one period."""
    return np.arange(period_ms, seconds * 1e3, period_ms)


def bursts(
    at_ms: np.ndarray, n_images: int, rng: np.random.Generator, calm_ms: float, busy_ms: float
) -> np.ndarray:
    """Images of each frame from a two-state source: calm 1 to n - 1, busy 1.5 n to 2.5 n.

    Both states last exponentially long, with these means; at two to one the mean is n.
    """
    calm, burst = (1, max(n_images, 2)), (round(1.5 * n_images), round(2.5 * n_images) + 1)
    sizes, busy, until = [], True, 0.0
    for at in at_ms:
        while at >= until:
            busy = not busy
            until += rng.exponential(busy_ms if busy else calm_ms)
        sizes.append(int(rng.integers(*(burst if busy else calm))))
    return np.array(sizes, dtype=int)


def read_arrivals(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Lines `milliseconds, images` as arrays; ManifestError where times go back."""
    try:
        plain_size(path, MAX_BYTES)
        with open(path, encoding="utf-8") as file:
            rows = [line.split(",") for line in file if line.strip() and line[0] != "#"]
        at_ms = np.array([float(row[0]) for row in rows])
        n = np.array([int(row[1]) if len(row) > 1 else 1 for row in rows])
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, OverflowError) as error:
        raise ManifestError(
            f"{path} is no trace of arrivals ({error}); expected `ms,images` lines"
        ) from None
    if not np.isfinite(at_ms).all() or (at_ms < 0).any():
        raise ManifestError(f"{path}: times must be 0 or more and finite, in milliseconds")
    back = np.flatnonzero(np.diff(at_ms) < 0)
    if len(back):
        i = int(back[0])
        raise ManifestError(
            f"{path}: times go back from {at_ms[i]:g} to {at_ms[i + 1]:g} ms at arrival {i + 2}; "
            "sort the lines"
        )
    if not len(at_ms) or n.min() < 1:
        raise ManifestError(f"{path} needs at least one arrival, each with at least one image")
    if n.sum() > MAX_IMAGES:
        raise ManifestError(f"{path} has {n.sum()} images, more than {MAX_IMAGES}")
    return at_ms, n


def drawn(at_ms: np.ndarray, n: np.ndarray, n_images: int, rng: np.random.Generator) -> Frames:
    """Frames whose images are drawn, whole, from `n_images` of the traces."""
    return Frames(at_ms, n, [rng.integers(0, n_images, k) for k in n])
