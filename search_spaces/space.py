"""What every search space shares: genes, their canonical form, strings, sampling, enumeration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from search_spaces.arrays import Bools, Floats, Genes
from search_spaces.errors import InputError
from search_spaces.operators import Operators
from search_spaces.subnet import Subnet

N_REDRAWS = 20  # of repeats in a sample; a small space may have too few subnets


@dataclass(frozen=True)
class GeneGroup:
    """Genes that share a meaning: `letter` in strings, `name` in files, `choices` of each slot."""

    letter: str
    name: str
    choices: tuple[tuple[int, ...], ...]


class Space(ABC):
    """A finite set of architectures.

    A population is an int array `(n, genes)` that holds the chosen *values* (channels, percent,
    blocks), not their indices. A concrete space gives `groups`, says which genes are `active`, and
    lists its `operators`. Exits are numbered by depth; exit `n_exits` is the final classifier.
    """

    name: str
    groups: tuple[GeneGroup, ...]
    n_classes: int
    n_exits: int = 0
    measured_alone: bool = False  # no analytic model has a figure for its operators

    @property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """The allowed values of every gene."""
        return tuple(c for group in self.groups for c in group.choices)

    @property
    def gene_names(self) -> tuple[str, ...]:
        return tuple(f"{g.name}{i}" for g in self.groups for i in range(len(g.choices)))

    def named_choices(self) -> dict[str, tuple[int, ...]]:
        """Gene name -> allowed values, in gene order."""
        return dict(zip(self.gene_names, self.choices, strict=True))

    def active(self, genes: Genes) -> Bools:
        """Which genes count, `(n, genes)`; the others belong to skipped blocks."""
        return np.ones(genes.shape, dtype=bool)

    def used_genes(self, heads: Bools) -> Bools:
        """Which genes the programs `heads` (n, n_exits + 1) depend on, `(n, genes)`."""
        return np.ones((len(heads), len(self.choices)), dtype=bool)

    def details(self, genes: Genes) -> dict[str, Floats]:
        """More columns (n,) for `encode`, named GROUP:NAME, where genes are labels, not sizes."""
        del genes
        return {}

    @abstractmethod
    def operators(self, genes: Genes, heads: Bools) -> Operators:
        """The operators of the programs `heads` (n, n_exits + 1) of canonical `genes`."""

    @abstractmethod
    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        """Channels, height and width of the image that `subnet` takes."""

    def to_dict(self) -> dict[str, Any]:
        """What `space_from_dict` needs to build this space again."""
        return {"name": self.name}

    # ---- populations ---------------------------------------------------------------------------

    def canonical(self, genes: ArrayLike) -> Genes:
        """`genes` with the entries of skipped blocks set to 0, so that equal networks are equal."""
        genes = np.atleast_2d(np.asarray(genes, dtype=np.int64))
        return np.where(self.active(genes), genes, 0)

    def sample(self, n: int, rng: np.random.Generator) -> Genes:
        """`n` canonical subnets; every gene is drawn uniformly from its choices."""
        columns = [rng.choice(np.asarray(c), n) for c in self.choices]
        return self.canonical(np.stack(columns, axis=1))

    def sample_spread(self, n: int, rng: np.random.Generator, *, repeats: bool = False) -> Genes:
        """`n` canonical subnets from small to large, for measuring.

        Uniform genes crowd around the middle; here every subnet draws a size q in [0, 1] first and
        each gene's choice index is binomial(q). The largest and the smallest are always in.
        A subnet that is drawn twice is replaced, where the space has enough, but for `repeats`.
        """
        genes = self._draw_spread(n, rng)
        genes[:1], genes[1:2] = self.largest, self.smallest[: max(0, n - 1)]
        for _ in range(0 if repeats else N_REDRAWS):
            first = np.unique(genes, axis=0, return_index=True)[1]
            again = np.setdiff1d(np.arange(n), first)
            genes[again] = self._draw_spread(len(again), rng)
        return genes

    def _draw_spread(self, n: int, rng: np.random.Generator) -> Genes:
        size = rng.random((n, 1))
        top = np.array([len(c) - 1 for c in self.choices])
        index = rng.binomial(top, np.broadcast_to(size, (n, len(top))))
        columns = [np.asarray(sorted(c))[index[:, i]] for i, c in enumerate(self.choices)]
        return self.canonical(np.stack(columns, axis=1))

    def full(self, genes: Genes) -> Genes:
        """`genes` with skipped entries at their first choice, so that every value is a choice."""
        first = np.array([c[0] for c in self.choices])
        return np.where(self.active(genes), genes, first)

    def enumerate(self) -> Genes:
        """Every canonical subnet, for small spaces: refuses more than 5 million combinations."""
        n = int(np.prod([len(c) for c in self.choices], dtype=float))
        if n > 5_000_000:
            raise InputError(f"{self.name} has {n} gene combinations, too many to enumerate")
        return np.unique(self.canonical(np.array(list(product(*self.choices)))), axis=0)

    @property
    def largest(self) -> Genes:
        """The subnet with every gene at its largest, `(1, genes)`."""
        return self.canonical([max(c) for c in self.choices])

    @property
    def smallest(self) -> Genes:
        """The subnet with every gene at its smallest, `(1, genes)`."""
        return self.canonical([min(c) for c in self.choices])

    # ---- values and strings --------------------------------------------------------------------

    def check(self, genes: ArrayLike) -> Genes:
        """`genes` as a canonical population; InputError names the first value that is no choice."""
        genes = np.atleast_2d(_whole(genes))
        if genes.shape[1:] != (len(self.choices),):
            found = genes.shape[1] if genes.ndim == 2 else f"shape {genes.shape}"
            raise InputError(f"a subnet of {self.name} has {len(self.choices)} genes, got {found}")
        active = self.active(genes)
        for i, choices in enumerate(self.choices):
            bad = active[:, i] & ~(genes[:, i, None] == np.array(choices)).any(axis=1)
            if bad.any():
                value = genes[bad.argmax(), i]
                raise InputError(
                    f"{self._shown(i)} of {self.name} must be one of {choices}, got {value}"
                )
        return self.canonical(genes)

    def _shown(self, gene: int) -> str:
        """A gene's name for a person: without a number where it is the only one of its kind."""
        name = self.gene_names[gene]
        alone = [group.name for group in self.groups if len(group.choices) == 1]
        return name[:-1] if name[:-1] in alone else name

    def subnet(self, genes: ArrayLike) -> Subnet:
        """The Subnet of one row of genes."""
        rows = self.check(genes)
        if len(rows) != 1:
            raise InputError(f"one row of genes makes a subnet, got {len(rows)}; see `subnets`")
        row = iter(rows[0].tolist())
        return Subnet(tuple((g.letter, tuple(next(row) for _ in g.choices)) for g in self.groups))

    def subnets(self, genes: Genes) -> list[Subnet]:
        """The Subnets of a canonical population."""
        ends = np.cumsum([len(g.choices) for g in self.groups]).tolist()
        spans = [(g.letter, e - len(g.choices), e) for g, e in zip(self.groups, ends, strict=True)]
        return [Subnet(tuple((c, tuple(row[a:b])) for c, a, b in spans)) for row in genes.tolist()]

    def genes(self, subnets: Iterable[Subnet]) -> Genes:
        """The canonical population `(n, genes)` of some subnets."""
        rows = [[v for _, values in s.groups for v in values] for s in subnets]
        n = len(self.choices)
        if other := next((row for row in rows if len(row) != n), None):
            raise InputError(f"a subnet of {self.name} has {n} genes, got {len(other)}")
        return self.check(np.array(rows, dtype=np.int64).reshape(len(rows), n))

    def parse(self, text: str) -> Subnet:
        """The subnet that `str` wrote; InputError says what is wrong with `text`."""
        parts = [(p[:1], p[1:].split(".")) for p in text.strip().split("-")]
        shape = [(letter, len(values)) for letter, values in parts]
        if shape != [(g.letter, len(g.choices)) for g in self.groups]:
            raise InputError(f"{text!r} is no subnet of {self.name}: expected {self.example!r}")
        try:
            row = np.array([int(v) for _, values in parts for v in values], dtype=np.int64)
        except (ValueError, OverflowError):
            raise InputError(
                f"{text!r} is no subnet of {self.name}: expected {self.example!r}"
            ) from None
        return self.subnet(row)

    def parse_all(self, texts: Sequence[str]) -> Genes:
        """The canonical population of many strings; repeated strings are parsed once."""
        unique = {t: i for i, t in enumerate(dict.fromkeys(texts))}
        rows = self.genes([self.parse(t) for t in unique])
        return rows[[unique[t] for t in texts]]

    @property
    def example(self) -> str:
        return str(self.subnet(self.largest))


def _whole(genes: ArrayLike) -> Genes:
    """As int64; InputError for what is no whole number, as 16.5 or a text."""
    found = np.asarray(genes)
    whole = found.dtype.kind in "iu" or not found.size
    if not whole and found.dtype.kind == "f":
        whole = bool((found % 1 == 0).all())  # not of NaN
    if not whole:
        raise InputError(f"genes must be whole numbers, got {str(genes)[:80]!r}")
    return found.astype(np.int64)
