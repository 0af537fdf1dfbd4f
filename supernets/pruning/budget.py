"""How many channels every layer keeps, so that a ratio has its share of the MACs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from search_spaces import Floats, InputError, Ints

MultiplyAccumulates = Callable[[Ints], float]
"""Of the network whose groups have these channels (groups,)."""

NEAR = 0.004  # of the full network's MACs: as far as a ratio may be missed for whole vectors


def check_shares(shares: Sequence[float], groups: Mapping[str, int]) -> None:
    """InputError: shares of the MACs that do not fall, or one that would remove a layer."""
    check_falling(shares)
    name, channels = min(groups.items(), key=lambda group: group[1])
    if math.sqrt(shares[-1]) * channels < 1:
        raise InputError(
            f"`ratios`: {shares[-1]:g} removes the layer {name} of {channels} channels; the "
            f"smallest that leaves it one is about {1 / channels**2:.2g}"
        )


def check_falling(shares: Sequence[float]) -> None:
    """InputError: shares that do not fall, not from 1 to 0, or not whole thousandths."""
    shown = ", ".join(f"{s:g}" for s in shares)
    if not shares or not all(0 < s <= 1 for s in shares):
        raise InputError(f"`ratios` must be above 0 and at most 1, got {shown or 'none'}")
    for share in shares:
        if abs(1000 * share - round(1000 * share)) > 1e-6:
            raise InputError(f"`ratios` must be whole thousandths, such as 0.125, got {share:g}")
    for larger, smaller in pairwise(shares):
        if smaller == larger:
            raise InputError(f"`ratios` has {smaller:g} twice; give every ratio once")
        if smaller > larger:
            raise InputError(f"`ratios` must fall, got {shown}")


def fit_counts(
    margins: Sequence[Sequence[Floats]], shares: Sequence[float], macs: MultiplyAccumulates
) -> Ints:
    """Channels (ratios, groups) whose MACs come nearest below every share of those of all channels.

    `margins[k][g]` (channels,) are the scores of a group above its threshold at the k-th ratio,
    the best first. All thresholds of a ratio move by the same amount; what is left of the budget
    goes to the best of the others. Kernels like whole vectors: counts are multiples of 8 in wide
    groups and of 4 in others, unless only single channels come within NEAR of the share. No group
    keeps more than at the ratio before, or nothing.
    """
    full = np.array([len(above) for above in margins[0]])
    vector = np.where(full >= 32, 8, np.where(full >= 16, 4, 1))
    counts: list[Ints] = []
    for share, above in zip(shares, margins, strict=True):
        if share == 1:  # everything, whatever vectors it fills
            counts.append(full)
            continue
        most, budget = counts[-1] if counts else full, share * macs(full)
        kept = _moved(above, most, vector, budget, macs)
        kept = _filled(kept, above, most, vector, budget, macs)
        if budget - macs(kept) > NEAR * macs(full):
            kept = _filled(kept, above, most, np.ones_like(full), budget, macs)
        counts.append(kept)
    return np.array(counts)


def _moved(
    above: Sequence[Floats], most: Ints, vector: Ints, budget: float, macs: MultiplyAccumulates
) -> Ints:
    """The most channels within the budget that moving all thresholds alike leaves."""

    def kept(shift: float) -> Ints:
        n = np.minimum([int((m + shift > 0).sum()) for m in above], most)
        return np.where(n >= vector, n // vector * vector, np.maximum(n, 1))

    low, high = -2.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if macs(kept(middle)) <= budget else (low, middle)
    return kept(low)


def _filled(
    kept: Ints,
    above: Sequence[Floats],
    most: Ints,
    step: Ints,
    budget: float,
    macs: MultiplyAccumulates,
) -> Ints:
    """`kept` and the best `step` channels of a group, as long as some of them fit."""
    while True:
        best, more = -np.inf, None
        for g, margins in enumerate(above):
            n = int(kept[g])
            if n + step[g] > most[g] or margins[n] <= best:
                continue
            wider = kept.copy()
            wider[g] += step[g]
            if macs(wider) <= budget:
                best, more = float(margins[n]), wider
        if more is None:
            return kept
        kept = more
