"""The timing protocol, on a clock that the tests set."""

import itertools
import os

import numpy as np
import pytest

from nas.devices import timing
from nas.devices.timing import Times, pinned, time_calls


@pytest.fixture
def calls(monkeypatch):
    """Makes a `run` whose n-th call takes `duration(n)` ms on a clock of its own."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def make(duration):
        numbers = itertools.count()

        def run():
            now[0] += duration(next(numbers)) / 1e3

        return run

    return make


def test_the_warm_up_lasts_until_the_median_is_steady(calls):
    times = time_calls(calls(lambda n: 1.0 + 4.0 * 0.95**n), seconds=10.0)
    assert max(times.ms) < 1.1  # the first call took 5
    assert times.drift_pct < 2
    assert sum(times.ms) >= 10_000


def test_few_slow_calls_are_still_a_hundred(calls):
    times = time_calls(calls(lambda n: 50.0), seconds=0.01)
    assert times.ms == pytest.approx([50.0] * 100)
    assert times.drift_pct == pytest.approx(0, abs=1e-6)


def test_a_machine_that_never_settles_is_measured_all_the_same(calls):
    """It gives up after ten times `seconds`, and the row says how far the median still moved."""
    run = calls(lambda n: 1.0 + (n // 10) % 2)
    times = time_calls(run, seconds=0.1)
    assert times.drift_pct > 30
    assert len(times.ms) >= 100
    assert timing.time.perf_counter() < 0.1 * 10 + 0.02 + 0.3


def test_columns_are_percentiles_of_the_calls():
    ms = np.random.default_rng(0).exponential(2.0, 1000)
    row = Times(ms.tolist(), 1.234).columns()
    assert row["latency_ms"] == pytest.approx(np.median(ms), abs=1e-5)
    for name, q in (("p90", 0.90), ("p95", 0.95), ("p99", 0.99)):
        share = (ms <= row[f"latency_{name}_ms"]).mean()
        assert share == pytest.approx(q, abs=0.0021)
    assert (row["n_runs"], row["warmup_drift_pct"]) == (1000, 1.23)
    assert Times([1.0]).columns()["warmup_drift_pct"] is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin")
def test_pinning_is_undone():
    before = os.sched_getaffinity(0)
    inside = []

    def fail():
        with pinned(1):
            inside.append(os.sched_getaffinity(0))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside == [{max(before)}]
    assert os.sched_getaffinity(0) == before
    with pinned(10_000):
        assert os.sched_getaffinity(0) == before
