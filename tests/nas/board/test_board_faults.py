"""Boards as people have them: cores that are off, groups that lack a right, sensors that fail."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.board.bench.discover import discover
from nas.board.bench.rows import Rows
from nas.board.control import pins as pins_module
from nas.board.control.journal import Journal
from nas.board.control.pins import (
    find_clocks,
    moved,
    off_by_a_step,
    off_clusters,
    pin_all,
    present_mhz,
    settle,
)
from nas.board.control.sensors import open_sensor
from nas.board.control.sysfs import BoardError, DeniedError, Sysfs
from nas.board.control.throttle import signs, snapshot
from tests.nas.board.conftest import memory
from tests.nas.board.fake_board import FakeKernel, build, state

GPU = "/sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
INA = "/sys/bus/i2c/devices/7-0040/hwmon/hwmon4"
hostile = st.text(max_size=60) | st.sampled_from(["nan", "inf", "-1", "1e999", "", "0x10", "N/A"])
few = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@contextmanager
def fresh() -> Iterator[Path]:
    """A folder of its own for each example."""
    with TemporaryDirectory(dir=memory()) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins_module, "POLL_S", 0.0005)
    monkeypatch.setattr(pins_module, "TIMEOUT_S", 0.02)
    monkeypatch.setattr(pins_module, "REST_S", 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)


class TestOffClusters:
    @pytest.mark.parametrize("off", [["policy4"], ["policy2", "policy4"], ["policy0"]])
    @pytest.mark.parametrize("how", ["EBUSY", "empty list"])
    def test_they_are_left_out_and_named(self, off: list[str], how: str, root: Path) -> None:
        """Newer kernels answer EBUSY for every file of such a policy, older ones list no core."""
        tree = build("xavier-nx-jp5", root)
        kernel = FakeKernel(root)
        for policy in off:
            if how == "EBUSY":
                kernel.errors[f"{policy}/"] = errno.EBUSY
            else:
                tree.put(f"/sys/devices/system/cpu/cpufreq/{policy}/affected_cpus", "")
        with Journal(kernel) as journal:
            clocks = find_clocks(kernel, {})
            pins = settle(pin_all(journal, clocks, {"cpu": 1190.4, "gpu": 510}))
            assert len(pins) == 4 - len(off)
            assert moved(pins) == []
        assert journal.faults == []
        assert off_clusters(kernel) == [f"cpu {p} is left out: its cores are off" for p in off]
        found = discover(kernel, {})
        assert found["clocks"]["cpu"]["n"] == 3 - len(off)
        assert found["clocks"]["cpu"]["now_mhz"] == pytest.approx(1190.4)
        assert f"cpu {off[0]} is left out: its cores are off" in found["faults"]

    def test_a_cluster_that_goes_off_later_hides_no_other(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        kernel = FakeKernel(root)
        clocks = find_clocks(kernel, {})
        kernel.errors["policy4/"] = errno.EBUSY
        assert present_mhz(clocks)["cpu"] == pytest.approx(115.2)


class TestReadBack:
    def test_the_next_point_is_taken_and_said(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        kernel = FakeKernel(root, rounds=("gv11b",))
        with Journal(kernel) as journal:
            pins = settle(pin_all(journal, find_clocks(kernel, {}), {"gpu": 510}))
        assert pins[0].hz == 599250000
        assert "gpu was set to 510 MHz and runs at 599.25 MHz" in off_by_a_step(pins)[0]

    @given(asked=st.integers(0, 14), held=st.integers(0, 14))
    @few
    def test_only_a_neighbour_is_taken(self, asked: int, held: int) -> None:
        with fresh() as root:
            tree = build("xavier-nx-jp5", root)
            kernel = FakeKernel(root, stuck=("gv11b",))
            table = [int(hz) for hz in kernel.read(f"{GPU}/available_frequencies").split()]
            tree.put(f"{GPU}/cur_freq", table[held])
            with Journal(kernel) as journal:
                pins = pin_all(journal, find_clocks(kernel, {}), {"gpu": table[asked] / 1e6})
                if abs(asked - held) <= 1:
                    assert settle(pins)[0].hz == table[held]
                else:
                    with pytest.raises(BoardError, match="stays at"):
                        settle(pins)


class TestTables:
    def test_an_empty_table_is_named(self, root: Path) -> None:
        tree = build("xavier-nx-jp5", root)
        tree.put(f"{GPU}/available_frequencies", "")
        kernel = FakeKernel(root)
        with Journal(kernel) as journal:
            clocks = find_clocks(kernel, {})
            with pytest.raises(BoardError, match=r"gv11b/available_frequencies is empty") as found:
                pin_all(journal, clocks, {"gpu": 510})
        assert "cpuinfo" not in str(found.value)
        assert any("available_frequencies is empty" in f for f in discover(kernel, {})["faults"])

    def test_an_empty_table_of_a_cpu_leaves_its_bounds(self, root: Path) -> None:
        tree = build("xavier-nx-jp5", root)
        for policy in (0, 2, 4):
            folder = f"/sys/devices/system/cpu/cpufreq/policy{policy}"
            tree.put(f"{folder}/scaling_available_frequencies", "")
        kernel = FakeKernel(root)
        with Journal(kernel) as journal:
            assert pin_all(journal, find_clocks(kernel, {}), {"cpu": 1000})[0].hz == 10**9

    @few
    @given(text=hostile)
    def test_any_other_table_is_one_line(self, text: str) -> None:
        with fresh() as root:
            build("xavier-nx-jp5", root)
            kernel = FakeKernel(root)
            file = root / f"{GPU.lstrip('/')}/available_frequencies"
            file.write_bytes(text.encode("utf-8", "replace"))
            with Journal(kernel) as journal, pytest.raises(BoardError) as caught:
                pin_all(journal, find_clocks(kernel, {}), {"gpu": 510})
            assert "\n" not in str(caught.value)


class TestVcgencmd:
    """The firmware's tool needs the group video; it fails by code, by words and by silence."""

    @pytest.mark.parametrize(
        "script",
        [
            "echo 'VCHI initialization failed'; exit 255",
            "exit 255",
            'echo "Can\'t open device file: /dev/vcio"; exit 1',
            "echo 'error=1 error_msg=\"Command not registered\"'",
            ":",
            "echo throttled=",
            "echo throttled=maybe",
            "echo throttled=0x; echo more",
        ],
    )
    def test_it_goes_on_without_that_sign(self, script: str, root: Path) -> None:
        tree = build("raspberry-pi-4", root)
        kernel = FakeKernel(root)
        whole = snapshot(kernel)
        tree.program("vcgencmd", f"#!/bin/sh\n{script}\n")
        blind = snapshot(kernel)
        assert len(blind.blind) == 1
        assert "signs of throttling are not seen: `" in blind.blind[0]
        assert "\n" not in blind.blind[0]
        assert ("usermod -aG video" in blind.blind[0]) == ("exit" in script)
        assert signs(kernel, blind, blind) == signs(kernel, whole, blind) == []
        assert signs(kernel, blind, whole) == []

    def test_the_group_that_has_the_right_is_named(self, root: Path) -> None:
        tree = build("raspberry-pi-4", root)
        tree.put("/dev/vcio", "", 0o660)
        (group,) = {0o54321}
        try:
            os.chown(root / "dev/vcio", -1, group)
        except PermissionError:
            pytest.skip("only root can give a file away")
        tree.program("vcgencmd", "#!/bin/sh\nexit 255\n")
        assert (
            f"group {group} may, and this user is not in it" in snapshot(Sysfs(str(root))).blind[0]
        )

    @few
    @given(text=hostile)
    def test_whatever_the_pi_5_prints_is_a_reading_or_one_line(self, text: str) -> None:
        with fresh() as root:
            build("raspberry-pi-5", root)
            rails = f"A_A current(0)={text}A\nA_V volt(1)=1.0V"
            (root / "run/pmic").write_bytes(rails.encode("utf-8", "replace"))
            said = ""
            try:
                assert open_sensor(FakeKernel(root), {}).read()["A"] >= 0
            except BoardError as error:
                said = str(error)
            assert "\n" not in said


