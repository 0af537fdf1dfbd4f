"""The points of `pareto.json`, made of an archive: each figure with where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.pareto import Baseline, Point, non_dominated, spread
from nas.pareto.provenance import MEASURED, SCALED, predicted_from
from nas.pareto.records import OwnClocks
from nas.search.front.archive import Archive
from nas.search.problem import Problem
from nas.search.score.scorer import Scores
from search_spaces import DvfsLevel, ExitPolicy, Floats, Genes, Ints, Operators

LaunchShare = Callable[[Operators], Floats]
NewImages = Callable[[Genes], tuple[Floats, Floats]]  # (n, P) each


@dataclass(frozen=True)
class Provenance:
    """Words for the figures of one run."""

    latency: str
    energy: str | None  # None: the target has no source of energy
    latency_interval_log: Floats  # (2, L)
    error: str = MEASURED  # of subnets that were evaluated

    def error_of(self, evaluated: bool) -> str:
        """The word for an error: the table's, or that of a prediction from the table."""
        return self.error if evaluated else predicted_from(self.error)

    def at(self, known: bool) -> tuple[str, str | None]:
        """Words for latency and energy: at clocks that no target row has, the model's ratio."""
        return (self.latency, self.energy) if known else (SCALED, self.energy and SCALED)


class PointMaker:
    """Builds the rows of the result from scores."""

    def __init__(
        self,
        problem: Problem,
        levels: Sequence[DvfsLevel],
        provenance: Provenance,
        new_images: NewImages | None = None,  # expected error and its standard error
    ) -> None:
        self.space, self.scorer = problem.space, problem.scorer
        self.levels, self.provenance = levels, provenance
        self.new_images = new_images
        # a target without a source of energy has no such objective
        self.objectives = [
            q for q in problem.objectives if q.name != "energy_mj" or provenance.energy
        ]

    def points(
        self,
        genes: Genes,
        scores: Scores,
        rows: Ints,
        policies: Ints,
        columns: Ints,
    ) -> list[Point]:
        """Configurations: subnets of a scored population, each with a policy and scored clocks."""
        heads = self.scorer.grid.programs[self.scorer.grid.route[policies, -1]]
        operators = self.space.operators(genes[rows], heads)
        sizes = zip(operators.macs.sum(axis=1), operators.params.sum(axis=1), strict=True)
        chosen = zip(rows.tolist(), policies.tolist(), columns.tolist(), sizes, strict=True)
        points = [self._point(genes, scores, *one) for one in chosen]
        if self.new_images is not None:
            expected, deviation = self.new_images(genes[rows])
            for i, (point, policy) in enumerate(zip(points, policies, strict=True)):
                point["expected_error_pct"] = round(float(expected[i, policy]), 4)
                point["error_se_pct"] = round(float(deviation[i, policy]), 4)
        return points

    def _point(
        self,
        genes: Genes,
        scores: Scores,
        row: int,
        policy: int,
        column: int,
        size: tuple[int, int],
    ) -> Point:
        level, setting = int(scores.level[column]), int(scores.setting[column])
        subnet = self.space.subnet(genes[row])
        exits = self.scorer.grid[policy]
        latency = float(scores.latency_ms[row, policy, column])
        energy = float(scores.energy_mj[row, policy, column])
        interval = self.provenance.latency_interval_log[:, level]
        latency_source, energy_source = self.provenance.at(setting < len(self.levels))
        clocks = self._clocks(setting)
        return {
            "id": point_id(level, str(subnet), exits, clocks if setting != level else None),
            "level": level,
            **clocks,  # type: ignore[typeddict-item]
            "subnet": str(subnet),
            "exits": {"after": list(exits.after), "thresholds": list(exits.thresholds)},
            "top1_error_pct": round(float(scores.error_pct[row, policy]), 4),
            "error_source": self.provenance.error_of(bool(scores.measured[row])),
            "latency_ms": digits(latency),
            "latency_worst_ms": digits(scores.worst_ms[row, policy, column]),
            "latency_interval_ms": [digits(latency * np.exp(x)) for x in interval],
            "latency_source": latency_source,
            "energy_mj": digits(energy) if energy_source else None,
            "energy_source": energy_source,
            "exit_rates": [round(float(r), 4) for r in scores.rates[row, policy]],
            "macs": int(size[0]),  # where no early exit is taken
            "params": int(size[1]),
        }

    def _clocks(self, setting: int) -> OwnClocks:
        """The point's own clocks beside the one that names its level, where they are searched."""
        if self.scorer.clocks is None:
            return {}
        own = self.scorer.clocks.settings[setting]
        return {"cpu_mhz": own.cpu_mhz, "emc_mhz": own.emc_mhz}

    def fronts(self, archive: Archive, n_points: int) -> list[Point]:
        """At most `n_points` representatives of every level's front, by rising error."""
        population = archive.population()
        points: list[Point] = []
        for front in archive.fronts:
            if not len(front.costs):
                continue  # no configuration meets the bounds at this level
            columns = [archive.objectives.index(q) for q in self.objectives]
            kept = spread(front.costs[:, columns], n_points)
            genes = population[front.subnet[kept]]
            settings, column = np.unique(front.setting[kept], return_inverse=True)
            scores = self.scorer.at(genes, settings)
            rows = np.arange(len(genes))
            found = self.points(genes, scores, rows, front.policy[kept], column)
            points += sorted(
                (found[i] for i in np.flatnonzero(non_dominated(self.costs(found)))),
                key=lambda p: (p["top1_error_pct"], p["latency_ms"], p["id"]),
            )
        return points

    def costs(self, points: Sequence[Point]) -> Floats:
        """The objectives of rows as they are written: rounding can make equal or dominated ones."""
        return np.array([[p[q.name] for q in self.objectives] for p in points])

    def baselines(self, launch_share: LaunchShare | None = None) -> list[Baseline]:
        """The largest and the smallest subnet without early exits, at every level.

        `launch_share` is the device model's; it tells who is bound by kernel starts.
        """
        genes = np.concatenate([self.space.largest, self.space.smallest])
        scores = self.scorer(genes)
        heads = np.arange(self.space.n_exits + 1) == self.space.n_exits
        share = launch_share and launch_share(self.space.operators(genes, heads[None]))
        n_levels = len(self.levels)
        rows, levels = np.repeat([0, 1], n_levels), np.tile(np.arange(n_levels), 2)
        points = self.points(genes, scores, rows, np.zeros_like(rows), levels)
        return [
            {
                "name": ("largest", "smallest")[row],
                **point,
                "launch_share": None if share is None else round(float(share[row, level]), 3),
            }
            for point, row, level in zip(points, rows, levels, strict=True)
        ]


def point_id(level: int, subnet: str, exits: ExitPolicy, clocks: OwnClocks | None = None) -> str:
    """A name that depends on the configuration alone, so it is stable from run to run.

    `clocks` are those that differ from the level's.
    """
    text = f"{level}|{subnet}|{exits}" + (f"|{clocks}" if clocks else "")
    return f"L{level:02d}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def digits(value: float) -> float:
    """Six significant digits: files stay readable and equal across machines."""
    return float(f"{float(value):.6g}")
