"""What comes of scored subnets: the values of their trials, the archive, and its progress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.search.front.archive import Archive
from nas.search.front.progress import mean, measured, reference_costs, stalled
from nas.search.problem import Problem
from nas.search.score.objectives import combined, trial_values
from search_spaces import Floats, Genes


@dataclass(frozen=True)
class Generation:
    """What a progress bar shows after a generation."""

    n_trials: int
    n_points: int
    n_configurations: int
    hypervolume: float  # mean share of the levels' boxes, see nas.search.front.progress


class Outcomes:
    """The archive of a search, filled from the subnets that it scores."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.archive = Archive(problem.n_levels, problem.bounds, problem.objectives)
        self._middles = problem.bounds.middle_levels(problem.n_levels)
        self._reference = reference_costs(problem)
        self._reference[~problem.bounds.allowed(np.arange(len(self._reference)))] = np.nan

    def add(self, genes: Genes) -> tuple[Floats, Floats]:
        """Score subnets and archive them: values (n, objectives) and violation (n,) of trials."""
        scorer, objectives = self.problem.scorer, self.problem.objectives
        scores = scorer(genes)
        values = np.stack([trial_values(scores, m, objectives) for m in self._middles])
        self.archive.trial_values.append(values)
        violation = [self.archive.add(*part) for part in scorer.at_all_clocks(genes, scores)]
        return combined(values), np.concatenate(violation)

    def measure(self, least: int = 1) -> Generation:
        """Note the hypervolume once `least` subnets came since the last time; what is known now."""
        archive = self.archive
        if not archive.progress or archive.n_subnets >= archive.progress[-1].n_subnets + least:
            fronts = [front.costs for front in archive.fronts]
            archive.progress.append(measured(archive.n_subnets, fronts, self._reference))
        volume = mean(archive.progress[-1].hypervolume)
        return Generation(archive.n_subnets, archive.n_points, archive.n_configurations, volume)

    def stalled(self, patience: int | None) -> bool:
        """Whether the last `patience` generations added next to nothing; None or 0: never."""
        return bool(patience and stalled(self.archive.progress, patience))
