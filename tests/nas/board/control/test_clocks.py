"""Clocks, modes and the journal on trees of every board and JetPack."""

from __future__ import annotations

import gc
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
from nas.board.control import pins as pins_module
from nas.board.control.clocks import Emc, Range
from nas.board.control.journal import BusyError, Journal
from nas.board.control.modes import current_mode, list_modes, set_mode
from nas.board.control.pins import find_clocks, limits, moved, pin_all, present_mhz, settle
from nas.board.control.sysfs import BoardError, DeniedError, MissingError, Sysfs
from tests.nas.board.conftest import memory
from tests.nas.board.fake_board import BOARDS, TOTAL, FakeKernel, Tree, build, state

NOBODY = 65534
every_board = pytest.mark.parametrize("name", list(BOARDS))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins_module, "POLL_S", 0.0005)
    monkeypatch.setattr(pins_module, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(pins_module, "REST_S", 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # slow in a container


@contextmanager
def as_nobody(tree: Tree) -> Iterator[None]:
    """Without root's rights; a test that is not root has none anyway, but owns the files."""
    for folder in [tree.root, *tree.root.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    if os.geteuid():
        for path in tree.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)  # the real user as well, for the programs that are started
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def points(name: str, kernel: FakeKernel) -> dict[str, list[float]]:
    """Every point of every kind of clock, in MHz."""
    found = find_clocks(kernel, {})
    top = {"cpu": [800.0, 1234.0, 4200.0]} if name == "x86" else {}
    return {
        kind: top.get(kind) or [hz / 1e6 for hz in members[-1].table_hz()]
        for kind, members in found.items()
        if kind != "emc" or kernel.exists(members[0].now)
    }


@every_board
def test_what_is_found(name: str, root: Path) -> None:
    build(name, root)
    found = discover(FakeKernel(root), {"rails": {"total": TOTAL.get(name, [])}})
    releases = {"jp4": "R32.7.1", "jp5": "R35.4.1", "jp6": "R36.3.0", "jp7": "R39.2.0"}
    release = releases.get(name[-3:])
    assert found["l4t"] == release
    assert found["jetpack"] == (int(name[-1]) if release else None)
    assert set(found["clocks"]) >= ({"gpu", "cpu"} if release else {"cpu"})
    assert all(clock["settable"] for clock in found["clocks"].values())
    assert found["model"]
    assert (found["sensor"] is None) == (name in ("raspberry-pi-4", "odroid-xu3", "odroid-xu4"))
    if name.startswith("xavier"):
        assert len(found["clocks"]["gpu"]["points_mhz"]) == 15
        assert found["clocks"]["cpu"]["n"] == 3
        assert len(found["clocks"]["emc"]["points_mhz"]) == 8
        assert found["power_mode"] == "MODE_15W_6CORE"
        assert found["sensor"]["total"] == ["VDD_IN"]
        assert found["sensor"]["now_w"] == pytest.approx(5, abs=0.05)
        assert found["zones_c"]["CPU-therm"] == 45
    assert json.dumps(found)


@every_board
def test_every_point_is_reached_and_everything_is_put_back(name: str, root: Path) -> None:
    """Up, down and across; the kernel refuses min > max, so a wrong order would end the test."""
    build(name, root)
    kernel, before = FakeKernel(root), state(root)
    for kind, listed in points(name, kernel).items():
        with Journal(kernel) as journal:
            for mhz in [*listed, *reversed(listed), listed[0], listed[-1]]:
                clocks = find_clocks(kernel, {})
                pins = pin_all(journal, clocks, {kind: mhz})
                settle(pins)
                assert moved(pins) == []
                assert present_mhz(clocks)[kind] == pytest.approx(mhz, rel=0.01)
                for clock in clocks[kind] if kind != "emc" else []:
                    assert isinstance(clock, Range)
                    assert kernel.number(clock.low) == kernel.number(clock.high)
        assert journal.faults == []
        assert state(root) == before, kind


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(data=st.data())
def test_a_kill_at_any_write_is_mended_by_the_next_start(data: st.DataObject) -> None:
    """The process ends before, within or after any one write to the board."""
    with TemporaryDirectory(dir=memory()) as folder:
        _kill_and_mend(data, Path(folder))


def _kill_and_mend(data: st.DataObject, root: Path) -> None:
    tree = build("xavier-nx-jp5", root)
    gpu = "/sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
    low, high = sorted(data.draw(st.tuples(*[st.sampled_from([114750000, 803250000])] * 2)))
    tree.put(f"{gpu}/min_freq", low)  # as the user had it
    tree.put(f"{gpu}/max_freq", high)
    before = state(root)
    lives = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))
    levels = data.draw(
        st.lists(st.sampled_from([114.75, 510, 803.25, 1109.25]), min_size=1, max_size=3)
    )

    class Dying(FakeKernel):
        def raw_write(self, path: str, text: str) -> None:
            if len(self.writes) >= lives[0]:
                raise SystemExit("killed")
            super().raw_write(path, text)

    while lives:
        kernel, journal = Dying(root), None
        try:
            journal = Journal(kernel)  # which mends what the one before left
            for mhz in levels:
                pin_all(journal, find_clocks(kernel, {}), {"gpu": mhz, "cpu": 115.2, "emc": 800})
            journal.restore()
        except SystemExit:
            pass
        gc.collect()
        if journal is not None:
            if data.draw(st.booleans()):
                with open(journal.path, "ab") as file:  # the line that was being written
                    file.write(b'{"path": "/sys/dev')
            journal._file.close()  # what the kernel does for a killed process
        lives.pop(0)
    healthy = Journal(FakeKernel(root))
    assert healthy.faults == []
    assert state(root) == before
    healthy.close()


