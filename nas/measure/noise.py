"""How far measured rows can be trusted: their own spread, and how their repeats agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from nas.measure.jobs import row_key
from nas.words import counted
from predictors import srcc
from search_spaces.rows import ROW_KEY

NOISY_TAIL = 1.25  # 95th percentile over median
NOISY_REPEAT_PCT = 5.0  # a repeat's distance from the median of all repeats
PROGRAM = ("space", "subnet", "heads", "operator")


@dataclass(frozen=True)
class Noise:
    """Figures of a table of rows; None where it has no percentiles, or one repeat alone."""

    n_rows: int
    p95_to_median: float | None  # 95th percentile / median, the middle row
    worst_p95_to_median: float | None
    spread_pct: float | None  # (largest - smallest repeat) / median, the middle program
    worst_spread_pct: float | None
    srcc: float | None  # rank correlation between repeats, mean over pairs of them
    lowest_srcc: float | None
    noisy: frozenset[tuple[str, ...]]  # keys of the rows to repeat

    def figures(self) -> dict[str, float | int | None]:
        """The figures as files hold them; of the noisy rows their number."""
        values = asdict(self) | {"noisy": len(self.noisy)}
        return {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}

    def lines(self) -> list[str]:
        """The figures as a person reads them."""
        shown = []
        if self.p95_to_median is not None:
            shown.append(
                f"95th percentile / median: {self.p95_to_median:.3f} in the middle row, "
                f"{self.worst_p95_to_median:.3f} in the worst"
            )
        if self.spread_pct is not None:
            shown.append(
                f"repeats spread over {self.spread_pct:.2f} % in the middle program, "
                f"{self.worst_spread_pct:.2f} % in the worst"
            )
        if self.srcc is not None:
            shown.append(
                f"rank correlation between repeats: {self.srcc:.5f}, lowest "
                f"{self.lowest_srcc:.5f}: the ceiling of every predictor on such rows"
            )
        return shown


def noise(rows: Sequence[Mapping[str, Any]]) -> Noise:
    """The noise of measured rows; rank correlations stay within a level, backend and batch."""
    frame = pd.DataFrame(
        [dict(zip(ROW_KEY, row_key(row), strict=True)) for row in rows], columns=ROW_KEY
    )
    frame["ms"] = [float(row["latency_ms"]) for row in rows]
    frame["p95"] = [float(row.get("latency_p95_ms") or "nan") for row in rows]
    tail = frame["p95"] / frame["ms"]
    measurement = [column for column in ROW_KEY if column != "repeat"]
    ms = frame.groupby(measurement, sort=False)["ms"]
    repeated = ms.transform("size") > 1
    middle = ms.transform("median")
    off = 100 * (frame["ms"] / middle - 1).abs()
    spread = (100 * (ms.max() - ms.min()) / ms.median())[ms.size() > 1]
    ranks = _rank_correlations(frame)
    bad = (tail > NOISY_TAIL) | (repeated & (off > NOISY_REPEAT_PCT))
    return Noise(
        n_rows=len(frame),
        p95_to_median=_figure(tail.median()),
        worst_p95_to_median=_figure(tail.max()),
        spread_pct=_figure(spread.median()),
        worst_spread_pct=_figure(spread.max()),
        srcc=_figure(np.mean(ranks)) if ranks else None,
        lowest_srcc=_figure(np.min(ranks)) if ranks else None,
        noisy=frozenset(row_key(row) for row, again in zip(rows, bad, strict=True) if again),
    )


def mixed_processors(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning where machines with different processors measured: they are not one device."""
    n_rows = Counter(row["host"] for row in rows if row.get("host"))
    if len(n_rows) < 2:
        return []
    listed = "; ".join(f"{counted(n, 'row')} on {host}" for host, n in n_rows.most_common())
    return [f"warning: different processors are not one device: {listed}"]


def _rank_correlations(frame: pd.DataFrame) -> list[float]:
    """Spearman's rho of every pair of repeats of the same three or more programs."""
    found = []
    setting = [column for column in ROW_KEY if column not in (*PROGRAM, "repeat")]
    for _, group in frame.groupby(setting, sort=False):
        wide = group.pivot_table("ms", list(PROGRAM), "repeat")
        for a, b in combinations(wide.columns, 2):
            both = wide[[a, b]].dropna()
            if len(both) >= 3:
                found.append(srcc(both[a], both[b]))
    return [value for value in found if np.isfinite(value)]


def _figure(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
