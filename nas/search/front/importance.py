"""Which genes decide the values of the trials: trees fitted to the subnets that were searched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.pareto import OBJECTIVES
from search_spaces import Floats, Genes, Space

N_TREES = 64
MIN_SUBNETS = 50


def importance(
    space: Space, genes: Genes, values: Floats, objectives: Sequence[str] = OBJECTIVES
) -> dict[str, dict[str, float]]:
    """Share of every gene in the spread of every objective, the largest first; sums to 1.

    Decrease in variance at the splits of extremely randomised trees (Geurts et al., 2006), fitted
    to the logs of the costs `values` (n, objectives). Optuna's fANOVA ranks alike and takes seconds
    more. Empty for fewer than MIN_SUBNETS subnets; constant objectives are left out.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    if len(genes) < MIN_SUBNETS:
        return {}
    found: dict[str, dict[str, float]] = {}
    for name, column in zip(objectives, values.T, strict=True):
        if column.min() == column.max():
            continue
        trees = ExtraTreesRegressor(N_TREES, min_samples_leaf=3, random_state=0)
        target = np.log(column) if column.min() > 0 else column
        shares = trees.fit(space.full(genes), target).feature_importances_
        order = np.argsort(-shares, kind="stable")
        found[name] = {space.gene_names[i]: round(float(shares[i]), 3) for i in order}
    return found