def test_a_change_is_on_disk_before_it_is_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build("xavier-nx-jp5", root)
    kernel, synced = FakeKernel(root), []
    with Journal(kernel) as journal:
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(len(kernel.writes)))
        pin_all(journal, find_clocks(kernel, {}), {"gpu": 510})
        lines = Path(journal.path).read_text().splitlines()
    assert synced[:2] == [0, 1]
    assert [json.loads(line)["old"] for line in lines[1:]] == ["114750000", "1109250000"]


def test_only_a_power_mode_outlives_a_boot(root: Path) -> None:
    tree = build("xavier-nx-jp5", root)
    kernel = FakeKernel(root)
    journal = Journal(kernel)
    set_mode(journal, "MODE_20W_6CORE")
    pin_all(journal, find_clocks(kernel, {}), {"gpu": 510})
    journal._file.close()
    tree.put("/proc/sys/kernel/random/boot_id", "boot-2")
    kernel.writes.clear()
    with Journal(kernel) as after:
        assert after.recovered == ["`nvpmodel -m 2`"]
    assert kernel.writes == []
    assert current_mode(kernel) == "MODE_15W_6CORE"


def test_a_board_has_one_owner(root: Path) -> None:
    build("xavier-nx-jp5", root)
    kernel = FakeKernel(root)
    with Journal(kernel), pytest.raises(BusyError, match=f"process {os.getpid()} is measuring"):
        Journal(kernel)
    Journal(kernel).close()


def test_a_clock_that_does_not_follow(root: Path) -> None:
    build("xavier-nx-jp5", root)
    kernel, before = FakeKernel(root, stuck=("gv11b",)), state(root)
    with Journal(kernel) as journal:
        pins = pin_all(journal, find_clocks(kernel, {}), {"gpu": 1109.25})
        with pytest.raises(
            BoardError, match=r"gpu was set to 1109.25 MHz and stays at 114.75 .*cur_freq"
        ):
            settle(pins)
        assert moved(pins) == ["gpu was pinned to 1109.25 MHz and ran at 114.75 MHz"]
    assert state(root) == before


