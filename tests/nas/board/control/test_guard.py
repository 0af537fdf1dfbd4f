"""The guard of a board: what a killed process changed is put back without another start."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from nas.board.control.guard import guarded
from nas.board.control.journal import Journal
from nas.board.control.sysfs import Sysfs
from tests.nas.board.fake_board import build, state

CHANGE = """
import sys, time
from nas.board.control.guard import guarded
from nas.board.control.journal import FastWrites, Journal
from nas.board.control.sysfs import Sysfs
with Journal(Sysfs(sys.argv[1]), sys.argv[2]) as journal, guarded(journal):
    fast = FastWrites(journal)
    for value in (204000000, 306000000, 408000000):
        fast.change("/sys/class/devfreq/17000000.gv11b/max_freq", value)
    print("changed", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_the_board_as_it_was(tmp_path: Path) -> None:
    build("xavier-nx-jp5", tmp_path)
    before, path = state(tmp_path), tmp_path / "clocks.journal"
    command = [sys.executable, "-c", CHANGE, str(tmp_path), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"changed\n"
        assert state(tmp_path) != before
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while path.stat().st_size and time.monotonic() < until:
        time.sleep(0.02)
    assert state(tmp_path) == before


def test_the_guard_goes_with_the_work(tmp_path: Path) -> None:
    """The board is free again at once, and nobody holds the journal."""
    build("xavier-nx-jp5", tmp_path)
    path = str(tmp_path / "clocks.journal")
    for _ in range(2):
        with Journal(Sysfs(str(tmp_path)), path) as journal, guarded(journal):
            journal.change("/sys/class/devfreq/17000000.gv11b/max_freq", 204000000)
    assert not Path(path).stat().st_size
