"""Energy from what a sensor said during a run, and sensors that stall."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.board.bench import sampler as sampler_module
from nas.board.bench.sampler import Sample, Sampler, energy_j, stalled
from nas.board.control.sysfs import BoardError

pytestmark = pytest.mark.usefixtures("short_waits")


class Wire:
    """A sensor for samples made by hand."""

    name, counts = "wire", False

    @staticmethod
    def whole(values: dict[str, float]) -> float:
        return values["a"]


@given(
    steps=st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 20)), min_size=2, max_size=40),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    counts=st.booleans(),
)
def test_energy_is_the_trapezoids(
    steps: list[tuple[float, float]], ends: tuple[float, float], counts: bool
) -> None:
    at, value = np.cumsum([step for step, _ in steps]), np.array([watts for _, watts in steps])
    samples = [Sample(float(t), {"a": float(v)}) for t, v in zip(at, value, strict=True)]
    start, end = sorted(at[0] + share * (at[-1] - at[0]) for share in ends)
    end = max(end, start + 1e-6)
    if end > at[-1]:
        return
    sensor = Wire()
    sensor.counts = counts
    found = energy_j(sensor, samples, start, end)
    grid = np.unique(np.concatenate([[start, end], at[(at > start) & (at < end)]]))
    power = np.interp(grid, at, value)
    wanted = power[-1] - power[0] if counts else np.trapezoid(power, grid)
    assert found["a"] == pytest.approx(float(wanted), abs=1e-9)
    assert found["total"] == pytest.approx(found["a"], abs=1e-9)


def test_samples_that_do_not_cover_the_run() -> None:
    with pytest.raises(BoardError, match="wire gave 1 readings, too few"):
        energy_j(Wire(), [Sample(0.0, {"a": 1.0})], 0, 1)


def test_a_sensor_that_stands_still_or_leaves_a_gap() -> None:
    moving = [Sample(i / 100, {"a": 5 + i % 2}) for i in range(100)]
    still = [Sample(i / 100, {"a": 5.0}) for i in range(100)]
    assert stalled(Wire(), moving) == []
    assert stalled(Wire(), moving[:10] + moving[50:]) == ["wire gave no reading for 0.4 s"]
    assert "stood still for over 0.15 s under load (a 5)" in stalled(Wire(), still)[0]


def test_a_sensor_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "FIRST_SAMPLE_S", 0.05)
    released = threading.Event()

    class Hanging(Wire):
        def read(self) -> dict[str, float]:
            released.wait()
            return {"a": 1.0}

    with Sampler(Hanging(), 0.001) as sampler:
        pass
    released.set()
    assert sampler.reasons[0] == "wire gave no reading in 0.05 s"
