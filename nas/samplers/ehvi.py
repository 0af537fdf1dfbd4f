"""Expected hypervolume improvement of many candidates, exact, for one to three objectives.

The region that no known point dominates is cut into boxes. A candidate is expected to add, in
every box, the product over objectives of the integral of its probability to be at most t (Emmerich
et al., 2011). Objectives may be warped: between two knots the warp counts as a straight line.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from search_spaces import Floats, Ints

CHUNK = 4_000_000  # candidates x boxes held at once


def boxes(front: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Lower and upper corners `(boxes, objectives)` of what `front` does not dominate.

    The boxes do not overlap, reach down to -inf and end at `reference`.
    """
    m = len(reference)
    front = front[(front < reference).all(axis=1)]
    if m == 1:
        top = front.min(axis=0) if len(front) else reference
        return np.full((1, 1), -np.inf), top[None]
    edges = np.unique(front[:, -1])
    lower, upper = [], []
    for low, high in zip([-np.inf, *edges], [*edges, reference[-1]], strict=True):
        base_low, base_high = boxes(front[front[:, -1] <= low, :-1], reference[:-1])
        lower.append(np.column_stack([base_low, np.full(len(base_low), low)]))
        upper.append(np.column_stack([base_high, np.full(len(base_high), high)]))
    return np.concatenate(lower), np.concatenate(upper)


def below(mean: Floats, deviation: Floats, knots: Floats, warped: Floats) -> Floats:
    """`(n, knots)`: integral up to every knot of the probability to be at most t.

    `mean` and `deviation` (n,) are those of the warped value; `warped` are the warped `knots`.
    """
    rise = np.maximum(np.diff(warped), 1e-300)  # knots that rounding cannot tell apart add nothing
    slope = rise / np.diff(knots)
    z = (warped - mean[:, None]) / deviation[:, None]
    gain = z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    steps = np.diff(gain, axis=1) * (deviation[:, None] / slope)
    first = gain[:, :1] * (deviation[:, None] / slope[0])
    return np.cumsum(np.concatenate([first, steps], axis=1), axis=1)


def improvement(integrals: list[Floats], knots: list[Floats], box: tuple[Floats, Floats]) -> Floats:
    """Expected improvement `(n,)` from `below` of every objective."""
    n, n_boxes = len(integrals[0]), len(box[0])
    ends = [_index(corners, knots) for corners in box]
    padded = [np.concatenate([np.zeros((n, 1)), part], axis=1) for part in integrals]
    total = np.zeros(n)
    step = max(1, CHUNK // max(n, 1))
    for start in range(0, n_boxes, step):
        part = slice(start, start + step)
        product = np.ones((n, len(box[0][part])))
        for d, values in enumerate(padded):
            product *= values[:, ends[1][part, d]] - values[:, ends[0][part, d]]
        total += product.sum(axis=1)
    return total


def _index(corners: Floats, knots: list[Floats]) -> Ints:
    """Column of every corner in the integrals with a leading 0 for -inf."""
    columns = [np.searchsorted(k, corners[:, d], side="left") + 1 for d, k in enumerate(knots)]
    return np.where(np.isinf(corners), 0, np.column_stack(columns))
