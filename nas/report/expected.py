"""What images that chose nothing are expected to say, and what test images did say: one line each.

The errors that a search compares are those of the images that it chooses by, so the chosen are a
little too good; `predictors.accuracy.new_images` says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot
from typing import Any

from nas.pareto.records import ParetoContent


def expected_error(content: Mapping[str, Any] | ParetoContent) -> str:
    """One sentence of a parsed pareto.json; empty where the search could not tell."""
    known = [p for p in content["points"] if p.get("error_se_pct") is not None]
    if not known:
        return ""
    gaps = [p["expected_error_pct"] - p["top1_error_pct"] for p in known]
    deviations = [p["error_se_pct"] for p in known]
    return (
        f"on images that chose nothing expect {sum(gaps) / len(gaps):+.2f} points on average, "
        f"{max(gaps):+.2f} at most, with a standard error of {min(deviations):.2f} to "
        f"{max(deviations):.2f}"
    )


def verified_error(content: Mapping[str, Any] | ParetoContent) -> str:
    """One sentence where points were run on test images, else empty."""
    pairs = [(p, found) for p in content["points"] if (found := p.get("verified"))]
    if not pairs:
        return ""
    gaps = [found["top1_error_pct"] - p["top1_error_pct"] for p, found in pairs]
    images = pairs[0][1]
    said = (
        f"verified on {images['n_images']} {images['split']} images: error is "
        f"{sum(gaps) / len(gaps):+.2f} points from the table's on average, "
        f"{max(gaps, key=abs):+.2f} at most"
    )
    within = [
        abs(found["top1_error_pct"] - p["expected_error_pct"])
        <= 2 * hypot(p["error_se_pct"], found["error_se_pct"])
        for p, found in pairs
        if "error_se_pct" in p and "error_se_pct" in found
    ]
    if within:
        said += f"; {sum(within)} of {len(within)} within two standard errors of what was expected"
    return said
