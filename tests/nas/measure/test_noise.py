"""How noisy measured rows are, and which are measured again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.measure import row_key
from nas.measure.noise import mixed_processors, noise
from tests.nas.conftest import nas

MODEL = ("measure", "--device", "nano", "--space", "resnet-digits", "--samples", 8)


def row(program: int, repeat: int, ms: float, p95: float | None = None) -> dict[str, object]:
    about = {"space": "s", "subnet": f"n{program}", "heads": "0", "device": "d", "level": 0}
    return {**about, "repeat": repeat, "latency_ms": ms, "latency_p95_ms": p95}


def test_noise_is_that_of_a_hand_count() -> None:
    rows = [
        *(row(0, 0, 1.0, 1.1), row(0, 1, 1.02, 1.2), row(0, 2, 1.01, 2.0)),
        *(row(1, 0, 2.0, 2.0), row(1, 1, 2.0, 2.1), row(1, 2, 2.4, 2.4)),
        *(row(2, 0, 3.0, 3.1), row(2, 1, 1.5, 1.6), row(2, 2, 3.0, 3.2)),
    ]
    found = noise(rows)
    ratios = [r["latency_p95_ms"] / r["latency_ms"] for r in rows]  # type: ignore[operator]
    assert found.p95_to_median == pytest.approx(np.median(ratios))
    assert found.worst_p95_to_median == pytest.approx(2.0 / 1.01)
    assert found.spread_pct == pytest.approx(20)  # of 100 * 0.02 / 1.01, 20, 50
    assert found.worst_spread_pct == pytest.approx(50)
    # repeats 0, 1, 2 rank the programs 1 2 3, 1 3 2, 1 2 3
    assert found.srcc == pytest.approx((0.5 + 1.0 + 0.5) / 3)
    assert found.lowest_srcc == pytest.approx(0.5)
    assert found.noisy == {row_key(r) for r in (rows[2], rows[5], rows[7])}
    assert len(found.lines()) == 3


def test_rows_without_repeats_or_percentiles_say_nothing() -> None:
    assert noise([]).lines() == []
    found = noise([row(i, 0, 1.0 + i) for i in range(5)])
    assert (found.n_rows, found.p95_to_median, found.spread_pct, found.srcc) == (
        5,
        None,
        None,
        None,
    )
    assert found.noisy == frozenset()


def test_ranks_are_not_pooled_over_levels() -> None:
    """Each level orders its programs backwards in the second repeat; the clock must not hide it."""
    rows = [
        row(i, repeat, 10.0**level * (1 + (i if repeat else 2 - i))) | {"level": level}
        for level in (0, 1)
        for repeat in (0, 1)
        for i in range(3)
    ]
    assert noise(rows).srcc == pytest.approx(-1)


def test_rows_of_different_processors_are_no_table_of_one_device() -> None:
    rows = [row(i, 0, 1.0) | {"host": "A, 1 thread" if i < 3 else "B, 1 thread"} for i in range(4)]
    assert mixed_processors(rows[:3]) == []
    assert mixed_processors([row(0, 0, 1.0)]) == []
    (line,) = mixed_processors(rows)
    assert line.endswith("are not one device: 3 rows on A, 1 thread; 1 row on B, 1 thread")


def test_noisy_rows_are_measured_again_and_no_others(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    command = (*MODEL, "--out", out)
    assert nas(*command).code == 0
    rows = pd.read_csv(out, dtype=str)
    rows["latency_p95_ms"] = rows["latency_ms"]
    honest = rows["latency_ms"].copy()
    rows.loc[[3, 7], "latency_p95_ms"] = "1e9"
    rows.loc[[3, 7], "latency_ms"] = "55.5"
    foreign = rows.iloc[[3]].assign(device="another")  # noisy too, but not of this command
    pd.concat([rows, foreign]).to_csv(out, index=False)
    said = nas(*command)
    assert "noisy: 2 rows; to measure again:" in said.err
    assert said.err.rstrip().endswith("--redo-noisy")
    done = nas(*command, "--redo-noisy")
    assert done.code == 0, done.err
    assert "measured again: 2 noisy rows" in done.err
    after = pd.read_csv(out, dtype=str)
    assert len(after) == 41
    assert (after["device"] == "another").sum() == 1
    keys = ["subnet", "heads", "device"]
    mine = after[after["device"] == "nano"].set_index(keys)["latency_ms"]
    wanted = rows.assign(latency_ms=honest).set_index(keys)["latency_ms"]
    assert mine.sort_index().to_dict() == wanted.sort_index().to_dict()
