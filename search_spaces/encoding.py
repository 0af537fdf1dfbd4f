"""A population of programs as a feature matrix for cost predictors."""

from __future__ import annotations

import numpy as np

from search_spaces.arrays import Bools, Floats, Genes
from search_spaces.errors import InputError
from search_spaces.operators import Operators
from search_spaces.space import Space


def feature_names(space: Space) -> list[str]:
    """Names of the columns of `encode`: genes, heads, then work counted from the operators."""
    heads = [f"head{k}" for k in range(space.n_exits + 1)]
    work = ["mmacs", "moved_melements", "mparams", "n_kernels"]
    stages = [f"{w}_stage{s}" for w in ("mmacs", "n_kernels") for s in range(space.n_exits + 1)]
    return [*space.gene_names, *heads, *work, *stages, *space.details(space.smallest)]


def feature_blocks(space: Space) -> dict[str, tuple[int, ...]]:
    """Columns of `encode` that mean similar things: the groups of the space's details, or all."""
    names = feature_names(space)
    groups = [name.partition(":")[0] if ":" in name else "" for name in names]
    wanted = [g for g in dict.fromkeys(groups) if g] or [""]
    return {g or "all": tuple(i for i, x in enumerate(groups) if x == g) for g in wanted}


def encode(space: Space, genes: Genes, heads: Bools, operators: Operators | None = None) -> Floats:
    """Features `(n, features)` of the programs `heads` of canonical `genes`, row by row.

    `heads` is `(n, n_exits + 1)` or one row for all. A program stops at its deepest exit, so genes
    behind it are set to 0: programs that compute the same have the same features. `operators` are
    those of the same programs, where they are known already.
    """
    genes, heads = np.asarray(genes), np.asarray(heads, dtype=bool)
    if genes.ndim != 2 or genes.shape[1] != len(space.choices):
        raise InputError(f"`genes` must be (n, {len(space.choices)}), got {genes.shape}")
    if heads.shape[-1:] != (space.n_exits + 1,):
        raise InputError(f"`heads` must be (n, {space.n_exits + 1}) or a row, got {heads.shape}")
    heads = np.broadcast_to(heads, (len(genes), space.n_exits + 1))
    operators = space.operators(genes, heads) if operators is None else operators
    stage = np.array(operators.stages)
    per_stage = [
        work[:, stage == s].sum(axis=1)
        / scale  # integers first: no order of summation to differ in
        for work, scale in ((operators.macs, 1e6), (operators.present, 1))
        for s in range(space.n_exits + 1)
    ]
    totals = [
        operators.macs.sum(axis=1) / 1e6,
        operators.elements_moved.sum(axis=1) / 1e6,
        operators.params.sum(axis=1) / 1e6,
        operators.present.sum(axis=1),
    ]
    used = genes * space.used_genes(heads)
    details = space.details(genes).values()
    return np.column_stack([used, heads, *totals, *per_stage, *details]).astype(np.float64)
