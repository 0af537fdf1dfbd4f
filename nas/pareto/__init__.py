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
from nas.pareto.provenance import is_predicted
from nas.pareto.read import read_pareto
from nas.pareto.records import (
    Baseline,
    Exits,
    Level,
    Objective,
    ParetoContent,
    Point,
)
from nas.pareto.table import OBJECTIVES, SCHEMA, WITHIN, ParetoTable

__all__ = [
    "OBJECTIVES",
    "SCHEMA",
    "WITHIN",
    "Baseline",
    "Exits",
    "Level",
    "Objective",
    "ParetoContent",
    "ParetoTable",
    "Point",
    "covers",
    "farthest",
    "hypervolume",
    "is_predicted",
    "knee",
    "non_dominated",
    "normalised",
    "read_pareto",
    "spread",
]
