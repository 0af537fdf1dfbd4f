"""What a sampler of batches chooses from: the genes of a space, or any study's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import BaseTrial

from search_spaces import Floats, Genes, Space, encode, feature_names


class Domain(Protocol):
    """Points are int arrays `(n, genes)`, equal where they mean the same."""

    @property
    def distributions(self) -> dict[str, BaseDistribution]: ...

    @property
    def choices(self) -> Sequence[Sequence[int]]:
        """The values of every gene."""
        ...

    @property
    def blocks(self) -> list[list[int]]:
        """Columns of `features` that mean similar things."""
        ...

    def canonical(self, genes: Genes) -> Genes: ...

    def full(self, genes: Genes) -> Genes:
        """`genes` with a choice in every entry, for crossover."""
        ...

    def spread(self, n: int, rng: np.random.Generator) -> Genes:
        """`n` points to start from."""
        ...

    def features(self, genes: Genes) -> Floats:
        """What a model sees, `(n, features)`, about of unit variance."""
        ...

    def params(self, genes: Genes) -> list[dict[str, Any]]:
        """Parameters of trials."""
        ...

    def genes(self, trials: Sequence[BaseTrial]) -> Genes:
        """The points of trials."""
        ...


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """One named categorical parameter per gene."""
    pairs = zip(space.gene_names, space.choices, strict=True)
    return {name: CategoricalDistribution(choices) for name, choices in pairs}


def trial_params(space: Space, genes: Genes) -> list[dict[str, int]]:
    """Parameters of trials: genes of skipped blocks are recorded at their first choice."""
    names = space.gene_names
    return [dict(zip(names, row, strict=True)) for row in space.full(genes).tolist()]


def trial_genes(space: Space, trials: Sequence[BaseTrial]) -> Genes:
    """Canonical genes `(n, genes)` of trials."""
    rows = [[t.params[name] for name in space.gene_names] for t in trials]
    return space.canonical(np.array(rows, dtype=np.int64).reshape(len(rows), len(space.choices)))


class SpaceDomain:
    """The genes of a search space; models see the network behind them."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.distributions, self.choices = distributions(space), space.choices

    @cached_property
    def _columns(self) -> dict[str, list[int]]:
        """Columns of `encode` by what they mean; genes that are labels have details instead."""
        details = set(self.space.details(self.space.smallest))
        columns: dict[str, list[int]] = {}
        for i, name in enumerate(feature_names(self.space)):
            if name in self.space.gene_names:
                kind = "" if details else name.rstrip("0123456789")
            elif name in details:
                kind = name.partition(":")[0]
            else:
                kind = "" if name.startswith("head") else "work"
            if kind:
                columns.setdefault(kind, []).append(i)
        return columns

    @cached_property
    def _scale(self) -> tuple[Floats, Floats]:
        sample = self._raw(self.spread(2000, np.random.default_rng(0)))
        spread = sample.std(axis=0)
        return sample.mean(axis=0), np.where(spread > 0, spread, 1)

    @cached_property
    def blocks(self) -> list[list[int]]:
        ends = np.cumsum([len(c) for c in self._columns.values()])
        sizes = [len(c) for c in self._columns.values()]
        return [list(range(e - n, e)) for e, n in zip(ends.tolist(), sizes, strict=True)]

    def canonical(self, genes: Genes) -> Genes:
        return self.space.canonical(genes)

    def full(self, genes: Genes) -> Genes:
        return self.space.full(genes)

    def spread(self, n: int, rng: np.random.Generator) -> Genes:
        return self.space.sample_spread(n, rng, repeats=True)

    def features(self, genes: Genes) -> Floats:
        mean, spread = self._scale
        return (self._raw(genes) - mean) / spread

    def _raw(self, genes: Genes) -> Floats:
        """Counts matter by their ratio, so they enter as log(1 + x)."""
        heads = np.ones((1, self.space.n_exits + 1), dtype=bool)
        columns = [i for kind in self._columns.values() for i in kind]
        return np.log1p(encode(self.space, genes, heads)[:, columns])

    def params(self, genes: Genes) -> list[dict[str, Any]]:
        return trial_params(self.space, genes)

    def genes(self, trials: Sequence[BaseTrial]) -> Genes:
        return trial_genes(self.space, trials)


@dataclass(frozen=True)
class ParameterDomain:
    """Categorical and integer parameters of a study; genes are indices of their values."""

    distributions: dict[str, BaseDistribution]

    @classmethod
    def of(cls, found: Mapping[str, BaseDistribution]) -> ParameterDomain:
        """The parameters of `found` that have countably many values."""
        kinds = (CategoricalDistribution, IntDistribution)
        named = sorted(found.items())
        return cls({n: d for n, d in named if isinstance(d, kinds) and not d.single()})

    @property
    def choices(self) -> Sequence[Sequence[int]]:
        return [range(len(self._values(d))) for d in self.distributions.values()]

    @cached_property
    def blocks(self) -> list[list[int]]:
        ends = np.cumsum([self._width(d) for d in self.distributions.values()]).tolist()
        widths = [self._width(d) for d in self.distributions.values()]
        return [list(range(e - n, e)) for e, n in zip(ends, widths, strict=True)]

    def canonical(self, genes: Genes) -> Genes:
        return genes

    def full(self, genes: Genes) -> Genes:
        return genes

    def spread(self, n: int, rng: np.random.Generator) -> Genes:
        return np.column_stack([rng.integers(len(c), size=n) for c in self.choices])

    def features(self, genes: Genes) -> Floats:
        """One column per category; integers as one column from -1 to 1."""
        columns: list[Floats] = []
        for column, distribution in zip(genes.T, self.distributions.values(), strict=True):
            values = self._values(distribution)
            if isinstance(distribution, IntDistribution):
                scale = np.log if distribution.log else float
                ends = scale(values[0]), scale(values[-1])
                place = np.array([scale(values[i]) for i in column])
                columns.append((2 * (place - ends[0]) / (ends[1] - ends[0]) - 1)[:, None])
            else:
                columns.append((np.eye(len(values))[column] - 1 / len(values)) * 2)
        return np.concatenate(columns, axis=1)

    def params(self, genes: Genes) -> list[dict[str, Any]]:
        values = [self._values(d) for d in self.distributions.values()]
        return [
            {n: v[i] for n, v, i in zip(self.distributions, values, row, strict=True)}
            for row in genes.tolist()
        ]

    def genes(self, trials: Sequence[BaseTrial]) -> Genes:
        columns = [
            [self._index(d, t.params[n]) for t in trials] for n, d in self.distributions.items()
        ]
        return np.array(columns, dtype=np.int64).reshape(len(columns), len(trials)).T

    @staticmethod
    def _values(distribution: BaseDistribution) -> Sequence[Any]:
        if isinstance(distribution, IntDistribution):
            return range(distribution.low, distribution.high + 1, distribution.step)
        assert isinstance(distribution, CategoricalDistribution)
        return distribution.choices

    def _width(self, distribution: BaseDistribution) -> int:
        return 1 if isinstance(distribution, IntDistribution) else len(self._values(distribution))

    def _index(self, distribution: BaseDistribution, value: Any) -> int:
        index = distribution.to_internal_repr(value)
        if isinstance(distribution, IntDistribution):
            return int(index - distribution.low) // distribution.step
        return int(index)
