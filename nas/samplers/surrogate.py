"""An Optuna sampler for evaluations that are expensive: a model chooses what is worth one.

Every objective gets a Gaussian process on the features of the network (or on the parameters of any
study), fitted to warped values (Box and Cox, 1964). A batch is chosen greedily by the expected
hypervolume that a point adds (Emmerich et al., 2011), believing the model's mean for points already
chosen (Ginsbourger et al., 2010). Bounds enter as the probability that they are met.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from nas.pareto import non_dominated
from nas.samplers.batches import N_SPREAD, BatchSampler, distinct, fresh
from nas.samplers.ehvi import below, boxes, improvement
from nas.samplers.gaussian import GaussianProcess, Posterior
from nas.samplers.variation import offspring
from search_spaces import Floats, Genes, InputError, Ints, Space

N_CANDIDATES = 2_000  # half near the front, half anywhere; a smaller space as a whole
N_ROWS = 1000  # results that are modelled: those closest to the front
N_KNOTS = 12  # of a warp, beside the front's values
REFERENCE = 1.1  # where every objective is scaled to [0, 1] over what was observed
POWERS = np.linspace(-2, 1, 13)


class SurrogateSampler(BatchSampler):
    """A model on subnets of `space`, or on categorical and integer parameters of any study.

    `n_initial` trials come first, spread over the space (drawn at random without one); then
    `population` at a time, and a twentieth of the trials so far once that is more.

    >>> import optuna
    >>> from nas.samplers import SurrogateSampler
    >>> def objective(trial):
    ...     kind = trial.suggest_categorical("kind", ["plain", "residual"])
    ...     layers = trial.suggest_int("layers", 1, 9)
    ...     return 1 / layers + (kind == "plain"), layers  # error and cost, both minimised
    >>> sampler = SurrogateSampler(seed=0, n_initial=6, population=2)
    >>> study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    >>> study.optimize(objective, n_trials=16)
    >>> sorted({trial.params["kind"] for trial in study.best_trials})
    ['residual']
    """

    def __init__(
        self,
        space: Space | None = None,
        *,
        seed: int = 0,
        population: int = 5,
        n_initial: int = 20,
    ) -> None:
        if n_initial < 1:
            raise InputError(f"`n_initial` must be at least 1, got {n_initial}")
        self.n_initial = n_initial
        super().__init__(space, seed=seed, population=population)

    def size(self, number: int) -> int:
        return self.n_initial if number == 0 else max(self.population, self._n_told // 20)

    def _forget(self) -> None:
        self._results: list[tuple[Genes, Floats, Floats]] = []

    def _learn(self, genes: Genes, values: Floats, violation: Floats) -> None:
        self._results.append((genes, values, violation))

    def _breed(self, number: int, n: int, seen: set[bytes], rng: np.random.Generator) -> Genes:
        if not self._results:
            return distinct(lambda: self.domain.spread(max(n, N_SPREAD), rng), n, seen)
        genes, values, violation = (np.concatenate(x) for x in zip(*self._results, strict=True))
        candidates = self._candidates(genes, values, violation, seen, rng)
        if len(candidates) <= n:
            return candidates
        with threadpool_limits(1):  # matrices of some hundred rows only lose by threads
            belief = _Belief(self.domain.features(genes), values, violation, self.domain.blocks)
            return candidates[belief.choose(self.domain.features(candidates), n)]

    def _candidates(
        self,
        genes: Genes,
        values: Floats,
        violation: Floats,
        seen: set[bytes],
        rng: np.random.Generator,
    ) -> Genes:
        """Everything unseen in a small space; offspring of the best and random points otherwise."""
        sizes = [len(c) for c in self.domain.choices]
        if math.prod(sizes) <= N_CANDIDATES:
            index = np.indices(sizes).reshape(len(sizes), -1).T
            columns = [np.asarray(c)[i] for c, i in zip(self.domain.choices, index.T, strict=True)]
            everything = np.unique(self.domain.canonical(np.stack(columns, axis=1)), axis=0)
            return fresh(everything, len(everything), seen)
        half = N_CANDIDATES // 2
        feasible = violation <= violation.min()
        best = genes[feasible][non_dominated(values[feasible])]
        pairs = rng.integers(len(best), size=(2, half))
        near = offspring(self.domain, best, pairs, rng, n_mutations=1.5, some_alone=True)
        anywhere = self.domain.spread(half, rng)
        return fresh(np.concatenate([near, anywhere]), N_CANDIDATES, seen)


class Warp:
    """Box-Cox of 1 + the distance from the best value, in units of the typical distance."""

    def __init__(self, y: Floats) -> None:
        """Choose the power under which y (n,) looks most normal."""
        self.low, self.unit = float(y.min()), float(np.median(y) - y.min()) or 1.0
        logs = np.log1p((y - self.low) / self.unit)
        spread = [max(float(_power(logs, p).var()), 1e-12) for p in POWERS]
        losses = len(y) / 2 * np.log(spread) - (POWERS - 1) * logs.sum()
        self.power = float(POWERS[np.argmin(losses)])
        self.floor = self.low - self.unit / 2  # the warp is not asked for values below

    def __call__(self, t: Floats) -> Floats:
        """Warped values of `t`, none below the floor."""
        return _power(np.log1p((t - self.low) / self.unit), self.power)

    def inverse(self, warped: float) -> float:
        """The value whose warp is `warped`, at least the floor."""
        reached = max(self.power * warped, 1e-9 - 1)  # a negative power has a ceiling
        bare = np.log1p(reached) / self.power if self.power else warped
        return max(self.low + self.unit * float(np.expm1(bare)), self.floor)


def _power(logs: Floats, power: float) -> Floats:
    return np.expm1(power * logs) / power if power else logs


class _Belief:
    """Models of the objectives and of the violation, fitted to everything observed."""

    def __init__(
        self, X: Floats, values: Floats, violation: Floats, blocks: list[list[int]]
    ) -> None:
        low, high = values.min(axis=0), values.max(axis=0)
        values = (values - low) / np.where(high > low, high - low, 1)
        feasible = violation <= 0
        self.front = values[feasible][non_dominated(values[feasible])]
        self.reference = np.full(values.shape[1], REFERENCE)
        kept = self._closest(values, violation)
        X, values, violation, feasible = X[kept], values[kept], violation[kept], feasible[kept]
        self.warps = [Warp(y) for y in values.T]
        self.models = [
            GaussianProcess(blocks).fit(X, warp(y))
            for warp, y in zip(self.warps, values.T, strict=True)
        ]
        self.bound = None
        if not feasible.all():
            excess = np.arcsinh(violation / np.median(np.abs(violation[~feasible])))
            self.bound = GaussianProcess(blocks).fit(X, excess)

    def _closest(self, values: Floats, violation: Floats) -> Ints:
        """Rows that need the least improvement to join the front, or to meet the bounds first."""
        far = np.full(len(values), np.inf)
        for point in self.front:
            far = np.minimum(far, (values - point).max(axis=1))
        return np.sort(np.lexsort((far, np.maximum(violation, 0)))[:N_ROWS])

    def choose(self, X: Floats, n: int) -> list[int]:
        """Rows of X that are worth an evaluation, one after the other."""
        beliefs = [model.posterior(X) for model in self.models]
        allowed = np.ones(len(X))
        if self.bound is not None:
            bound = self.bound.posterior(X)
            allowed = ndtr(-bound.mean / bound.deviation)
        front, chosen = self.front, list[int]()
        for _ in range(n):
            gain = self._gain(beliefs, front) * allowed
            gain[chosen] = -1
            best = int(gain.argmax())
            chosen.append(best)
            for belief in beliefs:
                belief.believe(best)
            means = [float(belief.mean[best]) for belief in beliefs]
            hoped = [warp.inverse(m) for warp, m in zip(self.warps, means, strict=True)]
            front = np.concatenate([front, [hoped]])
            front = front[non_dominated(front)]
        return chosen

    def _gain(self, beliefs: list[Posterior], front: Floats) -> Floats:
        knots, integrals = [], []
        for d, (belief, warp) in enumerate(zip(beliefs, self.warps, strict=True)):
            even = np.linspace(max(-0.05, warp.floor), REFERENCE, N_KNOTS)
            knot = np.unique(np.concatenate([even, front[:, d][front[:, d] < REFERENCE]]))
            knots.append(knot)
            integrals.append(below(belief.mean, belief.deviation, knot, warp(knot)))
        return improvement(integrals, knots, boxes(front, self.reference))
