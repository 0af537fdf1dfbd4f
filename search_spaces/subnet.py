"""One architecture as a frozen value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Subnet:
    """One canonical architecture; hashable, so it keys caches and measurement tables.

    `groups` pairs a letter with its values in slot order, for example
    `(("d", (2, 1)), ("w", (16, 24)), ("e", (100, 50, 75, 0)))`; entries of skipped blocks are 0.
    Make one through a space (`space.subnet(genes)`, `space.parse(text)`), which checks the values.
    """

    groups: tuple[tuple[str, tuple[int, ...]], ...]

    __iter__ = None  # not a list of genes: a space takes lists of subnets

    def __getitem__(self, letter: str) -> tuple[int, ...]:
        """The values of one group of genes."""
        return dict(self.groups)[letter]

    def __str__(self) -> str:
        """The reversible canonical string, `d2.1-w16.24-e100.50.75.0`."""
        return "-".join(letter + ".".join(map(str, values)) for letter, values in self.groups)

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that name this subnet in files and logs."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:8]

    def to_dict(self) -> dict[str, list[int]]:
        return {letter: list(values) for letter, values in self.groups}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[int]]) -> Subnet:
        return cls(tuple((letter, tuple(map(int, v))) for letter, v in values.items()))
