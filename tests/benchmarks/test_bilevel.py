"""The judge of the bi-level benchmark against loops, and its measured sweeps."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bilevel import SLOWDOWNS, at_all_clocks, cheapest, plain, sweeps
from nas.search import Bounds
from tests.nas.search.score.test_clocks import ENERGY, ERROR, GENES, LEVEL, SCORER, WORST


@pytest.mark.parametrize("exits", [False, True])
@pytest.mark.parametrize("clocks", ["top", "gpu", "all"])
def test_the_cheapest_is_what_a_search_of_every_configuration_finds(exits, clocks):
    limits = [(float(np.quantile(WORST, q)), float(np.median(ERROR))) for q in (0.2, 0.6)]
    bounds = [Bounds(max_worst_latency_ms=w, max_error_pct=e) for w, e in limits]
    top = len(LEVEL) - 1 if clocks == "top" else None
    parts = at_all_clocks(SCORER, GENES) if clocks == "all" else plain(SCORER, GENES)
    found = cheapest(parts, bounds, exits=exits, top=top)
    columns = {"top": [len(LEVEL) - 1], "gpu": range(len(LEVEL)), "all": range(WORST.shape[2])}
    for (worst, error), row in zip(limits, found, strict=True):
        energies = [
            ENERGY[i, p, s]
            for i in range(len(GENES))
            for p in range(WORST.shape[1] if exits else 1)
            for s in columns[clocks]
            if WORST[i, p, s] <= worst and ERROR[i, p] <= error
        ]
        assert row["energy_mj"] == pytest.approx(min(energies, default=np.inf))


@pytest.mark.skipif("NAS_HARDWARE" not in os.environ, reason="NAS_HARDWARE names no tables")
def test_sweeps_are_searched_within_their_slowdown():
    saved = {row["sweep"]: row for row in sweeps(Path(os.environ["NAS_HARDWARE"]))}
    for row in saved.values():
        values = [row[f"{s:g}"] for s in SLOWDOWNS]
        assert values == sorted(values)
        assert 0 <= values[0] <= values[-1] < 30
    assert saved["xavier-nx, image classifier, GPU clock"]["1.5"] == pytest.approx(11.5, abs=0.1)
    assert saved["tx2, VGG-19, GPU clock"]["1.5"] == pytest.approx(15.1, abs=0.1)
