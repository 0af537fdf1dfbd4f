"""What a governor may run next: its own decisions for frames with less time left, untaken."""

from __future__ import annotations

from typing import Iterable

from .controller import Job
from .governor import Governor

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # of the target: a late start, a slower board


def foreseen(governor: Governor, n: int, level: int, now_ms: float, model: int = 0) -> list[int]:
    """Rows that frames of `n` images of `model` would get at clock `level`, the likeliest first.

    Nothing in the governor changes.
    """
    return _decided(governor, n, [level], now_ms, model)


def all_foreseen(governor: Governor, n: int, model: int = 0) -> list[int]:
    """Rows that frames of `n` images would get at any clock, then all others, dearest last."""
    likely = _decided(governor, n, range(governor.n_levels), 0.0, model)
    cheapest = governor.models[model].table.mean_mj.min(axis=1).argsort()
    return list(dict.fromkeys([*likely, *map(int, cheapest)]))


def _decided(
    governor: Governor, n: int, levels: Iterable[int], now_ms: float, number: int
) -> list[int]:
    model = governor.models[number]
    before = model.row, model.changed_ms
    rows: dict[int, None] = {}
    try:
        for share in SHARES:
            for level in levels:
                job = Job(number, n, share * model.demands.target_ms)
                rows[governor.decide([job], level, now_ms).rows[0]] = None
                model.row, model.changed_ms = before
    finally:
        model.row, model.changed_ms = before
    return list(rows)
