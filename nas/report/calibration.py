"""Measured against predicted cost as one SVG that opens without a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nas.report.html import environment
from search_spaces import Floats

SIZE, LEFT, TOP, RIGHT, BOTTOM = 460, 64, 34, 12, 46  # pixels
MOST = 1500  # points that are drawn


def calibration_svg(
    measured: ArrayLike,
    predicted: ArrayLike,
    interval: Sequence[ArrayLike],
    *,
    quantity: str,
    source: str,
    title: str,
) -> str:
    """An SVG element: rows (n,) as points with their intervals, on logarithmic axes.

    `source` is the provenance of `measured`. Points outside their interval are marked.
    """
    y, p, low, high = (np.asarray(a, dtype=float) for a in (measured, predicted, *interval))
    if len(y) > MOST:
        drawn = np.sort(np.random.default_rng(0).choice(len(y), MOST, replace=False))
        y, p, low, high = (a[drawn] for a in (y, p, low, high))
    ends = np.array([min(y.min(), p.min()) / 1.1, max(y.max(), p.max()) * 1.1])
    known = np.isfinite(high) & (low > 0)
    inside = (low <= y) & (y <= high)

    def across(cost: ArrayLike) -> Floats:
        return LEFT + (SIZE - LEFT - RIGHT) * _share(cost, ends)

    def up(cost: ArrayLike) -> Floats:
        return SIZE - BOTTOM - (SIZE - TOP - BOTTOM) * _share(cost, ends)

    columns = (across(p), up(y), across(low), across(high), known, inside, p, y)
    names = ("x", "y", "low", "high", "known", "inside", "predicted", "measured")
    return (
        environment()
        .get_template("calibration.html")
        .render(
            points=[dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)],
            ticks=[{"x": across(t), "y": up(t), "value": f"{t:g}"} for t in ticks(*ends)],
            box={"left": LEFT, "top": TOP, "right": SIZE - RIGHT, "bottom": SIZE - BOTTOM},
            size=SIZE,
            quantity=quantity,
            source=source,
            title=title,
        )
    )


def ticks(low: float, high: float) -> Sequence[float]:
    """1, 2, 5 times powers of ten between two costs; powers alone where those are many."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    found = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [t for t in found if low <= t <= high] or [float(f"{np.sqrt(low * high):.2g}")]


def _share(cost: ArrayLike, ends: Floats) -> Floats:
    """Where a cost lies between the ends of an axis; what is beyond an end is put there."""
    log, (low, high) = np.log(np.clip(cost, *ends)), np.log(ends)
    share: Floats = (log - low) / (high - low)
    return share