def test_a_clock_that_follows_late_and_only_under_load(root: Path) -> None:
    """An idle GPU reports its lowest clock: work runs between the polls."""
    build("xavier-nx-jp5", root)
    kernel = FakeKernel(root, stuck=("gv11b",))
    calls = []

    def work() -> None:
        calls.append(1)
        if len(calls) == 5:
            Tree(root).put(f"{pins[0].clock.now}", 599250000)

    with Journal(kernel) as journal:
        pins = pin_all(journal, find_clocks(kernel, {}), {"gpu": 599.25})
        settle(pins, work)
    assert len(calls) == 5 + 3


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"gpu": 600.0}, None),  # 599.25 is meant
        ({"gpu": 650.0}, r"gpu: 650 MHz is not a point of .*available_frequencies \(114.75, 204,"),
        ({"gpu": 1500.0}, r"above its top, 1109.25 MHz"),
        ({"cpu": 5000.0}, r"above its top, 1907.2 MHz"),
        ({"emc": 5000.0}, r"emc: 5000 MHz is above its top, 1866 MHz"),
        ({"dla": 700.0}, r"dla_mhz = 700 was asked, but this board has no dla clock"),
    ],
)
def test_clocks_that_are_not_there(wanted: dict[str, float], words: str | None, root: Path) -> None:
    build("xavier-nx-jp5", root)
    kernel = FakeKernel(root)
    with Journal(kernel) as journal:
        if words is None:
            assert pin_all(journal, find_clocks(kernel, {}), wanted)[0].hz == 599250000
        else:
            with pytest.raises(BoardError, match=words):
                pin_all(journal, find_clocks(kernel, {}), wanted)


def test_small_cores_take_their_own_top(root: Path) -> None:
    build("odroid-xu4", root)
    kernel = FakeKernel(root)
    with Journal(kernel) as journal:
        pins = pin_all(journal, find_clocks(kernel, {}), {"cpu": 1800})
        assert [pin.hz / 1e6 for pin in pins] == [1400, 1800]


def test_an_idle_core_of_a_pc_shows_its_lowest_clock(root: Path) -> None:
    build("x86", root)
    kernel, before = FakeKernel(root, stuck=("policy1",)), state(root)
    with Journal(kernel) as journal:
        pins = pin_all(journal, find_clocks(kernel, {}), {"cpu": 2000})
        settle(pins)
        assert len(pins) == 1
        assert kernel.number("/sys/devices/system/cpu/cpufreq/policy1/scaling_max_freq") == 2000000
    assert state(root) == before
    kernel.stuck = ("policy",)
    with (
        Journal(kernel) as journal,
        pytest.raises(BoardError, match=r"cpu was set to 2100 MHz and st"),
    ):
        settle(pin_all(journal, find_clocks(kernel, {}), {"cpu": 2100}))


def test_missing_nodes_are_named(root: Path) -> None:
    build("xavier-nx-jp5", root)
    gpu = root / "sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
    (gpu / "min_freq").unlink()
    kernel = FakeKernel(root)
    with (
        Journal(kernel) as journal,
        pytest.raises(MissingError, match=r"read /sys/.*min_freq: it is not"),
    ):
        pin_all(journal, find_clocks(kernel, {}), {"gpu": 510})
    with Journal(kernel) as journal, pytest.raises(MissingError, match="emc/"):
        Emc(kernel, "/sys/kernel/debug/elsewhere/emc").pin(journal, 800_000_000)


def test_without_root_the_path_and_the_permission_are_named(root: Path, monkeypatch) -> None:
    tree = build("xavier-nx-jp5", root)
    home = root / "home"
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("HOME", str(home))
    kernel, before = Sysfs(str(root)), state(root)
    with as_nobody(tree), Journal(kernel) as journal:
        clocks = find_clocks(kernel, {})
        with pytest.raises(
            DeniedError, match=r"write .* to /sys/.*m.._freq: permission denied \(mode 0"
        ):
            pin_all(journal, clocks, {"gpu": 1109.25})
        assert journal.entries == []
        assert present_mhz(clocks)["gpu"] == 114.75
        assert journal.path == str(home / ".nas" / "clocks.journal")
        assert not discover(kernel, {})["clocks"]["gpu"]["settable"]
    assert state(root) == before


