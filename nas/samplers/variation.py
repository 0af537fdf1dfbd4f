"""Variation: children of chosen parents by uniform crossover and mutation (Syswerda, 1989)."""

from __future__ import annotations

import numpy as np

from nas.samplers.domain import Domain
from search_spaces import Genes, Ints


def offspring(
    domain: Domain,
    parents: Genes,
    pairs: Ints,
    rng: np.random.Generator,
    *,
    n_mutations: float = 1,
    some_alone: bool = False,
) -> Genes:
    """One canonical child `(n, genes)` of every pair of rows of `parents` in `pairs` (2, n).

    Every gene comes from either parent, as likely from one as from the other; with `some_alone`
    half of the children take all genes from their second parent. Then genes are drawn again,
    `n_mutations` of them per child on average.
    """
    full = domain.full(parents)
    first, second = full[pairs[0]], full[pairs[1]]
    chance = rng.random(first.shape)
    share = rng.choice([0, 0.5], size=(len(first), 1)) if some_alone else 0.5
    children: Genes = np.where(chance < share, first, second)
    return domain.canonical(_mutate(domain, children, n_mutations / children.shape[1], rng))


def _mutate(domain: Domain, genes: Genes, rate: float, rng: np.random.Generator) -> Genes:
    """`genes` with every entry drawn again with probability `rate`."""
    redrawn = rng.random(genes.shape) < rate
    columns = [
        np.where(redrawn[:, i], np.asarray(choices)[rng.integers(len(choices), size=len(genes))], g)
        for i, (g, choices) in enumerate(zip(genes.T, domain.choices, strict=True))
    ]
    return np.stack(columns, axis=1)
