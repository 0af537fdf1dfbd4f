"""Where a cost comes from, in one word or a few: what every row and every point says of itself."""

from __future__ import annotations

import pandas as pd

MEASURED, SIMULATED = "measured", "simulated"  # on the device; by its analytic model
PREDICTED = "predicted"  # from measured rows
PUBLISHED = "published"  # by others, and not measured here
ON_PUBLISHED = "predicted (published)"  # from what others published
ON_SIMULATED = "predicted (simulated)"  # from simulated rows
SCALED = "predicted (scaled simulation)"  # by the analytic model, scaled to rows


def source_of(rows: pd.DataFrame) -> str:
    """The sources of `rows`, joined by +; rows that name none were measured."""
    named = rows["source"].dropna() if "source" in rows else pd.Series(dtype=object)
    return "+".join(named.unique()) or MEASURED


def predicted_from(source: str) -> str:
    """What a prediction is that rests on figures of `source`."""
    if SIMULATED in source:
        return ON_SIMULATED
    return ON_PUBLISHED if PUBLISHED in source else PREDICTED
