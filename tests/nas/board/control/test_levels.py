"""Clocks moved by a governor: fast, put back whatever happens, and honest about who holds them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nas.board.control.journal import BusyError, FastWrites, Journal
from nas.board.control.levels import BoardSensors, LevelClock
from nas.board.control.pins import find_clocks
from nas.board.control.sensors import open_sensor
from nas.board.control.sysfs import BoardError, DeniedError, Sysfs
from tests.nas.board.fake_board import NX_GPU, FakeKernel, build, state

GPU = "/sys/devices/17000000.gv11b/devfreq/17000000.gv11b"


def board(tmp_path: Path, **how: object) -> FakeKernel:
    build("xavier-nx-jp5", tmp_path)
    return FakeKernel(tmp_path, **how)  # type: ignore[arg-type]


def opened(fs: FakeKernel, tmp_path: Path) -> Journal:
    return Journal(fs, str(tmp_path / "journal"))


def clock(fs: Sysfs, journal: Journal) -> LevelClock:
    return LevelClock(journal, find_clocks(fs, {}), "gpu", NX_GPU)


def test_any_order_of_levels_is_put_back(tmp_path: Path) -> None:
    fs = board(tmp_path)
    before = state(tmp_path)
    rng = np.random.default_rng(0)
    with opened(fs, tmp_path) as journal:
        levels = clock(fs, journal)
        for level in rng.integers(0, len(NX_GPU), 50):
            assert levels.set(int(level)) == ""
            assert levels.read() == level
            assert fs.number(f"{GPU}/cur_freq") == round(NX_GPU[level] * 1e6)
        assert len(journal.entries) == 2  # two files, however often they were written
    assert state(tmp_path) == before


def test_a_switch_takes_less_than_a_millisecond(root: Path, tmp_path: Path) -> None:
    """In memory, as the kernel's files are; a lower quantile, because other tests run as well."""
    build("xavier-nx-jp5", root)
    fs, took = Sysfs(str(root)), []
    with Journal(fs, str(tmp_path / "journal")) as journal:
        levels = clock(fs, journal)
        for i in range(300):
            start = time.perf_counter()
            levels.set(i % len(NX_GPU))
            took.append(time.perf_counter() - start)
    assert np.quantile(took, 0.2) < 1e-3


KILLED = """
import sys
from nas.board.control.journal import Journal
from nas.board.control.levels import LevelClock
from nas.board.control.pins import find_clocks
from tests.nas.board.fake_board import NX_GPU, FakeKernel
fs = FakeKernel(sys.argv[1])
levels = LevelClock(Journal(fs, sys.argv[2]), find_clocks(fs, {}), "gpu", NX_GPU)
print("ready", flush=True)
i = 0
while True:
    i += 1
    levels.set(i * 7 % len(NX_GPU))
"""


def test_a_kill_at_any_moment_leaves_what_the_next_one_puts_back(tmp_path: Path) -> None:
    tree = tmp_path / "board"
    build("xavier-nx-jp5", tree)
    before = state(tree)
    for pause in (0.0, 0.003, 0.02):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tree), str(tmp_path / "journal")],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(pause)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with Journal(FakeKernel(tree), str(tmp_path / "journal")) as journal:
            assert len(journal.recovered) == 2
            assert not journal.faults
        assert state(tree) == before


def test_a_lowest_clock_above_the_old_highest_is_put_back_too(tmp_path: Path) -> None:
    """The first values are 114 and 510; held at 1109, each alone would be refused once."""
    fs = board(tmp_path)
    fs.write(f"{GPU}/max_freq", 510_000_000)
    before = state(tmp_path)
    journal = opened(fs, tmp_path)
    fast = FastWrites(journal)
    for path, value in (("max_freq", 1_109_250_000), ("min_freq", 1_109_250_000)):
        fast.change(f"{GPU}/{path}", value)
    journal.close()
    assert journal.faults == []
    assert state(tmp_path) == before
    journal = opened(fs, tmp_path)
    fast = FastWrites(journal)
    for path, value in (
        ("min_freq", 204_000_000),
        ("max_freq", 1_109_250_000),
        ("min_freq", 1_109_250_000),
    ):
        fast.change(f"{GPU}/{path}", value)
    journal.close()
    assert journal.faults == []
    assert state(tmp_path) == before


