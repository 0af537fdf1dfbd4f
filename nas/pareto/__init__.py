"""The result: one non-dominated set of configurations per DVFS level."""

from nas.pareto.fronts import (
    covers,
    farthest,
    hypervolume,
    knee,
    non_dominated,
    normalised,
    spread,
)
from nas.pareto.table import OBJECTIVES, SCHEMA, ParetoTable, read_pareto, searched_levels

__all__ = [
    "OBJECTIVES",
    "SCHEMA",
    "ParetoTable",
    "covers",
    "farthest",
    "hypervolume",
    "knee",
    "non_dominated",
    "normalised",
    "read_pareto",
    "searched_levels",
    "spread",
]
