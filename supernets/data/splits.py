"""Which images are held out, how even the classes are, and an order of training that evens them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_spaces import Ints
from supernets.data.dataset import Dataset

HELD_OUT = 0.1  # share of the training images that a missing split draws
Indices = Ints


def stratified(labels: Indices, n_parts: int, rng: np.random.Generator) -> list[Indices]:
    """`n_parts` index arrays with HELD_OUT of every class each, and one with all the others.

    The last part, the one to train on, keeps at least one image of every class; the parts before it
    get at least one each, the first ones first, of what it can spare. Every part is shuffled.
    """
    parts: list[list[Indices]] = [[] for _ in range(n_parts + 1)]
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        n = max(1, round(HELD_OUT * len(of_class)))
        for part in parts[:n_parts]:
            taken, of_class = np.split(of_class, [min(n, len(of_class) - 1)])
            part.append(taken)
        parts[-1].append(of_class)
    return [rng.permutation(np.concatenate(part)) for part in parts]


def imbalance(counts: Sequence[int] | Indices) -> float:
    """Images of the largest class for one of the smallest (which is taken to have one)."""
    return float(np.max(counts) / max(1, np.min(counts)))


def epoch_order(data: Dataset, rng: np.random.Generator, *, balance: bool = False) -> Indices:
    """Indices of one epoch of training images, in random order.

    With `balance` every class is drawn equally often: of a large class a random part is left out, a
    small one is gone through several times.
    """
    n = len(data.train)
    if not balance:
        return rng.permutation(n)
    labels = data.train.labels.numpy()
    present = np.unique(labels)  # of few images a class may have none
    share, rest = divmod(n, len(present))
    n_draws = share + (rng.permutation(len(present)) < rest)
    drawn = []
    for label, wanted in zip(present, n_draws, strict=True):
        of_class = np.flatnonzero(labels == label)
        rounds = [rng.permutation(of_class) for _ in range(-(-wanted // len(of_class)))]
        drawn.append(np.concatenate(rounds)[:wanted])
    return rng.permutation(np.concatenate(drawn))