def test_another_program_that_writes_is_noticed(tmp_path: Path) -> None:
    fs = board(tmp_path)
    with opened(fs, tmp_path) as journal:
        levels = clock(fs, journal)
        levels.set(5)
        fs.write(f"{GPU}/max_freq", 1_109_250_000)  # jetson_clocks
        assert levels.set(3) == "foreign"
        assert fs.number(f"{GPU}/min_freq") == round(NX_GPU[5] * 1e6)  # hands off
        levels.take_back()
        assert levels.set(3) == ""


def test_a_clock_that_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs = board(tmp_path)
    with opened(fs, tmp_path) as journal:
        levels = clock(fs, journal)
        with monkeypatch.context() as patch:
            patch.setattr(fs, "raw_write", _refuse)
            assert levels.set(2) == "refused"
        assert levels.read() == len(NX_GPU) - 1
        assert levels.set(2) == ""


def test_an_idle_core_of_a_pc_is_no_throttling(tmp_path: Path) -> None:
    build("x86", tmp_path)
    fs = FakeKernel(tmp_path, stuck=("policy0",))  # it shows 800 MHz, whatever is set
    with opened(fs, tmp_path) as journal:
        levels = LevelClock(journal, find_clocks(fs, {}), "cpu", [800.0, 2000.0, 4200.0])
        assert levels.set(1) == ""
        assert levels.read() == 1


def test_a_clock_half_written_is_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest clock was lowered, or raised, before the lowest one was refused."""
    fs = board(tmp_path)
    with opened(fs, tmp_path) as journal:
        levels = clock(fs, journal)
        levels.set(2)
        with monkeypatch.context() as patch:
            write = fs.raw_write
            patch.setattr(fs, "raw_write", lambda p, t: (_refuse if "min_" in p else write)(p, t))
            assert levels.set(9) == "refused"
        assert not levels.foreign()
        assert levels.set(4) == ""


def _refuse(path: str, text: str) -> None:
    raise OSError(22, "Invalid argument")


def test_no_right_to_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs = board(tmp_path)
    before = state(tmp_path)

    def denied(path: str, text: str) -> None:
        raise PermissionError(13, "Permission denied")

    with opened(fs, tmp_path) as journal:
        monkeypatch.setattr(fs, "raw_write", denied)
        with pytest.raises(DeniedError, match="permission denied"):
            clock(fs, journal)
        monkeypatch.undo()
    assert state(tmp_path) == before


def test_a_table_of_another_board_is_refused(tmp_path: Path) -> None:
    fs = board(tmp_path)
    with opened(fs, tmp_path) as journal:
        with pytest.raises(BoardError, match="no gpu clock that reaches 1300 MHz"):
            LevelClock(journal, find_clocks(fs, {}), "gpu", [*NX_GPU, 1300.0])
        with pytest.raises(BoardError, match="500 MHz is not a point"):
            LevelClock(journal, find_clocks(fs, {}), "gpu", [500.0, NX_GPU[-1]])


def test_one_governor_a_board(tmp_path: Path) -> None:
    fs = board(tmp_path)
    with opened(fs, tmp_path), pytest.raises(BusyError, match="is measuring on this board"):
        opened(fs, tmp_path)


def test_sensors_answer_none_once_they_are_lost(tmp_path: Path) -> None:
    fs = board(tmp_path)
    sensors = BoardSensors(fs, open_sensor(fs, {}))
    assert sensors.power_w() == pytest.approx(5.0, rel=0.02)
    assert sensors.temperature_c() == 45.0
    for file in tmp_path.rglob("in1_input"):
        file.unlink()
    for file in (tmp_path / "sys/class/thermal").rglob("temp"):
        file.unlink()
    assert sensors.power_w() is None
    assert sensors.temperature_c() is None


def test_a_clock_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    """A power mode took the cluster: what is asked is refused, and nobody else is blamed."""
    fs = board(tmp_path)
    with opened(fs, tmp_path) as journal:
        levels = clock(fs, journal)
        levels.set(5)
        for name in ("min_freq", "max_freq", "cur_freq"):
            (tmp_path / GPU.lstrip("/") / name).unlink()
        assert levels.set(3) == "refused"
        assert not levels.foreign()
        levels.take_back()
        assert levels.read() == 5
