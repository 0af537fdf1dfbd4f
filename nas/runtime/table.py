"""The table a governor chooses from: C configurations, E exits, L levels, as arrays."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from .manifest import Manifest, ManifestError


class CostTable(NamedTuple):
    """Rows are configurations (a subnet with its exits), the fastest clock is the last level.

    Exits that a configuration lacks repeat its last one and have rate 0.
    """

    ids: list[str]
    subnets: list[str]
    exits: list[list[int]]  # asked, the final classifier last
    thresholds: list[list[float]]  # one per early exit asked
    error_pct: np.ndarray  # (C,)
    rates: np.ndarray  # (C, E), share of images that leave at each exit
    time_ms: np.ndarray  # (C, E, L), one image up to each exit, decisions in
    power_w: np.ndarray  # (C, E, L), whole board
    idle_w: np.ndarray  # (L,), whole board, nothing to run
    mhz: np.ndarray  # (L,)
    source: str

    @property
    def n_levels(self) -> int:
        return len(self.idle_w)

    @property
    def mean_ms(self) -> np.ndarray:
        """Expected milliseconds of one image, (C, L)."""
        mean: np.ndarray = np.einsum("ce,cel->cl", self.rates, self.time_ms)
        return mean

    @property
    def std_ms(self) -> np.ndarray:
        """Spread of one image's milliseconds over the exits, (C, L)."""
        square = np.einsum("ce,cel->cl", self.rates, self.time_ms**2)
        spread: np.ndarray = np.sqrt(np.maximum(square - self.mean_ms**2, 0))
        return spread

    @property
    def mean_mj(self) -> np.ndarray:
        """Expected energy of one image, whole board, (C, L)."""
        mean: np.ndarray = np.einsum("ce,cel->cl", self.rates, self.time_ms * self.power_w)
        return mean

    @property
    def has_exits(self) -> np.ndarray:
        """Which configurations may answer early, (C,)."""
        return np.array([len(exits) > 1 for exits in self.exits])

    def take(self, rows: Sequence[int]) -> CostTable:
        """The table of some configurations."""
        rows = [int(row) for row in rows]
        return self._replace(
            ids=[self.ids[row] for row in rows],
            subnets=[self.subnets[row] for row in rows],
            exits=[self.exits[row] for row in rows],
            thresholds=[self.thresholds[row] for row in rows],
            error_pct=self.error_pct[rows],
            rates=self.rates[rows],
            time_ms=self.time_ms[rows],
            power_w=self.power_w[rows],
        )

    def with_last_exits(self, error_pct: dict[str, float]) -> CostTable:
        """Each subnet once more without early exits, for a table that has none such.

        Time and power are those of its last exit, checks of the early ones included: at most.
        """
        first = [self.subnets.index(subnet) for subnet in error_pct]
        only = self.take(first)
        rates = np.zeros_like(only.rates)
        rates[:, 0] = 1.0
        last = [len(exits) - 1 for exits in only.exits]
        time_ms = only.time_ms[np.arange(len(first)), last][:, None]
        power_w = only.power_w[np.arange(len(first)), last][:, None]
        n_exits = self.rates.shape[1]
        return self._replace(
            ids=[*self.ids, *(f"{subnet} without exits" for subnet in error_pct)],
            subnets=[*self.subnets, *error_pct],
            exits=[*self.exits, *([exits[-1]] for exits in only.exits)],
            thresholds=[*self.thresholds, *([] for _ in first)],
            error_pct=np.append(self.error_pct, list(error_pct.values())),
            rates=np.concatenate([self.rates, rates]),
            time_ms=np.concatenate([self.time_ms, np.repeat(time_ms, n_exits, axis=1)]),
            power_w=np.concatenate([self.power_w, np.repeat(power_w, n_exits, axis=1)]),
        )

    def slower(self, factor: float) -> CostTable:
        """The same board if every image took `factor` times as long: a table that is wrong."""
        return self._replace(time_ms=self.time_ms * factor)


def cost_table(governing: dict[str, Any]) -> CostTable:
    """The arrays of a manifest's `governing` part."""
    rows = governing["configurations"]
    n_exits = max(len(row["exits"]) for row in rows)
    return CostTable(
        [row["id"] for row in rows],
        [row["subnet"] for row in rows],
        [list(row["exits"]) for row in rows],
        [list(row["thresholds"]) for row in rows],
        np.array([row["top1_error_pct"] for row in rows], dtype=float),
        np.array([_padded(row["exit_rates"], n_exits, 0.0) for row in rows]),
        np.array([_padded(row["time_ms"], n_exits, row["time_ms"][-1]) for row in rows]),
        np.array([_padded(row["power_w"], n_exits, row["power_w"][-1]) for row in rows]),
        np.array(governing["idle_w"], dtype=float),
        np.array(governing["mhz"], dtype=float),
        " and ".join(sorted({row["source"] for row in rows})),
    )


def manifest_table(manifest: Manifest) -> CostTable:
    """The table of an exported folder; ManifestError for one without costs per level."""
    governing = manifest.content.get("governing")
    if governing is None:
        if why := manifest.content.get("not_governed"):
            raise ManifestError(f"{manifest.folder} has no costs per level: {why}")
        made = manifest.content.get("versions", {}).get("nas", "an older version")
        raise ManifestError(
            f"{manifest.folder} has no costs per level (nas {made} wrote none), so nothing can "
            "govern it; export again: nas export --pareto FILE --data DIR --out NEW"
        )
    return cost_table(governing)


def _padded(values: list[Any], n: int, fill: Any) -> list[Any]:
    return [*values, *[fill] * (n - len(values))]
