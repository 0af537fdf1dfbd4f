"""Sensors, sampling, throttling and the protocol, on trees of boards."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.board.bench import protocol as protocol_module
from nas.board.bench.protocol import Bench, Settings, measure, warm_up
from nas.board.control.journal import Journal
from nas.board.control.pins import find_clocks, pin_all
from nas.board.control.sensors import open_sensor
from nas.board.control.sysfs import BoardError, Sysfs
from tests.nas.board.fake_board import FakeKernel, build

QUICK = Settings(20, 0.02, 2.0, 0.3, 100, 0.1, 0.3, 0.1, 0.005, 3)


pytestmark = pytest.mark.usefixtures("short_waits")


def nothing() -> None:
    pass


def spin(seconds: float = 0.001) -> Callable[[], None]:
    """A program of about a millisecond."""

    def run() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return run


def test_a_row_is_timed_as_long_as_was_asked() -> None:
    assert [Settings().timed_s(sensor) for sensor in (None, object())] == [2.0, 5.0]
    assert [Settings(seconds=20).timed_s(sensor) for sensor in (None, object())] == [20, 20]


class Clock:
    """Time that passes only while a program runs."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def program(self, seconds: Callable[[int], float]) -> Callable[[], None]:
        """One whose n-th call takes `seconds(n)`."""

        def run() -> None:
            self.calls += 1
            self.now += seconds(self.calls)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    stand_in = SimpleNamespace(perf_counter=lambda: made.now, sleep=time.sleep)
    monkeypatch.setattr(protocol_module, "time", stand_in)
    return made


