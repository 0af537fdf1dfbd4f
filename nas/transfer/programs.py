"""Programs of subnets, with what cost models ask of them counted once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from predictors import genes_and_heads
from search_spaces import Bools, Floats, Genes, Ints, Operators, Space, encode


@dataclass(frozen=True)
class Programs:
    """`n` programs of `space`, row by row: canonical `genes` (n, g) with `heads` (n, E + 1).

    A proxy, a law and an analytic model that look at the same programs share what was counted.
    """

    space: Space
    genes: Genes
    heads: Bools

    @classmethod
    def of_rows(cls, rows: pd.DataFrame, space: Space) -> Self:
        """The programs of measured or planned rows."""
        return cls(space, *genes_and_heads(rows, space))

    @classmethod
    def of_each(cls, space: Space, genes: Genes, programs: Bools) -> Self:
        """Every row of `programs` (p, E + 1) of the first subnet, then of the next."""
        rows = np.repeat(genes, len(programs), axis=0)
        return cls(space, rows, np.tile(programs, (len(genes), 1)))

    def __len__(self) -> int:
        return len(self.genes)

    @cached_property
    def operators(self) -> Operators:
        """What every program runs."""
        return self.space.operators(self.genes, self.heads)

    @cached_property
    def features(self) -> Floats:
        """What predictors see, `(n, features)`."""
        return encode(self.space, self.genes, self.heads, self.operators)

    @cached_property
    def kernels(self) -> Ints:
        """Kernels that every program starts `(n,)`: its operators, as a compiler fuses them."""
        n_kernels: Ints = self.operators.present.sum(axis=1)
        return n_kernels
