"""What comes of scored subnets: the values of their trials, the archive, and its progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.search.front.archive import Archive
from nas.search.front.progress import mean, measured, reference_costs, stalled
from nas.search.score.objectives import Bounds, combined, middle_levels, trial_values
from nas.search.score.scorer import Scorer, Scores
from search_spaces import Floats, Genes, Space

Inner = Callable[[Genes, Scores], Iterable[tuple[Genes, Scores]]]


def as_scored(genes: Genes, scores: Scores) -> list[tuple[Genes, Scores]]:
    """The inner search where the levels' own clocks are all there is."""
    return [(genes, scores)]


@dataclass(frozen=True)
class Generation:
    """What a progress bar shows after a generation."""

    n_trials: int
    n_points: int
    n_configurations: int
    hypervolume: float  # mean share of the levels' boxes, see nas.search.front.progress


class Outcomes:
    """The archive of a search, filled from the subnets that it scores.

    `n_levels` are those of the device, or of every device: the scorer then has them side by side.
    `inner` turns scored subnets into what the archive is given.
    """

    def __init__(
        self,
        space: Space,
        scorer: Scorer,
        bounds: Bounds,
        n_levels: int | Sequence[int],
        inner: Inner = as_scored,
    ) -> None:
        self.scorer, self.inner = scorer, inner
        self.archive = Archive(n_levels, bounds)
        self._middles = middle_levels(bounds, self.archive.n_levels)
        self._reference = reference_costs(space, scorer)
        self._reference[~bounds.allowed(np.arange(len(self._reference)))] = np.nan

    def add(self, genes: Genes) -> tuple[Floats, Floats]:
        """Score subnets and add them to the archive: values (n, 3) and violation (n,) of trials."""
        scores = self.scorer(genes)
        on_devices = np.stack([trial_values(scores, middle) for middle in self._middles])
        self.archive.trial_values.append(on_devices)
        violation = [self.archive.add(*part) for part in self.inner(genes, scores)]
        return combined(on_devices), np.concatenate(violation)

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
