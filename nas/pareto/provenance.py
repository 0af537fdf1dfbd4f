"""Where a figure comes from, in one word or a few: what every row and point says of itself."""

from __future__ import annotations

MEASURED, SIMULATED = "measured", "simulated"  # on the device; by its analytic model
PREDICTED = "predicted"  # from measured rows
PUBLISHED = "published"  # by others, and not measured here
ON_PUBLISHED = "predicted (published)"  # from what others published
ON_SIMULATED = "predicted (simulated)"  # from simulated rows
SCALED = "predicted (scaled simulation)"  # by the analytic model, scaled to rows


def predicted_from(source: str) -> str:
    """What a prediction is that rests on figures of `source`."""
    if SIMULATED in source:
        return ON_SIMULATED
    return ON_PUBLISHED if PUBLISHED in source else PREDICTED


def is_predicted(source: str) -> bool:
    """Whether a figure of `source` was predicted, from whatever."""
    return source.startswith(PREDICTED)
