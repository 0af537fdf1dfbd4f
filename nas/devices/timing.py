"""How a program is timed: warm until the clock has settled, then enough calls for a percentile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from search_spaces import Row

MIN_RUNS = 100  # fewer say nothing of a 99th percentile
WINDOW = 10  # calls whose median is compared with that of the calls before
SETTLED_PCT = 2.0  # change of that median that counts as warm
MAX_WARMUP = 10  # times `seconds`: a busy machine may never settle


@dataclass(frozen=True)
class Times:
    """Milliseconds of every timed call, and what the warm-up before them ended with."""

    ms: Sequence[float]
    drift_pct: float | None = None  # change between the last two windows; None where unknown
    notes: tuple[str, ...] = ()  # what the tool that timed says besides

    @property
    def median_ms(self) -> float:
        return float(np.median(self.ms))

    def columns(self) -> Row:
        """The columns of a measurement row."""
        p90, p95, p99 = np.percentile(self.ms, (90, 95, 99))
        said: Row = {"notes": "; ".join(self.notes)} if self.notes else {}
        return said | {
            "latency_ms": round(self.median_ms, 5),
            "latency_p90_ms": round(float(p90), 5),
            "latency_p95_ms": round(float(p95), 5),
            "latency_p99_ms": round(float(p99), 5),
            "n_runs": len(self.ms),
            "warmup_drift_pct": None if self.drift_pct is None else round(self.drift_pct, 2),
        }


def time_calls(run: Callable[[], object], *, seconds: float) -> Times:
    """Time `run`, which returns when its work is done, for at least `seconds` and `MIN_RUNS` runs.

    Before that it is called until the median of ten calls moves by less than 2 %, or until ten
    times `seconds` are over.
    """
    last, drift = _window(run), float("inf")
    end = time.perf_counter() + MAX_WARMUP * seconds
    while drift == float("inf") or (drift >= SETTLED_PCT and time.perf_counter() < end):
        now = _window(run)
        last, drift = now, 100 * abs(now / last - 1)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < MIN_RUNS or time.perf_counter() < end:
        times.append(_call_ms(run))
    return Times(times, drift)


def _window(run: Callable[[], object]) -> float:
    return float(np.median([_call_ms(run) for _ in range(WINDOW)]))


def _call_ms(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep this thread, and those it starts, on as many cores as `threads`; the last ones.

    Moving between cores costs warm caches; the first core serves interrupts. Does nothing where
    the system cannot pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
