"""Whether a user's bounds can be met, asked before the search; and if not, what would help.

For every bound a small evolution looks for the lowest value that the other bounds leave possible.
Its course does not depend on the bound's own value, and the answer for a bound comes from its own
evolution alone: a bound that is raised to what the answer says is then met.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nas.samplers.domain import SpaceDomain
from nas.samplers.variation import offspring
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.quantities import QUANTITIES
from nas.search.score.scorer import Scores
from search_spaces import Floats, Genes, InputError, Space

N_PROBES = 256  # subnets spread over the space; the search starts if one of them meets all bounds
N_KEPT = 8  # subnets that meet the bounds and start the search
N_ROUNDS, N_PARENTS, N_CHILDREN = 8, 16, 64  # of an evolution
WORDS = {quantity.bound: quantity.words for quantity in QUANTITIES}
ALL_LEVELS = "levels"  # the relaxation that allows every level


@dataclass
class Feasibility:
    """The least values seen so far, of one device or of several side by side."""

    bounds: Bounds
    feasible: list[Genes]  # subnets that meet all bounds
    least: dict[str, float]  # the least value of every bounded quantity, at the allowed levels
    relaxed: dict[str, float]  # the same where all other bounds hold; inf: nowhere
    closest: dict[str, float]  # values of the configuration that misses least
    miss: float  # its largest relative excess

    @classmethod
    def nothing(cls, bounds: Bounds) -> Feasibility:
        """Before anything was scored."""
        unknown = dict.fromkeys(bounds.given, math.inf)
        names = {**unknown, **({ALL_LEVELS: math.inf} if bounds.levels is not None else {})}
        return cls(bounds, [], unknown, names, {}, math.inf)

    def add(self, genes: Genes, scores: Scores, relaxable: Iterable[str]) -> None:
        """Take in scored subnets; they say what raising the bounds `relaxable` would need."""
        violation = self.bounds.violation(scores)
        values = self.bounds.values(scores)
        usable = self.bounds.allowed(scores.level)
        for name in values:
            self.least[name] = min(self.least[name], float(values[name][:, :, usable].min()))
        for name in relaxable:
            least = float(least_values(self.bounds, scores, name).min())
            self.relaxed[name] = min(self.relaxed[name], least)
        best = violation.min(axis=(1, 2))
        self.feasible += [genes[i : i + 1] for i in np.argsort(best, kind="stable") if best[i] <= 0]
        if best.min() < self.miss:
            place = np.unravel_index(violation.argmin(), violation.shape)
            self.miss = float(best.min())
            self.closest = {name: float(v[place]) for name, v in values.items()}


def least_values(bounds: Bounds, scores: Scores, name: str) -> Floats:
    """The least value of bound `name` that each subnet reaches within the others `(n,)`.

    inf where none holds them. ALL_LEVELS: the violation of the other bounds at any level, at least
    0; inf where it is positive.
    """
    others = _without(bounds, name)
    free = others.violation(scores) <= 0
    value = np.zeros(free.shape) if name == ALL_LEVELS else bounds.values(scores)[name]
    least: Floats = np.where(free, value, np.inf).min(axis=(1, 2))
    return least


def _without(bounds: Bounds, name: str) -> Bounds:
    return replace(bounds, **{name: None})


def least_bounds(problem: Problem, seed: int) -> Feasibility:
    """Probe the space, and search for each bound in turn where no probe meets all of them."""
    found = Feasibility.nothing(problem.bounds)
    if not found.relaxed:
        return found
    genes = _probes(problem.space, seed)
    keys = _score(found, problem, genes, list(found.relaxed))
    for name in problem.bounds.given:
        if found.feasible:
            break
        _evolve(found, problem, name, genes, keys[name])
    return found


def _score(
    found: Feasibility, problem: Problem, genes: Genes, names: Sequence[str]
) -> dict[str, Floats]:
    """Score subnets at all clocks that are searched; keys `(n, 2)` for each of the bounds `names`.

    It ends early where some meet all bounds.
    """
    keys: dict[str, list[Floats]] = {name: [] for name in names}
    for part, scores in problem.scorer.at_all_clocks(genes, problem.scorer(genes)):
        found.add(part, scores, names)
        for name in names:
            keys[name].append(_key(found.bounds, scores, name))
        if found.feasible:
            break
    return {name: np.concatenate(parts) for name, parts in keys.items()}


def _probes(space: Space, seed: int) -> Genes:
    sample = space.sample_spread(N_PROBES, np.random.default_rng(seed), repeats=True)
    return np.unique(np.concatenate([space.largest, space.smallest, sample]), axis=0)


def _evolve(found: Feasibility, problem: Problem, name: str, genes: Genes, key: Floats) -> None:
    """Breed subnets towards the least value of bound `name` that the others allow."""
    domain = SpaceDomain(problem.space)
    rng = np.random.default_rng([len(genes), *name.encode()])
    for _ in range(N_ROUNDS):
        order = np.lexsort(key.T[::-1])[:N_PARENTS]
        genes, key = genes[order], key[order]
        pairs = rng.integers(len(genes), size=(2, N_CHILDREN))
        children = offspring(domain, genes, pairs, rng, n_mutations=2)
        new = _score(found, problem, children, [name])[name]
        if found.feasible:
            return
        genes, key = np.concatenate([genes, children]), np.concatenate([key, new])


def _key(bounds: Bounds, scores: Scores, name: str) -> Floats:
    """To rank subnets by: how far the other bounds are missed, then the least value within them."""
    missed = np.maximum(_without(bounds, name).violation(scores), 0).min(axis=(1, 2))
    return np.stack([missed, least_values(bounds, scores, name)], axis=1)


def check_feasible(problem: Problem, seed: int, device: str = "") -> Genes:
    """Subnets that meet all bounds, `(k, genes)`, at most N_KEPT; none where nothing is bounded.

    InputError where the bounds cannot be met: which, how far they are missed, what to relax.
    """
    found = least_bounds(problem, seed)
    if found.relaxed and not found.feasible:
        raise InputError(_answer(found, device))
    return np.concatenate([problem.space.smallest[:0], *found.feasible[:N_KEPT]])


def _answer(found: Feasibility, device: str) -> str:
    bounds = found.bounds.given
    where = f" of {device}" if device else ""
    at = "" if found.bounds.levels is None else " at the allowed `levels`"
    missed = {name: found.least[name] for name in bounds if found.least[name] > bounds[name]}
    asked = " and ".join(f"`{n}` {bounds[n]:g}" for n in (missed or bounds))
    reached = " and ".join(_amount(name, found.least[name]) for name in (missed or bounds))
    said = [f"the best reachable is {reached}"]
    if not missed:
        asked += " together"
        said = [f"each alone is reachable ({reached})"]
    if len(bounds) > 1 and found.closest:
        closest = ", ".join(_amount(name, value) for name, value in found.closest.items())
        said.append(f"the closest misses by {100 * found.miss:,.3g} % ({closest})")
    said.append(_advice(found))
    return f"no configuration{where} meets {asked}{at}: {'; '.join(said)}"


def _advice(found: Feasibility) -> str:
    """Every single relaxation that suffices."""
    helps = [
        f"raise `{name}` to {_rounded_up(value):.10g}"
        for name, value in found.relaxed.items()
        if name != ALL_LEVELS and math.isfinite(value)
    ]
    if math.isfinite(found.relaxed.get(ALL_LEVELS, math.inf)):
        helps.append("allow other `levels`")
    if helps:
        return " or ".join(helps)
    needed = ", ".join(
        f"`{name}` {_rounded_up(value):.10g}"
        for name, value in found.closest.items()
        if value > found.bounds.given[name]
    )
    return f"no single one helps; raise together: {needed}"


def _amount(name: str, value: float) -> str:
    digits = max(0, 3 - math.floor(math.log10(value))) if value else 0
    return f"{round(value, digits):.10g} {WORDS[name]}"


def _rounded_up(value: float) -> float:
    """Four significant digits, not below `value`."""
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    up = math.ceil(value / step - 1e-9) * step
    return float(f"{up if up >= value else up + step:.10g}")
