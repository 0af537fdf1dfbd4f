"""Progressive shrinking: smaller subnets enter training one dimension after the other."""

from __future__ import annotations

import numpy as np

from search_spaces import Genes, Space


def open_dimensions(space: Space, genes: Genes, progress: float) -> Genes:
    """`genes` with every dimension that is still closed at its largest value.

    At first only the largest subnet trains; the gene groups then open in their order, each for an
    equal share of training (once-for-all, Cai et al., 2020, arXiv:1908.09791, section 3.3).
    `progress` is in [0, 1].
    """
    n_open = int(progress * (len(space.groups) + 1))
    is_open = [i < n_open for i, group in enumerate(space.groups) for _ in group.choices]
    return space.canonical(np.where(is_open, space.full(genes), space.largest))
