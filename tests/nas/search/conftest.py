"""A search with an own space, an own device and accuracies by a formula: it takes a second."""

from dataclasses import dataclass

import numpy as np
import pytest

from nas.search import SearchSettings
from search_spaces import DvfsLevel, NASBench201Space, format_heads

OWN = NASBench201Space(name="mine")


@dataclass(frozen=True)
class Board:
    """A device of the user's: two clocks, costs by a formula."""

    name: str = "my-board"
    processor: str = "gpu"
    backend: str = "mine"
    precision: str = "fp32"
    batch: int = 1
    threads: int | None = None
    power_mode: str | None = None
    source: str = "simulated"  # measured rows are predicted by a pool: two seconds more
    decision_ms: float = 0.01

    @property
    def levels(self):
        return [DvfsLevel(i, mhz, 1000.0, 1600.0) for i, mhz in enumerate((400.0, 900.0))]

    def measure(self, space, subnet, heads, level=-1):
        at = self.levels[level]
        asked = np.zeros((1, space.n_exits + 1), dtype=bool)
        asked[0, list(heads)] = True
        work = float(space.operators(space.genes([subnet]), asked).macs.sum())
        ms = (work / 1e3 + 20) / at.gpu_mhz
        return {
            "space": space.name, "subnet": str(subnet), "heads": format_heads(list(heads)),
            "device": self.name, "gpu_mhz": at.gpu_mhz, "level": at.level,
            "latency_ms": ms, "energy_mj": ms * (1 + at.gpu_mhz / 300), "source": self.source,
        }  # fmt: skip


@pytest.fixture
def settings(tmp_path):
    """A search with an own space, an own device and accuracies by a formula."""
    genes = np.unique(OWN.sample(60, np.random.default_rng(0)), axis=0)
    lines = [f"{OWN.subnet(row)},{60 - 40 * row.sum() / OWN.largest.sum():.3f}" for row in genes]
    table = tmp_path / "accuracy.csv"
    table.write_text("\n".join(["subnet,top1_error_pct", *lines]) + "\n")
    return SearchSettings(
        Board(), str(tmp_path / "run"), space=OWN, accuracy_table=table, n_trials=30, population=10
    )
