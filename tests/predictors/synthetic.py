"""A supernet that was never trained: responses of exits that get better with work and depth."""

from __future__ import annotations

import numpy as np

from predictors import AccuracyTable
from search_spaces import PolicyGrid, ResNetSpace

N_IMAGES = 400


def accuracy_table(
    space: ResNetSpace, n: int, *, thresholds: tuple[float, ...] | None = None, seed: int = 0
) -> AccuracyTable:
    """`n` subnets: an exit is right where its quality beats the image's difficulty.

    Quality saturates with the MACs up to the exit; confidence follows the margin with noise. The
    images are the same for all subnets, as in a real evaluation.
    """
    rng = np.random.default_rng(seed)
    grid = PolicyGrid(space.n_exits, *([thresholds] if thresholds else []))
    genes = np.unique(space.sample_spread(n, rng, repeats=True), axis=0)
    quality = exit_quality(space, genes)
    difficulty = rng.normal(0, 1, N_IMAGES)
    luck = rng.normal(0, 0.3, (N_IMAGES, space.n_exits + 1))
    error = np.empty((len(genes), len(grid)), dtype=np.float32)
    rate = np.empty((*error.shape, space.n_exits + 1), dtype=np.float32)
    for i, q in enumerate(quality):
        margin = q - difficulty[:, None] + luck
        confidence = 1 / (1 + np.exp(-1.5 * margin - 0.5))
        error[i], rate[i] = grid.response(confidence, margin > 0)
    return AccuracyTable(
        genes, grid, error, rate, "validation", N_IMAGES, "weights", sha256="table"
    )


def exit_quality(space: ResNetSpace, genes: np.ndarray) -> np.ndarray:
    """`(n, exits)` in standard deviations of the images' difficulty."""
    heads = np.eye(space.n_exits + 1, dtype=bool)
    macs = np.stack(
        [space.operators(genes, np.tile(h, (len(genes), 1))).macs.sum(axis=1) for h in heads], 1
    )
    largest = space.operators(space.largest, heads[-1:]).macs.sum()
    depth = np.arange(1, space.n_exits + 2) / (space.n_exits + 1)
    return 0.4 * np.log10(macs / largest) + 1.0 + 0.9 * depth
