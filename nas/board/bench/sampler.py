"""A sensor read in a thread with monotonic time stamps, and energy from what it saw."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, NamedTuple

from ..control.sysfs import BoardError

CHECK_S = 0.5  # between looks at the clocks: reading them costs the board some time
STALL_S = 1.0  # a sensor under load whose rails all stay the same for so long has stalled
FIRST_SAMPLE_S = 5.0


class Sample(NamedTuple):
    """What the sensor said at `at_s` (time.perf_counter)."""

    at_s: float
    values: dict[str, float]


class Sampler:
    """Reads `sensor` every `interval_s` and calls `check` every half second, while it is entered.

    `reasons` collects what `check` returns and the faults of both.
    """

    def __init__(
        self, sensor: Any, interval_s: float, check: Callable[[], list[str]] | None = None
    ) -> None:
        self.sensor, self.interval_s, self.check = sensor, interval_s, check
        self.samples: list[Sample] = []
        self.reasons: list[str] = []
        self._stop, self._first = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        if self.sensor is not None and not self._first.wait(FIRST_SAMPLE_S):
            self.reasons.append(f"{self.sensor.name} gave no reading in {FIRST_SAMPLE_S:g} s")
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(FIRST_SAMPLE_S)
        if self._thread.is_alive():
            self.reasons.append(f"{self.sensor.name} did not end a reading in {FIRST_SAMPLE_S:g} s")

    def _loop(self) -> None:
        checked = time.perf_counter()
        try:
            while not self._stop.wait(self.interval_s):
                self._sample()
                if self.check is not None and time.perf_counter() - checked >= CHECK_S:
                    self.reasons += self.check()
                    checked = time.perf_counter()
            self._sample()  # behind the end of the run
        except BoardError as error:
            self.reasons.append(str(error))
        finally:
            self._first.set()

    def _sample(self) -> None:
        if self.sensor is None:
            return
        before = time.perf_counter()
        values = self.sensor.read()
        self.samples.append(Sample((before + time.perf_counter()) / 2, values))
        self._first.set()


def energy_j(sensor: Any, samples: list[Sample], start_s: float, end_s: float) -> dict[str, float]:
    """Joules between two times: of each rail, and of the whole board under `total`.

    Power is integrated by the trapezoid rule, counters are subtracted; both are interpolated
    linearly at the ends. The samples must reach over both ends, as a Sampler's do.
    """
    if len(samples) < 2 or samples[0].at_s > start_s or samples[-1].at_s < end_s:
        raise BoardError(f"{sensor.name} gave {len(samples)} readings, too few to cover the run")
    inside = [sample for sample in samples if start_s < sample.at_s < end_s]
    edges = [_between(samples, start_s), *inside, _between(samples, end_s)]
    joules = {name: _integral(edges, name, sensor.counts) for name in edges[0].values}
    duration_s = end_s - start_s
    per_s = {name: joule / duration_s for name, joule in joules.items()}
    return {**joules, "total": sensor.whole(per_s) * duration_s}


def stalled(sensor: Any, samples: list[Sample]) -> list[str]:
    """Words about a sensor that stood still under load or left a gap; empty where all is well."""
    same_since, previous = samples[0].at_s if samples else 0.0, None
    for sample in samples:
        if previous is not None and sample.at_s - previous.at_s > STALL_S:
            return [f"{sensor.name} gave no reading for {sample.at_s - previous.at_s:.1f} s"]
        if previous is None or sample.values != previous.values:
            same_since = sample.at_s
        elif sample.at_s - same_since > STALL_S:
            return [
                f"{sensor.name} stood still for over {STALL_S:g} s under load ({_show(sample)})"
            ]
        previous = sample
    return []


def _integral(edges: list[Sample], name: str, counts: bool) -> float:
    if counts:
        return edges[-1].values[name] - edges[0].values[name]
    pairs = zip(edges, edges[1:])
    return sum((b.at_s - a.at_s) * (a.values[name] + b.values[name]) / 2 for a, b in pairs)


def _between(samples: list[Sample], at_s: float) -> Sample:
    after = next(i for i, sample in enumerate(samples) if sample.at_s >= at_s)
    a, b = samples[max(after - 1, 0)], samples[after]
    share = (at_s - a.at_s) / (b.at_s - a.at_s) if b.at_s > a.at_s else 0.0
    mixed = {name: a.values[name] + share * (b.values[name] - a.values[name]) for name in a.values}
    return Sample(at_s, mixed)


def _show(sample: Sample) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in sample.values.items())