class TestSensors:
    def test_rapl_with_only_the_package_readable(self, root: Path) -> None:
        build("x86", root)
        kernel = FakeKernel(root, errors={"intel-rapl:0:0/energy_uj": errno.EACCES})
        sensor = open_sensor(kernel, {})
        assert sensor.total == ["package-0"]
        assert "RAPL zone package-0/core is left out: cannot read" in sensor.left_out[0]
        assert "core" not in "".join(sensor.read())

    def test_rapl_without_the_package_is_refused(self, root: Path) -> None:
        build("x86", root)
        with pytest.raises(DeniedError, match=r"intel-rapl:0/energy_uj"):
            open_sensor(FakeKernel(root, errors={"intel-rapl:0/energy_uj": errno.EACCES}), {})
        (root / "sys/class/powercap/intel-rapl:0/name").write_text("core")
        with pytest.raises(BoardError, match="no counter of a package; it has core, "):
            open_sensor(FakeKernel(root), {})

    @pytest.mark.parametrize("file", ["curr2_input", "in3_input", "in2_label", "in3_label"])
    def test_a_rail_that_the_total_does_not_need(self, file: str, root: Path) -> None:
        build("xavier-nx-jp5", root)
        sensor = open_sensor(FakeKernel(root, errors={f"hwmon4/{file}": errno.EIO}), {})
        assert len(sensor.read()) == 2
        assert "left out" in sensor.left_out[0]
        assert file in sensor.left_out[0]

    def test_another_chip_on_the_bus_that_fails(self, root: Path) -> None:
        tree = build("xavier-nx-jp5", root)
        tree.put("/sys/bus/i2c/devices/0-0050/name", "eeprom")
        assert len(open_sensor(FakeKernel(root, errors={"0-0050/name": errno.EIO}), {}).read()) == 3

    @pytest.mark.parametrize("text", ["nan", "inf", "99999999999", "N/A", ""])
    def test_nonsense_of_the_whole_board_is_refused(self, text: str, root: Path) -> None:
        tree = build("xavier-nx-jp5", root)
        tree.put(f"{INA}/curr1_input", text)
        kernel = FakeKernel(root, frozen=True)
        with pytest.raises(
            BoardError, match=r"curr1_input (holds .*, expected a number|makes .* W)"
        ):
            open_sensor(kernel, {})

    def test_thor_counts_the_input_of_its_board(self, root: Path) -> None:
        tree = build("agx-thor-jp7", root)
        kernel = FakeKernel(root)
        sensor = open_sensor(kernel, {})
        assert (sensor.total, sensor.whole(sensor.read())) == (["VIN"], pytest.approx(20.986))
        found = discover(kernel, {})
        assert (found["jetpack"], len(found["clocks"]["gpu"]["points_mhz"])) == (7, 10)
        assert found["clocks"]["gpu"]["path"].endswith("gpu-gpc-0/cur_freq")
        assert found["clocks"]["emc"]["points_mhz"] == [3200, 4266]
        for file in (root / "sys/bus/i2c/devices/2-0044").rglob("*input"):
            file.unlink()
        rails = ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"]
        sensor = open_sensor(kernel, {"rails": {"total": rails}})
        assert sensor.total == rails
        assert tree.root == root


