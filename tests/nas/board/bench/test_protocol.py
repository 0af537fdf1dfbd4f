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
from nas.board.bench import sampler as sampler_module
from nas.board.bench.protocol import Bench, Settings, measure, warm_up
from nas.board.bench.sampler import Sample, Sampler, energy_j, stalled
from nas.board.control import pins as pins_module
from nas.board.control.journal import Journal
from nas.board.control.pins import find_clocks, pin_all
from nas.board.control.sensors import PMIC_BASE_W, PMIC_SLOPE, RaplSensor, open_sensor
from nas.board.control.sysfs import BoardError, DeniedError, MissingError, Sysfs
from nas.board.control.throttle import hot_zones, signs, snapshot
from tests.nas.board.control.test_clocks import as_nobody
from tests.nas.board.fake_board import TOTAL, FakeKernel, build

QUICK = Settings(20, 0.02, 2.0, 0.3, 100, 0.1, 0.3, 0.1, 0.005, 3)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins_module, "POLL_S", 0.0005)
    monkeypatch.setattr(pins_module, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(pins_module, "REST_S", 0.0)
    monkeypatch.setattr(sampler_module, "CHECK_S", 0.01)
    monkeypatch.setattr(sampler_module, "STALL_S", 0.15)


def nothing() -> None:
    pass


def spin(seconds: float = 0.001) -> Callable[[], None]:
    """A program of about a millisecond."""

    def run() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return run


@pytest.mark.parametrize(
    ("name", "rails", "total", "watts"),
    [
        ("xavier-nx-jp4", 3, ["VDD_IN"], 5),
        ("xavier-nx-jp5", 3, ["VDD_IN"], 5),
        ("orin-nano-jp6", 3, ["VDD_IN"], 5),
        ("tx2-jp4", 6, ["VDD_IN"], 5),
        ("nano-jp4", 3, ["POM_5V_IN"], 5),
        ("agx-xavier-jp5", 6, TOTAL["agx-xavier-jp5"], 30),
        ("odroid-xu3", 4, ["4-0040", "4-0041", "4-0044", "4-0045"], 3),
    ],
)
def test_rails(name: str, rails: int, total: list[str], watts: float, root: Path) -> None:
    build(name, root)
    kernel = FakeKernel(root)
    with Journal(kernel) as journal:
        sensor = open_sensor(kernel, {"rails": {"total": TOTAL.get(name, [])}}, journal)
        values = sensor.read()
    assert len(values) == rails
    assert sensor.total == total
    assert sensor.whole(values) == pytest.approx(watts, rel=0.01)


def test_an_odroids_sensors_are_switched_on_and_off_again(root: Path) -> None:
    build("odroid-xu3", root)
    kernel, enable = FakeKernel(root), "/sys/bus/i2c/drivers/INA231/4-0045/enable"
    with pytest.raises(BoardError, match="4-0040/enable is 0: the sensor is off"):
        open_sensor(kernel, {})
    with Journal(kernel) as journal:
        open_sensor(kernel, {}, journal)
        assert kernel.read(enable) == "1"
    assert kernel.read(enable) == "0"


def test_unconnected_and_disabled_channels_are_no_rails(root: Path) -> None:
    tree = build("agx-xavier-jp5", root)
    at = "/sys/bus/i2c/devices/1-0041/hwmon/hwmon4"
    tree.put(f"{at}/in2_label", "NC")
    tree.put(f"{at}/in3_enable", 0)
    kernel = FakeKernel(root)
    with pytest.raises(BoardError, match="lacks VDDRQ, SYS5V; it has GPU, CPU, SOC, CV"):
        open_sensor(kernel, {"rails": {"total": TOTAL["agx-xavier-jp5"]}})
    sensor = open_sensor(kernel, {"rails": {"total": ["GPU", "CPU", "SOC", "CV"]}})
    assert sorted(sensor.read()) == ["CPU", "CV", "GPU", "SOC"]


def test_rails_are_not_added_up_unasked(root: Path) -> None:
    build("agx-xavier-jp5", root)
    with pytest.raises(
        BoardError, match=r"no rail for the whole board; it has GPU, .*\[rails\] total"
    ):
        open_sensor(FakeKernel(root), {})


def test_a_rail_that_cannot_be_read_is_an_error_with_its_path(root: Path) -> None:
    build("xavier-nx-jp5", root)
    file = root / "sys/bus/i2c/devices/7-0040/hwmon/hwmon4/curr1_input"
    file.unlink()
    with pytest.raises(MissingError, match=r"read /sys/bus/i2c/.*/curr1_input: it is not there"):
        open_sensor(FakeKernel(root), {})


def test_a_whole_board_of_zero_watts_is_an_error(root: Path) -> None:
    tree = build("xavier-nx-jp5", root)
    tree.put("/sys/bus/i2c/devices/7-0040/hwmon/hwmon4/in1_input", 0)
    with pytest.raises(BoardError, match=r"INA reads 0 W for the whole board \(VDD_IN\)"):
        open_sensor(FakeKernel(root), {})


@pytest.mark.parametrize("name", ["raspberry-pi-4", "odroid-xu4"])
def test_boards_without_a_sensor_say_so(name: str, root: Path) -> None:
    build(name, root)
    with pytest.raises(MissingError, match=r"no power sensor on this board .* external meter"):
        open_sensor(FakeKernel(root), {})


def test_rapl_is_roots(root: Path) -> None:
    tree = build("x86", root)
    tree.rapl(mode=0o400)
    with as_nobody(tree):
        if open_without_error(root):
            pytest.skip("this user owns the files")
        with pytest.raises(
            DeniedError, match=r"intel-rapl:0/energy_uj: permission denied \(mode 0400"
        ):
            open_sensor(Sysfs(str(root)), {})


def open_without_error(root: Path) -> bool:
    try:
        (root / "sys/class/powercap/intel-rapl:0/energy_uj").read_text()
    except PermissionError:
        return False
    return True


@given(steps=st.lists(st.integers(0, 999_999), max_size=30), start=st.integers(0, 999_999))
def test_rapl_counts_over_wraps(steps: list[int], start: int) -> None:
    """Between two readings the counter wraps once at most."""

    class Counter(Sysfs):
        value = start

        def number(self, path: str) -> int:
            return 1_000_000 if path.endswith("range_uj") else self.value % 1_000_000

    counter = Counter()
    sensor = RaplSensor(counter, {"package-0": "/a", "package-0/core": "/a", "psys": "/a"})
    for step in steps:
        counter.value += step
        values = sensor.read()
        assert sensor.whole(values) == values["package-0"]
    if steps:
        assert values["psys"] == pytest.approx(sum(steps) / 1e6)


def test_the_pi_5(root: Path) -> None:
    build("raspberry-pi-5", root)
    sensor = open_sensor(FakeKernel(root), {})
    values = sensor.read()
    assert values == pytest.approx({"3V7_WL_SW": 0.37, "3V3_SYS": 0.66, "VDD_CORE": 1.35})
    assert sensor.whole(values) == pytest.approx(PMIC_SLOPE * 2.38 + PMIC_BASE_W)
    (root / "run/pmic").write_text("error=1\n")
    with pytest.raises(BoardError, match="said: error=1"):
        sensor.read()
    (root / "run/pmic").unlink()
    with pytest.raises(
        BoardError, match=r"pmic_read_adc` ended with code 1 and said: cat: run/pmic"
    ):
        sensor.read()


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

    class Hanging(Wire):
        def read(self) -> dict[str, float]:
            time.sleep(0.3)
            return {"a": 1.0}

    with Sampler(Hanging(), 0.001) as sampler:
        pass
    assert sampler.reasons[0] == "wire gave no reading in 0.05 s"


class TestThrottle:
    @pytest.mark.parametrize(
        ("name", "path", "text", "words"),
        [
            (
                "orin-nano-jp6",
                "/sys/class/hwmon/hwmon2/oc3_event_cnt",
                4,
                "oc3_event_cnt went from 0 to 4",
            ),
            (
                "x86",
                "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
                9,
                "core_throttle_count went from 7 to 9",
            ),
            ("raspberry-pi-4", "/run/throttled", "throttled=0x20002", "says clock capped"),
            (
                "raspberry-pi-5",
                "/run/throttled",
                "throttled=0x80000",
                "says soft temperature limit",
            ),
            (
                "xavier-nx-jp5",
                "/sys/class/thermal/thermal_zone0/temp",
                86000,
                "CPU-therm is at 86 C, its",
            ),
        ],
    )
    def test_every_sign(self, name: str, path: str, text: object, words: str, root: Path) -> None:
        tree = build(name, root)
        kernel = FakeKernel(root)
        before = snapshot(kernel)
        assert signs(kernel, before, snapshot(kernel)) == []
        tree.put(path, text)
        assert words in " ".join(signs(kernel, before, snapshot(kernel)))

    def test_what_was_so_since_the_boot_is_no_sign(self, root: Path) -> None:
        tree = build("raspberry-pi-5", root)
        tree.put("/run/throttled", "throttled=0x50000")
        kernel = FakeKernel(root)
        assert signs(kernel, snapshot(kernel), snapshot(kernel)) == []

    def test_a_cooling_device_but_no_fan(self, root: Path) -> None:
        tree = build("xavier-nx-jp5", root)
        for i, kind in enumerate(["pwm-fan", "cpufreq-cpu0"]):
            tree.put(f"/sys/class/thermal/cooling_device{i}/type", kind)
            tree.put(f"/sys/class/thermal/cooling_device{i}/cur_state", 0)
        kernel = FakeKernel(root)
        before = snapshot(kernel)
        for i in (0, 1):
            tree.put(f"/sys/class/thermal/cooling_device{i}/cur_state", 3)
        found = signs(kernel, before, snapshot(kernel))
        assert found == ["/sys/class/thermal/cooling_device1/cur_state went from 0 to 3"]

    def test_a_zone_that_is_off_is_passed_over(self, root: Path) -> None:
        tree = build("xavier-nx-jp5", root)
        tree.put("/sys/class/thermal/thermal_zone0/temp", "")
        assert hot_zones(FakeKernel(root)) == []


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
