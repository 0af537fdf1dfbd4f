"""How one program is measured: settle, idle, warm up, time, check; repeat what was disturbed.

Synchronised on both sides of each call, at least 100 timed calls and 2 s (5 s where energy is
sampled, for a rail is read some 77 times a second), energy of the loop divided by its calls, idle
power at the same clocks beside it.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable, NamedTuple

from ..control.clocks import Clock, same
from ..control.pins import Pin, moved, off_by_a_step, present_mhz, settle
from ..control.sysfs import BoardError, Sysfs
from ..control.throttle import signs, snapshot
from .sampler import Sample, Sampler, energy_j, stalled

Run = Callable[[], Any]  # one inference; with an attribute `times_itself`, a Timed of many
WINDOW = 10  # calls whose median is compared with that of the ten before


class Settings(NamedTuple):
    """Figures of the protocol; the defaults are for rows that one publishes."""

    warmup_calls: int = 20
    warmup_s: float = 3.0
    warmup_limit_s: float = 60.0
    drift: float = 0.02
    calls: int = 100
    seconds: float = 2.0
    energy_seconds: float = 5.0
    idle_s: float = 2.0
    sample_s: float = 0.02
    attempts: int = 3

    def timed_s(self, sensor: Any) -> float:
        """How long a row is timed at least; longer with a sensor."""
        return self.seconds if sensor is None else max(self.seconds, self.energy_seconds)


class Timed(NamedTuple):
    """Milliseconds of every call, and the time (perf_counter) that they took together.

    A tool that times itself and does not say when has None: its energy is then unknown.
    """

    times_ms: list[float]
    start_s: float | None
    end_s: float | None


class Bench(NamedTuple):
    """A board made ready: what is pinned, what can be read; `sensor` may be None."""

    fs: Sysfs
    clocks: dict[str, list[Clock]]
    pins: list[Pin]
    sensor: Any


def measure(bench: Bench, run: Run, sync: Run, settings: Settings) -> dict[str, Any]:
    """Latency and energy of `run`: a row without names. BoardError: every attempt was disturbed."""

    def work() -> None:
        run()
        sync()

    own = getattr(run, "times_itself", False)
    bench = bench._replace(pins=settle(bench.pins, None if own else work))
    idle_w = _idle_w(bench, settings)
    said: list[str] = []
    for attempt in range(1, settings.attempts + 1):
        warm = own or warm_up(run, sync, settings)
        row, reasons = _attempt(bench, run, sync, settings)
        if not warm:
            reasons.append(f"latency still drifts after {settings.warmup_limit_s:g} s of warm-up")
        if not reasons:
            return {**row, **_energy_terms(row, idle_w), "attempts": attempt, "rejected": said}
        said = list(dict.fromkeys([*said, *reasons]))
    raise BoardError(f"rejected {settings.attempts} times: {'; '.join(said)}")


def warm_up(run: Run, sync: Run, settings: Settings) -> bool:
    """Call until the median of ten calls moves less than the drift; False: it never held still."""
    start, times = time.perf_counter(), []
    while True:
        times.append(_call_ms(run, sync))
        elapsed = time.perf_counter() - start
        if len(times) >= settings.warmup_calls and elapsed >= settings.warmup_s:
            before = statistics.median(times[-2 * WINDOW : -WINDOW] or times)
            now = statistics.median(times[-WINDOW:])
            if abs(now - before) <= settings.drift * before:
                return True
            if elapsed > settings.warmup_limit_s:
                return False


def _attempt(bench: Bench, run: Run, sync: Run, settings: Settings) -> Any:
    """One timed loop: its row, and the reasons to reject it."""
    before, found = snapshot(bench.fs), present_mhz(bench.clocks)
    with Sampler(bench.sensor, settings.sample_s, lambda: moved(bench.pins)) as sampler:
        timed = _loop(run, sync, settings.calls, settings.timed_s(bench.sensor))
        left = moved(bench.pins)  # at once: an idle GPU may report its lowest clock
        now = present_mhz(bench.clocks)
    if len(timed.times_ms) < 2:
        raise BoardError(f"{len(timed.times_ms)} calls were timed, {settings.calls} are needed")
    after = snapshot(bench.fs)
    reasons = sampler.reasons + left + signs(bench.fs, before, after)
    notes = [*_drifted(bench, found, now), *off_by_a_step(bench.pins), *before.blind, *after.blind]
    row: dict[str, Any] = {
        **_latency(timed.times_ms),
        **_clocks(bench, now),
        "notes": list(dict.fromkeys(notes)),
    }
    if len(timed.times_ms) < settings.calls:
        reasons.append(f"only {len(timed.times_ms)} calls were timed, {settings.calls} are needed")
    if bench.sensor is not None and not sampler.reasons:
        reasons += stalled(bench.sensor, sampler.samples)
        row = _with_energy(row, bench.sensor, sampler.samples, timed)
    return row, list(dict.fromkeys(reasons))


def _loop(run: Run, sync: Run, calls: int, seconds: float) -> Timed:
    """At least so many calls and seconds; a tool that times itself is called once."""
    if getattr(run, "times_itself", False):
        return Timed(*run())
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < calls or time.perf_counter() - start < seconds:
        times.append(_call_ms(run, sync))
    return Timed(times, start, time.perf_counter())


def _call_ms(run: Run, sync: Run) -> float:
    sync()
    start = time.perf_counter()
    run()
    sync()
    return 1e3 * (time.perf_counter() - start)


def _idle_w(bench: Bench, settings: Settings) -> float | None:
    """Power at the clocks of the run, with the runtime loaded and nothing to do."""
    if bench.sensor is None:
        return None
    with Sampler(bench.sensor, settings.sample_s) as sampler:
        start = time.perf_counter()
        time.sleep(settings.idle_s)
        end = time.perf_counter()
    if sampler.reasons:
        raise BoardError(sampler.reasons[0])
    return energy_j(bench.sensor, sampler.samples, start, end)["total"] / (end - start)


def _latency(times: list[float]) -> dict[str, Any]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    shares = {"": 50, "_p90": 90, "_p95": 95, "_p99": 99}
    row: dict[str, Any] = {f"latency{name}_ms": cuts[share - 1] for name, share in shares.items()}
    return {**row, "n_runs": len(times)}


def _with_energy(
    row: dict[str, Any], sensor: Any, samples: list[Sample], timed: Timed
) -> dict[str, Any]:
    if timed.start_s is None or timed.end_s is None:
        note = "energy is not measured: the tool times itself and does not say when"
        return {**row, "notes": [*row["notes"], note]}
    seconds = timed.end_s - timed.start_s
    joules = energy_j(sensor, samples, timed.start_s, timed.end_s)
    total = joules.pop("total")
    return {
        **row,
        "energy_mj": 1e3 * total / len(timed.times_ms),
        "power_w": total / seconds,
        "rails_w": {name: joule / seconds for name, joule in joules.items()},
    }


def _energy_terms(row: dict[str, Any], idle_w: float | None) -> dict[str, Any]:
    """Idle power beside the energy; the dynamic part is never published alone."""
    if idle_w is None or "energy_mj" not in row:
        return {}
    seconds = row["energy_mj"] / 1e3 / row["power_w"]
    dynamic_mj = row["energy_mj"] - 1e3 * idle_w * seconds
    return {"idle_w": idle_w, "energy_dynamic_mj": dynamic_mj}


def _clocks(bench: Bench, now: dict[str, float | None]) -> dict[str, Any]:
    """The pinned values where clocks were pinned, else what they were at the end of the run."""
    pinned: dict[str, float] = {}
    for pin in bench.pins:
        kind = pin.clock.name.split()[0]
        pinned[kind] = max(pinned.get(kind, 0.0), pin.hz / 1e6)
    row: dict[str, Any] = {f"{kind}_mhz": pinned.get(kind, mhz) for kind, mhz in now.items()}
    return {**row, "pinned": sorted(pinned)}


def _drifted(
    bench: Bench, before: dict[str, float | None], after: dict[str, float | None]
) -> list[str]:
    """Clocks that nobody pinned and that moved during the run: a remark, no reason to reject."""
    pinned = {pin.clock.name.split()[0] for pin in bench.pins}
    notes = []
    for kind, mhz in before.items():
        now = after.get(kind)
        if kind not in pinned and mhz and now and not same(now, mhz * 1.0):
            notes.append(f"{kind} clock went from {mhz:g} to {now:g} MHz during the run")
    return notes
