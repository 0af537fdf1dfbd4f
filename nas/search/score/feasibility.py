"""Whether a user's bounds can be met, asked before the search; and if not, what would help.

For every bound a small evolution looks for the lowest value that the other bounds leave possible.
Its course does not depend on the bound's own value, and the answer for a bound comes from its own
evolution alone: a bound that is raised to what the answer says is found reachable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nas.samplers.domain import SpaceDomain
from nas.samplers.variation import offspring
from nas.search.score.objectives import QUANTITIES, Bounds, option_name
from nas.search.score.scorer import Scorer, Scores
from search_spaces import Floats, Genes, InputError, Space

N_PROBES = 256  # subnets spread over the space; the search starts if one of them meets all bounds
N_KEPT = 8  # subnets that meet the bounds and start the search
N_ROUNDS, N_PARENTS, N_CHILDREN = 8, 16, 64  # of an evolution
UNIT = dict(QUANTITIES)
ALL_LEVELS = "levels"  # the relaxation that allows every level


@dataclass
class Reach:
    """The least values seen so far, of one device or of several side by side."""

    bounds: Bounds
    met: list[Genes]  # subnets that meet all bounds
    alone: dict[str, float]  # the least value of every bounded quantity, at the allowed levels
    relaxed: dict[str, float]  # the same where all other bounds hold; inf: nowhere
    closest: dict[str, float]  # values of the configuration that misses least
    miss: float  # its largest relative excess

    @classmethod
    def nothing(cls, bounds: Bounds) -> Reach:
        """Before anything was scored."""
        unknown = dict.fromkeys(bounds.given, math.inf)
        names = {**unknown, **({ALL_LEVELS: math.inf} if bounds.levels is not None else {})}
        return cls(bounds, [], unknown, names, {}, math.inf)

    def see(self, genes: Genes, scores: Scores, relaxable: Iterable[str]) -> None:
        """Take in scored subnets; they say what raising the bounds `relaxable` would need."""
        violation = self.bounds.violation(scores)
        values = self.bounds.values(scores)
        usable = self.bounds.allowed(scores.level)
        for name in values:
            self.alone[name] = min(self.alone[name], float(values[name][:, :, usable].min()))
        for name in relaxable:
            least = float(least_values(self.bounds, scores, name).min())
            self.relaxed[name] = min(self.relaxed[name], least)
        best = violation.min(axis=(1, 2))
        self.met += [genes[i : i + 1] for i in np.argsort(best, kind="stable") if best[i] <= 0]
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
    return np.where(free, value, np.inf).min(axis=(1, 2))


def _without(bounds: Bounds, name: str) -> Bounds:
    return replace(bounds, **{name: None})


def reachable(bounds: Bounds, scorer: Scorer, space: Space, seed: int) -> Reach:
    """Probe `space`, and search for each bound in turn where no probe meets all of them."""
    reach = Reach.nothing(bounds)
    if not reach.relaxed:
        return reach
    genes = _probes(space, seed)
    keys = _look(reach, scorer, genes, list(reach.relaxed))
    for name in bounds.given:
        if reach.met:
            break
        _evolve(reach, scorer, space, name, genes, keys[name])
    return reach


def _look(reach: Reach, scorer: Scorer, genes: Genes, names: Sequence[str]) -> dict[str, Floats]:
    """Score subnets at all clocks that are searched; keys `(n, 2)` for each of the bounds `names`.

    It ends early where some meet all bounds.
    """
    keys: dict[str, list[Floats]] = {name: [] for name in names}
    for part, scores in scorer.inner(genes, scorer(genes)):
        reach.see(part, scores, names)
        for name in names:
            keys[name].append(_key(reach.bounds, scores, name))
        if reach.met:
            break
    return {name: np.concatenate(parts) for name, parts in keys.items()}


def _probes(space: Space, seed: int) -> Genes:
    sample = space.sample_spread(N_PROBES, np.random.default_rng(seed))
    return np.unique(np.concatenate([space.largest, space.smallest, sample]), axis=0)


def _evolve(
    reach: Reach,
    scorer: Scorer,
    space: Space,
    name: str,
    genes: Genes,
    key: Floats,
) -> None:
    """Breed subnets towards the least value of bound `name` that the others allow."""
    domain = SpaceDomain(space)
    rng = np.random.default_rng([len(genes), *name.encode()])
    for _ in range(N_ROUNDS):
        order = np.lexsort(key.T[::-1])[:N_PARENTS]
        genes, key = genes[order], key[order]
        pairs = rng.integers(len(genes), size=(2, N_CHILDREN))
        children = offspring(domain, genes, pairs, rng, n_mutations=2)
        found = _look(reach, scorer, children, [name])[name]
        if reach.met:
            return
        genes, key = np.concatenate([genes, children]), np.concatenate([key, found])


def _key(bounds: Bounds, scores: Scores, name: str) -> Floats:
    """To rank subnets by: how far the other bounds are missed, then the least value within them."""
    missed = np.maximum(_without(bounds, name).violation(scores), 0).min(axis=(1, 2))
    return np.stack([missed, least_values(bounds, scores, name)], axis=1)


def check_reachable(
    bounds: Bounds, scorer: Scorer, space: Space, seed: int, device: str = ""
) -> Genes:
    """Subnets that meet all bounds, `(k, genes)`, at most N_KEPT; none where nothing is bounded.

    InputError where the bounds cannot be met: which, how far they are missed, what to relax.
    """
    reach = reachable(bounds, scorer, space, seed)
    if reach.relaxed and not reach.met:
        raise InputError(_answer(reach, device))
    return np.concatenate([space.smallest[:0], *reach.met[:N_KEPT]])


def _answer(reach: Reach, device: str) -> str:
    bounds = reach.bounds.given
    where = f" of {device}" if device else ""
    at = "" if reach.bounds.levels is None else " at the allowed --levels"
    missed = {name: reach.alone[name] for name in bounds if reach.alone[name] > bounds[name]}
    asked = " and ".join(f"{option_name(n)} {bounds[n]:g}" for n in (missed or bounds))
    reached = " and ".join(_amount(name, reach.alone[name]) for name in (missed or bounds))
    said = [f"the best reachable is {reached}"]
    if not missed:
        asked += " together"
        said = [f"each alone is reachable ({reached})"]
    if len(bounds) > 1 and reach.closest:
        closest = ", ".join(_amount(name, value) for name, value in reach.closest.items())
        said.append(f"the closest misses by {100 * reach.miss:,.3g} % ({closest})")
    said.append(_advice(reach))
    return f"no configuration{where} meets {asked}{at}: {'; '.join(said)}"


def _advice(reach: Reach) -> str:
    """Every single relaxation that suffices."""
    helps = [
        f"raise {option_name(name)} to {_rounded_up(value):.10g}"
        for name, value in reach.relaxed.items()
        if name != ALL_LEVELS and math.isfinite(value)
    ]
    if math.isfinite(reach.relaxed.get(ALL_LEVELS, math.inf)):
        helps.append("allow other --levels")
    if helps:
        return " or ".join(helps)
    needed = ", ".join(
        f"{option_name(name)} {_rounded_up(value):.10g}"
        for name, value in reach.closest.items()
        if value > reach.bounds.given[name]
    )
    return f"no single one helps; raise together: {needed}"


def _amount(name: str, value: float) -> str:
    digits = max(0, 3 - math.floor(math.log10(value))) if value else 0
    return f"{round(value, digits):.10g} {UNIT[name]}"


def _rounded_up(value: float) -> float:
    """Four significant digits, not below `value`."""
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    up = math.ceil(value / step - 1e-9) * step
    return float(f"{up if up >= value else up + step:.10g}")
