"""Signs that a board was slowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.board.control.throttle import hot_zones, signs, snapshot
from tests.nas.board.fake_board import FakeKernel, build


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
