"""A process of its own that puts a board back when the one that changed it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from typing import Iterator

from .journal import BusyError, Journal
from .stop import SIGNALS
from .sysfs import BoardError, Sysfs

START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from nas.board.control.guard import main; main(*sys.argv[2:])"
)


@contextlib.contextmanager
def guarded(journal: Journal) -> Iterator[None]:
    """While this lasts, SIGKILL of this process lets a guard put back what the journal holds.

    A guard that is killed as well leaves that to the next process that opens the journal.
    """
    # the folder, or the zip, that `nas` is imported from
    top = os.path.abspath(__file__)[: -len("/nas/board/control/guard.py")]
    command = [sys.executable, "-I", "-c", START, top, journal.fs.root, journal.path]
    silent = subprocess.DEVNULL
    guard = subprocess.Popen(
        command, stdin=silent, stdout=subprocess.PIPE, stderr=silent, start_new_session=True
    )
    try:
        assert guard.stdout is not None
        if not guard.stdout.readline():
            raise BoardError(
                f"the process that puts the clocks back after a kill did not start: {command[0]}"
            )
        yield
    finally:
        journal.restore()  # while the guard still stands by; faults are tried again at the close
        guard.kill()
        guard.communicate()


def main(root: str, path: str) -> None:
    """Wait until the journal's owner is gone, and put back what it left."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with open(path, encoding="utf-8") as lock:
        print("waiting", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    with contextlib.suppress(BusyError):  # who has it now has put all of it back
        Journal(Sysfs(root), path).close()
