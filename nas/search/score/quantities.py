"""The quantities of a configuration: each can be an objective, and each can be bounded.

A further objective is one more entry here, with a field of `Scores` and one of `Point`: archive,
progress, shared set, study and result take any list of quantities for their objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.pareto import OBJECTIVES, Objective
from search_spaces import InputError


@dataclass(frozen=True)
class Quantity:
    """A cost of a configuration; lower is better."""

    name: Objective  # field of a point in `pareto.json`
    unit: str
    scores: str  # field of `Scores`: (n, P, L), or (n, P) where no clock matters
    bound: str  # field of `Bounds`
    words: str  # unit in a sentence


QUANTITIES = (
    Quantity("top1_error_pct", "percent", "error_pct", "max_error_pct", "% error"),
    Quantity("latency_ms", "ms", "latency_ms", "max_latency_ms", "ms"),
    Quantity("latency_worst_ms", "ms", "worst_ms", "max_worst_latency_ms", "ms worst case"),
    Quantity("energy_mj", "mJ", "energy_mj", "max_energy_mj", "mJ"),
    Quantity("params", "parameters", "params", "max_params", "parameters"),
)


def objectives_named(names: Sequence[str]) -> tuple[Quantity, ...]:
    """The objectives of a search. InputError: one is unknown, or error and latency do not lead.

    They lead because a trial's values are those of the policy that is fastest among the accurate.
    """
    known: dict[str, Quantity] = {quantity.name: quantity for quantity in QUANTITIES}
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"`objectives` names {unknown[0]!r}; there are {', '.join(known)}")
    if tuple(names[:2]) != OBJECTIVES[:2] or len(set(names)) < len(names):
        raise InputError(
            f"`objectives` must begin with {' and '.join(OBJECTIVES[:2])} and name each once, "
            f"got {', '.join(names)}"
        )
    return tuple(known[name] for name in names)


DEFAULT_OBJECTIVES = objectives_named(OBJECTIVES)
