"""Power sensors of every kind of board."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.board.control.journal import Journal
from nas.board.control.sensors import PMIC_BASE_W, PMIC_SLOPE, RaplSensor, open_sensor
from nas.board.control.sysfs import BoardError, DeniedError, MissingError, Sysfs
from tests.nas.board.control.test_clocks import as_nobody
from tests.nas.board.fake_board import TOTAL, FakeKernel, build


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