class TestProtocol:
    def bench(self, kernel: FakeKernel, journal: Journal, wanted: dict[str, float | None]) -> Bench:
        clocks = find_clocks(kernel, {})
        return Bench(kernel, clocks, pin_all(journal, clocks, wanted), open_sensor(kernel, {}))

    def test_a_row(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        kernel, synced = FakeKernel(root), []
        with Journal(kernel) as journal:
            bench = self.bench(kernel, journal, {"gpu": 599.25, "cpu": 1190.4, "emc": 1600})
            row = measure(bench, spin(), lambda: synced.append(1), QUICK)
        assert row["latency_ms"] == pytest.approx(1, rel=0.5)
        assert row["latency_ms"] <= row["latency_p90_ms"] <= row["latency_p95_ms"]
        assert row["latency_p95_ms"] <= row["latency_p99_ms"]
        assert row["n_runs"] >= 100
        assert len(synced) >= 2 * row["n_runs"]
        assert (row["gpu_mhz"], row["cpu_mhz"], row["emc_mhz"]) == (599.25, 1190.4, 1600)
        assert row["pinned"] == ["cpu", "emc", "gpu"]
        assert row["power_w"] == pytest.approx(5, rel=0.01)
        assert row["idle_w"] == pytest.approx(5, rel=0.01)
        window_s = row["energy_mj"] / 1e3 * row["n_runs"] / row["power_w"]
        assert 0.3 <= window_s < 1.5  # the loop lasts 0.3 s, more on a busy machine
        assert row["energy_dynamic_mj"] == pytest.approx(0, abs=0.1)
        assert set(row["rails_w"]) == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
        assert (row["attempts"], row["rejected"], row["notes"]) == (1, [], [])

    def test_rapl_gives_energy_too(self, root: Path) -> None:
        """Its counter starts a millijoule below its wrap and gains 10 W."""
        build("x86", root)
        kernel = FakeKernel(root)
        with Journal(kernel) as journal:
            row = measure(self.bench(kernel, journal, {"cpu": 2000}), spin(), nothing, QUICK)
        assert row["power_w"] == pytest.approx(10, rel=0.05)
        assert row["cpu_mhz"] == 2000

    @given(times=st.lists(st.floats(0.01, 1000), min_size=100, max_size=200))
    def test_percentiles_are_numpys(self, times: list[float]) -> None:
        """A tool that times itself brings its own milliseconds."""
        bench = Bench(Sysfs("/nowhere"), {}, [], None)
        own = Settings(calls=len(times), attempts=1)

        def run() -> tuple[list[float], None, None]:
            return list(times), None, None

        run.times_itself = True  # type: ignore[attr-defined]
        row = measure(bench, run, nothing, own)
        assert row["n_runs"] == len(times)
        for name, share in (("", 50), ("_p90", 90), ("_p95", 95), ("_p99", 99)):
            assert row[f"latency{name}_ms"] == pytest.approx(np.percentile(times, share))
        assert "energy_mj" not in row

    def test_warm_up_lasts_until_the_drift_ends(self, clock: Clock) -> None:
        run = clock.program(lambda n: max(1e-3, 0.1 * 0.95**n))
        assert warm_up(run, nothing, Settings(warmup_s=0))
        assert 80 < clock.calls < 120  # 0.1 * 0.95^90 = 1 ms

    def test_warm_up_takes_its_calls_and_seconds(self, clock: Clock) -> None:
        assert warm_up(clock.program(lambda n: 0.1), nothing, Settings())
        assert clock.calls in (30, 31)
        clock.calls = 0
        assert warm_up(clock.program(lambda n: 1.0), nothing, Settings())
        assert clock.calls == 20

    def test_latency_that_never_holds_still_is_rejected(self, clock: Clock) -> None:
        run = clock.program(lambda n: 1e-3 * 1.01**n)
        bench = Bench(Sysfs("/nowhere"), {}, [], None)
        drifting = Settings(warmup_s=0, warmup_limit_s=0.2, calls=100, seconds=0, attempts=2)
        with pytest.raises(BoardError, match=r"rejected 2 times: latency still drifts after 0.2 s"):
            measure(bench, run, nothing, drifting)

    @pytest.mark.parametrize("ever", [False, True])
    def test_a_throttle_in_the_middle_is_repeated(self, ever: bool, root: Path) -> None:
        """The clock dips for some calls and is back before the end: only the sampler can see it."""
        tree = build("xavier-nx-jp5", root)
        kernel, calls = FakeKernel(root), []
        now = "/sys/devices/17000000.gv11b/devfreq/17000000.gv11b/cur_freq"

        def run() -> None:
            calls.append(1)
            n = len(calls) % 100 if ever else len(calls)
            if 60 <= n < 90:
                tree.put(now, 306000000)
            elif n == 90:
                tree.put(now, 1109250000)
            spin()()

        with Journal(kernel) as journal:
            bench = self.bench(kernel, journal, {"gpu": 1109.25})
            words = "gpu was pinned to 1109.25 MHz and ran at 306 MHz"
            if ever:
                with pytest.raises(BoardError, match=f"rejected 3 times: {words}"):
                    measure(bench, run, nothing, QUICK)
            else:
                row = measure(bench, run, nothing, QUICK)
                assert (row["attempts"], row["rejected"]) == (2, [words])

    def test_a_sensor_that_stalls_is_rejected(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        kernel = FakeKernel(root, frozen=True)
        with Journal(kernel) as journal:
            bench = self.bench(kernel, journal, {})
            with pytest.raises(
                BoardError, match=r"rejected 3 times: INA stood still for over 0.15 s"
            ):
                measure(bench, spin(), nothing, QUICK)

    def test_a_sensor_that_fails_in_the_middle(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        kernel = FakeKernel(root)
        with Journal(kernel) as journal:
            bench = self.bench(kernel, journal, {})
            file = root / "sys/bus/i2c/devices/7-0040/hwmon/hwmon4/in1_input"

            def run() -> None:
                file.unlink(missing_ok=True)
                spin()()

            with pytest.raises(BoardError, match=r"in1_input: it is not there"):
                measure(bench, run, nothing, QUICK)

    def test_clocks_that_nobody_pinned_and_that_moved_are_a_note(self, root: Path) -> None:
        tree = build("raspberry-pi-4", root)
        kernel, calls = FakeKernel(root), []
        now = "/sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq"

        def run() -> Any:
            calls.append(1)
            if len(calls) == 60:
                tree.put(now, 1500000)
            spin()()

        row = measure(Bench(kernel, find_clocks(kernel, {}), [], None), run, nothing, QUICK)
        assert row["cpu_mhz"] == 1500
        assert row["pinned"] == []
        assert row["notes"] == ["cpu clock went from 600 to 1500 MHz during the run"]
        assert "energy_mj" not in row
