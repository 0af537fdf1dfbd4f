"""Clocks that are pinned reach their point, and are put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.board.control import pins as pins_module
from nas.board.control.clocks import Range
from nas.board.control.journal import Journal
from nas.board.control.pins import find_clocks, moved, pin_all, present_mhz, settle
from nas.board.control.sysfs import BoardError
from tests.nas.board.fake_board import BOARDS, FakeKernel, Tree, build, state

every_board = pytest.mark.parametrize("name", list(BOARDS))


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


def test_a_computer_that_stands_still_takes_no_clock_for_late(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the time is over after one poll, the clock may have followed meanwhile."""
    monkeypatch.setattr(pins_module, "TIMEOUT_S", 0.0)
    build("xavier-nx-jp5", root)
    kernel = FakeKernel(root, stuck=("gv11b",))
    calls = []

    def work() -> None:
        calls.append(1)
        if len(calls) == 3:
            Tree(root).put(f"{pins[0].clock.now}", 599250000)

    with Journal(kernel) as journal:
        pins = pin_all(journal, find_clocks(kernel, {}), {"gpu": 599.25})
        assert settle(pins, work) == pins


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
