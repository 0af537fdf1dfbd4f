"""Every change of a board is noted before it is made, and undone after any kill."""

from __future__ import annotations

import gc
import json
import os
import resource
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.board.control.journal import BusyError, Journal
from nas.board.control.modes import current_mode, set_mode
from nas.board.control.pins import find_clocks, pin_all
from nas.board.control.sysfs import BoardError
from tests.nas.board.conftest import memory
from tests.nas.board.fake_board import FakeKernel, build, state


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
        gc.collect(1)  # of a journal that was never made: its file and lock
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


def test_a_full_disk_stops_a_change_and_leaves_no_half_line(root: Path) -> None:
    """The line of the next change would join it, and nothing could be put back after a kill."""
    build("xavier-nx-jp5", root)
    before, kernel = state(root), FakeKernel(root)
    journal = Journal(kernel)
    (clock,) = find_clocks(kernel, {})["gpu"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(journal.path) + 9, limits[1]))
    try:
        with pytest.raises(BoardError, match=r"cannot note a change in .*; it was not made"):
            clock.pin(journal, 510_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert state(root) == before
    clock.pin(journal, 510_000_000)
    assert state(root) != before
    journal._file.close()  # killed
    Journal(kernel).close()
    assert state(root) == before


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