@pytest.mark.parametrize(
    ("release", "jetpack"),
    [("R38.2.2", 7), ("R39.2.0", 7), ("R44.0", 7), ("R36.4", 6), ("R9.1", None)],
)
def test_releases(release: str, jetpack: int | None, root: Path) -> None:
    build("xavier-nx-jp5", root).jetson("a Jetson", release, ["MAXN"], 0)
    assert discover(FakeKernel(root), {})["jetpack"] == jetpack


class TestJournal:
    """A journal may have been written by another: what it asks for is checked."""

    @pytest.mark.parametrize(
        "entry",
        [
            {"command": ["sh", "-c", "touch hacked"]},
            {"command": ["nvpmodel", "-m", "2; reboot"]},
            {"command": ["nvpmodel", "-f", "/tmp/x"]},
            {"command": "nvpmodel"},
            {"path": "/etc/passwd", "old": "root::0:0"},
            {"path": "/sys/../etc/passwd", "old": "x"},
            {"path": "/sys/link/passwd", "old": "x"},
            {"path": 3, "old": "x"},
            {"path": "/sys/class/power", "old": 3},
            {"path": "/sys/x", "old": "1", "command": ["nvpmodel", "-m", "1"]},
            {},
        ],
    )
    def test_what_is_never_done_is_never_undone(self, entry: dict[str, object], root: Path) -> None:
        build("xavier-nx-jp5", root)
        (root / "etc/passwd").write_text("as it was")
        (root / "sys/link").symlink_to(root / "etc")
        kernel = FakeKernel(root)
        path = Path(Journal(kernel).path)
        head = {"pid": 1, "boot": "boot-1"}
        path.write_text(f"{json.dumps(head)}\n{json.dumps(entry)}\n")
        before = state(root)
        with pytest.raises(BoardError, match=r"clocks\.journal"):
            Journal(kernel)
        assert (root / "etc/passwd").read_text() == "as it was"
        assert not list(root.rglob("hacked"))
        assert state(root) == before

    def test_a_line_that_is_no_json_is_named_with_its_file(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        path = Path(Journal(FakeKernel(root)).path)
        path.write_text('{"pid": 1, "boot": "boot-1"}\nnonsense\n')
        with pytest.raises(BoardError, match=rf"{path}: line 2 is no JSON object; nothing of it"):
            Journal(FakeKernel(root))

    def test_only_its_owner_may_have_written_it(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        path = Path(Journal(FakeKernel(root)).path)
        path.parent.chmod(0o777)
        with pytest.raises(BoardError, match=r"lib/nas can be written by others .mode 0777, owner"):
            Journal(FakeKernel(root))
        path.parent.chmod(0o700)
        path.chmod(0o666)
        with pytest.raises(BoardError, match=r"clocks.journal can be written by others"):
            Journal(FakeKernel(root))
        path.unlink()
        path.symlink_to(root / "etc/nv_tegra_release")
        with pytest.raises(BoardError, match="cannot open journal"):
            Journal(FakeKernel(root))

    def test_only_files_below_sys_are_changed(self, root: Path) -> None:
        """Whatever a profile names: `gpu_railgate` is one of its paths."""
        build("xavier-nx-jp5", root)
        with Journal(FakeKernel(root)) as journal:
            for path in ("/etc/nvpmodel.conf", "/sys/../etc/nvpmodel.conf"):
                with pytest.raises(BoardError, match="only files below /sys are ever written"):
                    journal.change(path, "0")


@pytest.mark.parametrize("said", ["-1", "9" * 40])
@pytest.mark.parametrize("file", ["cur_freq", "available_frequencies"])
def test_what_is_no_clock_is_none(said: str, file: str, root: Path) -> None:
    tree = build("xavier-nx-jp5", root)
    tree.put(f"{GPU}/{file}", said)
    found = discover(FakeKernel(root))
    assert found["clocks"].get("gpu", {"now_mhz": None})["now_mhz"] is None
    kernel = FakeKernel(root)
    if file == "available_frequencies":
        with Journal(kernel) as journal, pytest.raises(BoardError, match=f"{file} .*clock"):
            settle(pin_all(journal, find_clocks(kernel, {}), {"gpu": 510}))


def test_a_damaged_line_among_the_rows_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    whole = json.dumps({"row": {"id": "a"}})
    path.write_text(f'{whole}\n{{"row": \n[1]\n{{"row": 3}}\n{"[" * 100000}\n{whole}\n')
    assert Rows(str(path)).fresh() == [json.loads(whole)] * 2
