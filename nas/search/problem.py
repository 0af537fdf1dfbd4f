"""What is searched for: subnets of a space, how they are scored, what is minimised and bounded."""

from __future__ import annotations

from dataclasses import dataclass

from nas.search.score.bounds import Bounds
from nas.search.score.quantities import DEFAULT_OBJECTIVES, Quantity
from nas.search.score.scorer import Scorer, Scores
from search_spaces import Floats, Space


@dataclass(frozen=True)
class Problem:
    """One value that samplers, archives and results all work on.

    `n_levels` are those of every device: the scorer has the levels of all of them side by side.
    """

    space: Space
    scorer: Scorer
    bounds: Bounds
    n_levels: tuple[int, ...]
    objectives: tuple[Quantity, ...] = DEFAULT_OBJECTIVES

    def costs(self, scores: Scores) -> Floats:
        """`(n, P, L, objectives)`, all minimised."""
        return scores.costs(self.objectives)
