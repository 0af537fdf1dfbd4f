"""The base of our Optuna samplers: whole batches, bred from finished trials alone.

Batch g draws from `default_rng([seed, g])` and what it is bred from follows from the trials of
batches 0..g-1, so a resumed study continues as if it had not stopped. `ask` and `tell` serve
`nas.search.study.generations`, the rest is Optuna's interface for one trial at a time. There trials
may run at once: each is then told once, with the first batch that is filled after it ended.
"""

from __future__ import annotations

import threading
import zlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.domain import Domain, ParameterDomain, SpaceDomain
from search_spaces import Floats, Genes, InputError, Ints, Space

N_ATTEMPTS = 20
N_SPREAD = 16  # points drawn at once, at least: the first two of a spread are always the same
CONSTRAINT = "constraints"  # the system attribute in which Optuna keeps constraint values


class BatchSampler(BaseSampler):
    """Points of a domain, a batch at a time; a subclass says how a batch follows from results.

    The domain is the genes of `space`. Without a space it is the categorical and integer parameters
    that the trials of a study have in common: batch 0 is then drawn at random, and parameters of
    other kinds always are.
    """

    def __init__(self, space: Space | None, *, seed: int, population: int) -> None:
        """`population` trials make a batch, unless a subclass overrides `size`."""
        if population < 1:
            raise InputError(f"`population` must be at least 1, got {population}")
        self.space, self.seed, self.population = space, seed, population
        self.domain: Domain = ParameterDomain({}) if space is None else SpaceDomain(space)
        self._lock = threading.Lock()  # Optuna's n_jobs are threads
        self._start: Genes | None = None
        self.restart()

    def restart(self) -> None:
        """Forget every result: the next batch is the first of a study."""
        self._seen: set[bytes] = set()
        self._study: str | None = None
        self._told: set[int] = set()  # trials of the study, by their numbers
        self._handed: dict[int, bytes] = {}  # to trials that still run: they get parameters later
        self._number = 0  # of the next batch
        self._n_told = 0
        self._next: Genes | None = None
        self._forget()

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was learned."""

    @abstractmethod
    def _learn(self, genes: Genes, values: Floats, violation: Floats) -> None:
        """Take in the results of one batch; a positive violation is infeasible."""

    @abstractmethod
    def _breed(self, number: int, n: int, seen: set[bytes], rng: np.random.Generator) -> Genes:
        """`n` points of batch `number` that are not in `seen`; fewer where none are left."""

    # ---- whole batches -------------------------------------------------------------------------

    def size(self, number: int) -> int:
        """Trials of batch `number`."""
        del number
        return self.population

    def start_from(self, genes: Genes) -> None:
        """Make `genes` the first members of batch 0, as many as it holds; call it before `ask`."""
        self._start = self.domain.canonical(genes)

    def ask(self) -> tuple[int, Genes]:
        """Number and genes of the batch that follows what was told."""
        if not self.domain.distributions:
            raise InputError(
                "the sampler knows no parameters yet; give it a `space`, or let `study.optimize` "
                "call it"
            )
        if self._next is None:
            rng = np.random.default_rng([self.seed, self._number])
            size = self.size(self._number)
            self._next = self._breed(self._number, size, self._seen, rng)
            if self._number == 0 and self._start is not None:
                self._next = fresh(np.concatenate([self._start, self._next]), size, set())
        return self._number, self._next

    def tell(self, genes: Genes, values: Floats, violation: Floats) -> None:
        """The results of one whole batch."""
        self._learn(genes, values, violation)
        self._seen.update(row.tobytes() for row in genes)
        self._number, self._n_told = self._number + 1, self._n_told + len(genes)
        self._next = None

    def generation(self, trials: Sequence[FrozenTrial]) -> tuple[int, Genes]:
        """Number and genes of the batch that follows the finished `trials` of a study."""
        self._tell_batches(trials, np.ones(1))
        return self.ask()

    def _tell_batches(self, trials: Sequence[FrozenTrial], signs: Floats) -> list[FrozenTrial]:
        """Tell the batches that finished `trials` fill; what is left over is too few for one."""
        untold = [t for t in trials if t.number not in self._told]
        while len(untold) >= (size := self.size(self._number)):
            batch, untold = untold[:size], untold[size:]
            values = signs * np.array([t.values for t in batch])
            violation = [max(t.constraints.values(), default=0.0) for t in batch]
            self.tell(self.domain.genes(batch), values, np.array(violation))
            self._told.update(t.number for t in batch)
        return untold

    # ---- Optuna's interface --------------------------------------------------------------------

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The space's genes, or what all trials so far have in common."""
        del trial
        if self.space is not None:
            return self.domain.distributions
        if len(study.get_trials(deepcopy=False)) < self.size(0):
            return {}
        return ParameterDomain.of(IntersectionSearchSpace().calculate(study)).distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next point of the batch that the finished trials define."""
        if not search_space:
            return {}
        with self._lock:
            if self.space is None and self.domain.distributions != search_space:
                self.domain = ParameterDomain(search_space)
                self.restart()
            trials = study.get_trials(deepcopy=False)
            whole = [t for t in trials if search_space.keys() <= t.params.keys()]
            finished = [t for t in whole if t.state == TrialState.COMPLETE]
            if self._study != study.study_name or len(finished) < self._n_told:
                self.restart()
                self._study = study.study_name
            signs = [-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions]
            untold = self._tell_batches(finished, np.array(signs))
            number, genes = self.ask()
            others = [t for t in whole if t.state != TrialState.COMPLETE]
            running = {t.number for t in trials if not t.state.is_finished()}
            self._handed = {n: row for n, row in self._handed.items() if n in running}
            rows = self.domain.genes([*untold, *others])
            taken = {*self._handed.values(), *(row.tobytes() for row in rows)}
            chosen = self._pick(number, genes, taken, trial.number)
            if chosen is None:
                return {}  # every point was seen: let Optuna sample independently
            self._handed[trial.number] = chosen.tobytes()
            return self.domain.params(chosen[None])[0]

    def _pick(self, number: int, genes: Genes, taken: set[bytes], trial: int) -> Ints | None:
        """A free row of `genes`, by the trial's number so that workers differ, or one more."""
        start = trial - self._n_told
        row: Ints
        for row in np.roll(genes, -(start % max(len(genes), 1)), axis=0):
            if row.tobytes() not in taken:
                return row
        rng = np.random.default_rng([self.seed, number, trial])
        more = self._breed(number, 1, self._seen | taken, rng)
        return more[0] if len(more) else None

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Parameters outside the domain are drawn uniformly."""
        key = [self.seed, trial.number, zlib.crc32(param_name.encode())]
        rng = RandomSampler(seed=int(np.random.default_rng(key).integers(2**32)))
        return rng.sample_independent(study, trial, param_name, param_distribution)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def distinct(draw: Callable[[], Genes], n: int, seen: set[bytes]) -> Genes:
    """The first `n` distinct rows that are not in `seen`, of as many draws as that takes.

    Fewer after N_ATTEMPTS draws: a small space may have no more.
    """
    found = fresh(draw(), n, seen)
    for _ in range(N_ATTEMPTS - 1):
        if len(found) == n:
            break
        found = fresh(np.concatenate([found, draw()]), n, seen)
    return found


def fresh(candidates: Genes, n: int, seen: set[bytes]) -> Genes:
    """The first `n` distinct rows that are not in `seen`."""
    chosen: dict[bytes, int] = {}
    for i, row in enumerate(candidates):
        if len(chosen) == n:
            break
        if (key := row.tobytes()) not in seen:
            chosen.setdefault(key, i)
    return candidates[list(chosen.values())]