class TestModes:
    def test_by_name_where_numbers_moved(self, root: Path) -> None:
        """Some images put MAXN first, which moves every number."""
        tree = build("xavier-nx-jp5", root)
        names = ["MAXN", *list_modes(FakeKernel(root))]
        blocks = [f"< POWER_MODEL ID={i} NAME={name} >" for i, name in enumerate(names)]
        tree.put(
            "/etc/nvpmodel.conf", "\n".join(["# a comment", *blocks, "< PM_CONFIG DEFAULT=3 >"])
        )
        kernel = FakeKernel(root)
        assert list_modes(kernel)["MODE_15W_6CORE"] == 3
        with Journal(kernel) as journal:
            set_mode(journal, "MODE_10W_2CORE")
            assert current_mode(kernel) == "MODE_10W_2CORE"
            assert "pmode:0004" in kernel.read("/var/lib/nvpmodel/status")
        assert "pmode:0002" in kernel.read("/var/lib/nvpmodel/status")

    def test_clocks_that_the_user_had_set_outlive_a_mode(self, root: Path) -> None:
        """A mode writes the clocks' limits; they are put back behind it."""
        tree = build("xavier-nx-jp5", root)
        gpu = "/sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
        for name in ("min_freq", "max_freq", "cur_freq"):
            tree.put(f"{gpu}/{name}", 510000000)
        kernel, before = FakeKernel(root), state(root)
        with Journal(kernel) as journal:
            clocks = find_clocks(kernel, {})
            set_mode(journal, "MODE_10W_2CORE", limits(clocks))
            assert kernel.read(f"{gpu}/max_freq") == "1109250000"
            pin_all(journal, clocks, {"gpu": 803.25})
        assert journal.faults == []
        assert state(root) == before

    def test_the_present_mode_changes_nothing(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        with Journal(FakeKernel(root)) as journal:
            set_mode(journal, "MODE_15W_6CORE")
            assert journal.entries == []

    def test_unknown(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        with (
            Journal(FakeKernel(root)) as journal,
            pytest.raises(
                BoardError, match=r"'MAXN' is not on this board; it has MODE_15W_2CORE, "
            ),
        ):
            set_mode(journal, "MAXN")

    def test_none_on_a_raspberry(self, root: Path) -> None:
        build("raspberry-pi-5", root)
        kernel = FakeKernel(root)
        assert current_mode(kernel) is None
        with (
            Journal(kernel) as journal,
            pytest.raises(BoardError, match=r"nvpmodel.conf is not there"),
        ):
            set_mode(journal, "MAXN")

    def test_a_reboot_is_not_made(self, root: Path) -> None:
        tree = build("agx-xavier-jp5", root)
        tree.put("/etc/needs_reboot", "1")
        with (
            Journal(FakeKernel(root)) as journal,
            pytest.raises(
                BoardError, match=r"MODE_10W was asked and MODE_30W_ALL is set; it wants a reb"
            ),
        ):
            set_mode(journal, "MODE_10W")
        assert journal.faults == []

    def test_the_status_file_where_nvpmodel_answers_root_alone(self, root: Path) -> None:
        tree = build("xavier-nx-jp4", root)
        tree.program("nvpmodel", "#!/bin/sh\necho 'must be root'; exit 1\n", "/usr/sbin")
        kernel = FakeKernel(root)
        assert current_mode(kernel) == "MODE_15W_6CORE"
        with Journal(kernel) as journal, pytest.raises(DeniedError, match="must be root"):
            set_mode(journal, "MODE_10W_2CORE")
