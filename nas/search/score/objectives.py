"""What a trial reports about its subnet, and what a user's bounds mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.search.score.scorer import Scores
from search_spaces import Bools, Floats, InputError, Ints

WITHIN_PCT = 0.5  # error that the cheapest policy may add to that of the most accurate one
QUANTITIES = (
    ("max_error_pct", "% error"),
    ("max_latency_ms", "ms"),
    ("max_worst_latency_ms", "ms worst case"),
    ("max_energy_mj", "mJ"),
    ("max_params", "parameters"),
)


@dataclass(frozen=True)
class Bounds:
    """Upper bounds that every kept configuration meets; None is no bound.

    `levels` are those that may be used, by number; several devices have theirs in a row.
    """

    max_error_pct: float | None = None
    max_latency_ms: float | None = None
    max_worst_latency_ms: float | None = None
    max_energy_mj: float | None = None
    max_params: float | None = None
    levels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{option_name(name)} must be a positive number, got {value:g}")

    @property
    def given(self) -> dict[str, float]:
        """The upper bounds that are set, by name."""
        named = {name: getattr(self, name) for name, _ in QUANTITIES}
        return {name: value for name, value in named.items() if value is not None}

    def values(self, scores: Scores) -> dict[str, Floats]:
        """Values `(n, P, L)` of every bounded quantity."""
        shape = scores.latency_ms.shape
        found = {}
        for name in self.given:
            if name == "max_params":
                if scores.params is None:
                    raise ValueError("--max-params needs a scorer that counts parameters")
                found[name] = np.broadcast_to(scores.params[:, :, None], shape)
            elif name == "max_error_pct":
                found[name] = np.broadcast_to(scores.error_pct[:, :, None], shape)
            else:
                named = {"max_latency_ms": "latency_ms", "max_worst_latency_ms": "worst_ms"}
                found[name] = getattr(scores, named.get(name, "energy_mj"))
        return found

    def violation(self, scores: Scores) -> Floats:
        """Largest relative excess over the bounds `(n, P, L)`; at most 0 where all are met."""
        values = self.values(scores)
        excess = [values[name] / bound - 1 for name, bound in self.given.items()]
        worst = np.max(excess, axis=0) if excess else np.full_like(scores.latency_ms, -1.0)
        if self.levels is not None:
            worst = np.where(self.allowed(scores.level), worst, np.inf)
        return worst

    def allowed(self, level: Ints) -> Bools:
        """Which columns, each of a `level`, may be used."""
        if self.levels is None:
            return np.ones(len(level), dtype=bool)
        return np.isin(level, np.array(self.levels))


def option_name(name: str) -> str:
    """The command-line option of a bound."""
    return "--" + name.replace("_", "-")


def middle_levels(bounds: Bounds, n_levels: Sequence[int]) -> list[int]:
    """The middle one of the allowed levels of every device, as columns of the level axis."""
    allowed = bounds.allowed(np.arange(sum(n_levels)))
    ends = np.cumsum(n_levels)
    found = []
    for end, n in zip(ends, n_levels, strict=True):
        columns = np.arange(end - n, end)
        kept = columns[allowed[columns]]
        found.append(int(kept[len(kept) // 2]))
    return found


def trial_values(scores: Scores, level: int) -> Floats:
    """The three values of every trial at one level, `(n, 3)`; they depend on the subnet alone.

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


def combined(values: Floats) -> Floats:
    """The values of a trial `(n, 3)` from those on every device `(devices, n, 3)`.

    Geometric means: half the latency on one device weighs as much as half of it on another, however
    fast they are. A device without energy (0) does not count there.
    """
    if len(values) == 1:
        return values[0]
    logs = np.log(values, out=np.zeros_like(values), where=values > 0)
    known = (values > 0).sum(axis=0)
    mean = np.exp(logs.sum(axis=0) / np.maximum(known, 1))
    mean = np.where(known > 0, mean, 0)
    mean[:, 0] = values[0, :, 0]  # a subnet has one error
    return mean


def least_violation(violation: Floats, level: Ints, n_levels: Sequence[int]) -> Floats:
    """The smallest of `(n, P, columns)` on every device, `(devices, n)`.

    `level` is that of every column, `n_levels` are those of every device.
    """
    device = np.repeat(np.arange(len(n_levels)), n_levels)[level]
    lowest = violation.min(axis=1)
    return np.stack([lowest[:, device == d].min(axis=1) for d in range(len(n_levels))])
