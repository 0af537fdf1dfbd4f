"""What a trial reports about its subnet, and what a user's bounds mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from nas.search.inner import Floats, Scores
from search_spaces import InputError

WITHIN_PCT = 0.5  # error that the cheapest policy may add to that of the most accurate one


@dataclass(frozen=True)
class Bounds:
    """Upper bounds that every kept configuration meets; None is no bound."""

    max_error_pct: float | None = None
    max_latency_ms: float | None = None
    max_worst_latency_ms: float | None = None
    max_energy_mj: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"{_option(name)} must be a positive number, got {value:g}")

    def quantities(self, scores: Scores) -> list[tuple[str, float, Floats]]:
        """Option, bound and values `(n, P, L)` of every bound that is set."""
        error = np.broadcast_to(scores.error_pct[:, :, None], scores.latency_ms.shape)
        values = (error, scores.latency_ms, scores.worst_ms, scores.energy_mj)
        named = zip(asdict(self).items(), values, strict=True)
        return [(_option(name), bound, v) for (name, bound), v in named if bound is not None]

    def violation(self, scores: Scores) -> Floats:
        """Largest relative excess over the bounds `(n, P, L)`; at most 0 where all are met."""
        excess = [values / bound - 1 for _, bound, values in self.quantities(scores)]
        return np.max(excess, axis=0) if excess else np.full(scores.latency_ms.shape, -1.0)

    def check_reachable(self, *scored: Scores) -> None:
        """InputError when a bound lies below the best that the probed subnets reach."""
        for probed in zip(*(self.quantities(scores) for scores in scored), strict=True):
            option, bound, _ = probed[0]
            best = min(float(values.min()) for _, _, values in probed)
            if best > bound:
                raise InputError(
                    f"no configuration meets {option} {bound:g}: "
                    f"the best reachable is {best:.4g}; raise the bound"
                )


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def trial_values(scores: Scores, level: int) -> Floats:
    """The three values of every trial, `(n, 3)`; they depend on the subnet alone.

    Error of its most accurate policy; expected latency and energy, at `level`, of the cheapest
    policy within WITHIN_PCT of that error.
    """
    best = scores.error_pct.min(axis=1)
    near = scores.error_pct <= best[:, None] + WITHIN_PCT
    latency = np.where(near, scores.latency_ms[:, :, level], np.inf)
    cheapest = latency.argmin(axis=1)
    rows = np.arange(len(best))
    energy = scores.energy_mj[rows, cheapest, level]
    return np.stack([best, latency[rows, cheapest], energy], axis=1)
